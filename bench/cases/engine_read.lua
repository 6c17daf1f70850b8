-- SPDX-License-Identifier: MIT
local figures = require "bench.harness.figures"
local work = require "bench.harness.work"

local WITH_METRICS = "get_raw, enable_metrics"
local MOST_FOR_METRICS = 1.03

-- What counting costs, in the same rounds.
local function conclude(peers)
  for _, peer in ipairs(peers) do
    if peer.name == WITH_METRICS then
      local ratio = peer.wall.ratio.median
      return { ("enable_metrics takes %.3f times as long (CPU %.3f); goal at most %.2f: "
        .. "%s."):format(ratio, peer.cpu.ratio.median, MOST_FOR_METRICS,
        figures.reached(ratio <= MOST_FOR_METRICS)) }
    end
  end
  return {}
end

return {
  name = "engine_read",
  sentence = "one stored value for each of 1,000 coroutines at a time",
  operations = 20000,
  processors = "two",
  server = { ["hash-max-listpack-entries"] = "128" },
  work = function(fixture, random, knobs, count)
    return work.single_reads(fixture, random, count, knobs.TYPE)
  end,
  conclude = conclude,
  peers = {
    { name = "authstate get_raw", program = "authstate", method = "get_raw",
      storage = "typed", form = "stored", options = { tasks = 1000 }, cpu_goal_us = 0.9 },
    { name = WITH_METRICS, program = "authstate", method = "get_raw", storage = "typed",
      form = "stored", options = { tasks = 1000, enable_metrics = true } },
    { name = "get_raw, slow_ms", program = "authstate", method = "get_raw",
      storage = "typed", form = "stored",
      options = { tasks = 1000, slow_ms = 3600000 } },
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
