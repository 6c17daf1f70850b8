-- SPDX-License-Identifier: MIT
local work = require "bench.harness.work"

return {
  name = "engine_write",
  sentence = 'writes = "plain": one stored value for each of 1,000 coroutines at a time',
  operations = 10000,
  processors = "two",
  server = { ["hash-max-listpack-entries"] = "128" },
  work = function(fixture, random, knobs, count)
    return work.single_writes(fixture, random, count, knobs.TYPE)
  end,
  peers = {
    { name = "authstate set_raw", program = "authstate", method = "set_raw",
      storage = "typed", options = { tasks = 1000, writes = "plain" } },
    { name = "hiredis HSET, 100", program = "hiredis", method = "hset_batch",
      storage = "typed", options = { batch = 100 }, goal = 1.2 },
    { name = "hiredis HSET, 1000", program = "hiredis", method = "hset_batch",
      storage = "typed", options = { batch = 1000 }, goal = 0.8 },
    { name = "hiredis MULTI, 100", program = "hiredis", method = "multi_batch",
      storage = "typed", options = { batch = 100 }, goal = 1.2 },
    { name = "hiredis MULTI, 1000", program = "hiredis", method = "multi_batch",
      storage = "typed", options = { batch = 1000 }, goal = 0.8 },
    { name = "HSET 1000, formatted", program = "hiredis", method = "hset_batch",
      storage = "typed", options = { batch = 1000, is_formatted = true },
      is_floor = true },
    { name = "MULTI 1000, formatted", program = "hiredis", method = "multi_batch",
      storage = "typed", options = { batch = 1000, is_formatted = true },
      is_floor = true },
    { name = "node HSET, 1000 awaits", program = "node", method = "write_raw",
      storage = "typed", options = { tasks = 1000, auto_pipelining = true } },
  },
}
