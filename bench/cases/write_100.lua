-- SPDX-License-Identifier: MIT
local work = require "bench.harness.work"

return {
  name = "write_100",
  sentence = "100 records of one type in one commit",
  operations = 20,
  work = function(fixture, random, knobs, count)
    return work.writes(fixture, random, count, knobs.TYPE or "session", 100)
  end,
  peers = {
    { name = "authstate set", program = "authstate", method = "set", storage = "typed" },
    { name = "authstate set_json", program = "authstate", method = "set_json",
      storage = "typed" },
    { name = "hiredis pipeline", program = "hiredis", method = "hset_pipeline",
      storage = "typed", is_floor = true },
    { name = "node HSET one by one", program = "node", method = "write_one_by_one",
      storage = "hash" },
    { name = "node MULTI", program = "node", method = "write_multi", storage = "hash" },
    { name = "node pipeline", program = "node", method = "write_pipeline",
      storage = "hash" },
    { name = "node one HSET", program = "node", method = "write_hset", storage = "hash" },
  },
}
