-- SPDX-License-Identifier: MIT
local work = require "bench.harness.work"

return {
  name = "engine_read_100",
  sentence = "one stored value for each of 100 coroutines at a time",
  operations = 20000,
  processors = "two",
  server = { ["hash-max-listpack-entries"] = "128" },
  work = function(fixture, random, knobs, count)
    return work.single_reads(fixture, random, count, knobs.TYPE)
  end,
  peers = {
    { name = "authstate get_raw", program = "authstate", method = "get_raw",
      storage = "typed", form = "stored", options = { tasks = 100 } },
    { name = "hiredis, 100 together", program = "hiredis", method = "hget_batch",
      storage = "typed", form = "stored", options = { batch = 100 }, goal = 0.65 },
  },
}
