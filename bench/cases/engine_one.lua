-- SPDX-License-Identifier: MIT
local work = require "bench.harness.work"

return {
  name = "engine_one",
  sentence = "one stored value, a blocking call, waited for before the next one",
  operations = 2000,
  processors = "one",
  server = { ["hash-max-listpack-entries"] = "128" },
  work = function(fixture, random, knobs, count)
    return work.single_reads(fixture, random, count, knobs.TYPE)
  end,
  peers = {
    { name = "authstate get_raw", program = "authstate", method = "get_raw",
      storage = "typed", form = "stored" },
    { name = "authstate get", program = "authstate", method = "get", storage = "typed" },
    { name = "hiredis redisCommand", program = "hiredis", method = "command",
      storage = "typed", form = "stored", goal = 1 / 1.15 },
  },
}
