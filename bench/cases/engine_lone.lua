-- SPDX-License-Identifier: MIT
local figures = require "bench.harness.figures"
local statistics = require "bench.harness.statistics"
local work = require "bench.harness.work"

local WINDOW_MS, GOAL_US = 10, 20

-- How much longer one peer waits for an operation than another one, round by round.
local function list_differences(peer, base)
  local differences = {}
  for i, round in ipairs(peer.rounds) do
    local other = base.rounds[i]
    differences[i] = (round.wall_s / round.operations - other.wall_s / other.operations)
      * 1e6
  end
  return differences
end

return {
  name = "engine_lone",
  sentence = "one stored value for a coroutine that is alone",
  operations = 2000,
  processors = "one",
  server = { ["hash-max-listpack-entries"] = "128" },
  work = function(fixture, random, knobs, count)
    return work.single_reads(fixture, random, count, knobs.TYPE)
  end,
  peers = {
    { name = "window of 10 ms", program = "authstate", method = "get_raw",
      storage = "typed", form = "stored", options = {
        tasks = 1, enable_batching = true, batch_window_ms = WINDOW_MS,
      } },
    { name = "enable_batching = false", program = "authstate", method = "get_raw",
      storage = "typed", form = "stored",
      options = { tasks = 1, enable_batching = false } },
  },
  conclude = function(peers)
    local with, without = peers[1], peers[#peers]
    local waits = with.wall.operation_us.median - without.wall.operation_us.median
    local each = statistics.quartiles(list_differences(with, without))
    return { ("A batch window of %d ms costs a lone caller %.2f us a read, difference of "
      .. "medians (within a round %.2f [%.2f .. %.2f]); goal at most %d us: %s."):format(
      WINDOW_MS, waits, each.median, each.q1, each.q3, GOAL_US,
      figures.reached(waits <= GOAL_US)) }
  end,
}
