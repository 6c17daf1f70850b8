-- SPDX-License-Identifier: MIT
local work = require "bench.harness.work"

return {
  name = "engine_read",
  sentence = "one stored value for each of 1,000 coroutines at a time",
  operations = 20000,
  processors = "two",
  server = { ["hash-max-listpack-entries"] = "128" },
  work = function(fixture, random, knobs, count)
    return work.single_reads(fixture, random, count, knobs.TYPE)
  end,
  peers = {
    { name = "authstate get_raw", program = "authstate", method = "get_raw",
      storage = "typed", form = "stored", options = { tasks = 1000 }, cpu_goal_us = 0.9 },
    { name = "authstate get", program = "authstate", method = "get", storage = "typed",
      options = { tasks = 1000 } },
    { name = "hiredis, 100 together", program = "hiredis", method = "hget_batch",
      storage = "typed", form = "stored", options = { batch = 100 }, goal = 1.5 },
    { name = "hiredis, 1000 together", program = "hiredis", method = "hget_batch",
      storage = "typed", form = "stored", options = { batch = 1000 }, goal = 0.8 },
    { name = "hiredis 100, formatted", program = "hiredis", method = "hget_batch",
      storage = "typed", form = "stored",
      options = { batch = 100, is_formatted = true }, is_floor = true },
    { name = "hiredis 1000, formatted", program = "hiredis", method = "hget_batch",
      storage = "typed", form = "stored",
      options = { batch = 1000, is_formatted = true }, is_floor = true },
    { name = "node HGET, 1000 awaits", program = "node", method = "hget_raw",
      storage = "typed", form = "stored",
      options = { tasks = 1000, auto_pipelining = true }, goal = 5 },
  },
}
