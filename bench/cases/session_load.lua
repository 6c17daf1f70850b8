-- SPDX-License-Identifier: MIT
local work = require "bench.harness.work"

return {
  name = "session_load",
  sentence = "a whole session into values of the language",
  operations = 3,
  work = function(fixture, _, _, count)
    return work.loads(fixture, count)
  end,
  peers = {
    { name = "authstate load", program = "authstate", method = "load",
      storage = "typed" },
    { name = "authstate load_json", program = "authstate", method = "load_json",
      storage = "typed" },
    { name = "hiredis HGETALL", program = "hiredis", method = "hgetall",
      storage = "typed", form = "stored", is_floor = true },
    { name = "node HGETALL, revive", program = "node", method = "load_hgetall",
      storage = "hash" },
    { name = "node MGET, revive", program = "node", method = "load_mget",
      storage = "strings", goal = 3.5 },
  },
}
