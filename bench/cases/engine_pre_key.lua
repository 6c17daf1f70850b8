-- SPDX-License-Identifier: MIT
local work = require "bench.harness.work"

return {
  name = "engine_pre_key",
  sentence = "one pre-key for each of 1,000 coroutines at a time",
  operations = 20000,
  processors = "two",
  server = { ["hash-max-listpack-entries"] = "128" },
  work = function(fixture, random, knobs, count)
    return work.single_reads(fixture, random, count, knobs.TYPE or "pre-key")
  end,
  peers = {
    { name = "authstate get", program = "authstate", method = "get", storage = "typed",
      options = { tasks = 1000 } },
    { name = "authstate get_raw", program = "authstate", method = "get_raw",
      storage = "typed", form = "stored", options = { tasks = 1000 } },
    { name = "hiredis, 1000 together", program = "hiredis", method = "hget_batch",
      storage = "typed", form = "stored", options = { batch = 1000 }, is_floor = true },
    { name = "node HGET, revive", program = "node", method = "hget",
      storage = "hash", options = { tasks = 1000, auto_pipelining = true } },
  },
}
