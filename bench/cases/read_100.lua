-- SPDX-License-Identifier: MIT
local work = require "bench.harness.work"

return {
  name = "read_100",
  sentence = "100 records of one type, wanted at once",
  operations = 40,
  work = function(fixture, random, knobs, count)
    return work.reads(fixture, random, count, knobs.TYPE or "session", 100)
  end,
  peers = {
    { name = "authstate get", program = "authstate", method = "get", storage = "typed" },
    { name = "authstate get_json", program = "authstate", method = "get_json",
      storage = "typed" },
    { name = "hiredis HMGET", program = "hiredis", method = "hmget", storage = "typed",
      form = "stored", is_floor = true },
    { name = "node HGET one by one", program = "node", method = "hget", storage = "hash",
      goal = 25 },
    { name = "node MGET", program = "node", method = "mget", storage = "strings",
      goal = 4.5 },
    { name = "node HMGET", program = "node", method = "hmget", storage = "hash" },
    { name = "node pipeline", program = "node", method = "pipeline", storage = "hash" },
  },
}
