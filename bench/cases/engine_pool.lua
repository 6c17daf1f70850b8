-- SPDX-License-Identifier: MIT
local figures = require "bench.harness.figures"
local work = require "bench.harness.work"

local SIZES = { 1, 2, 5, 10, 20 }

local function list_peers()
  local peers = {}
  for i, size in ipairs(SIZES) do
    peers[i] = {
      name = "pool_size = " .. size, program = "authstate", method = "get_raw",
      storage = "typed", form = "stored", at = size,
      options = { tasks = 1000, pool_size = size },
    }
  end
  return peers
end

return {
  name = "engine_pool",
  sentence = "one stored value for each of 1,000 coroutines at a time, of 100 sessions",
  operations = 20000,
  server = { ["hash-max-listpack-entries"] = "128" },
  sessions = 100,
  axis = "pool_size",
  work = function(fixture, random, knobs, count)
    return work.single_reads(fixture, random, count, knobs.TYPE or "pre-key")
  end,
  peers = list_peers(),
  conclude = function(peers, spread)
    local best, worst = peers[1], peers[1]
    for _, peer in ipairs(peers) do
      local median = peer.wall.ratio.median
      if peer.at and median < best.wall.ratio.median then best = peer end
      if peer.at and median > worst.wall.ratio.median then worst = peer end
    end
    local gain = peers[1].wall.ratio.median / best.wall.ratio.median
    local loss = worst.wall.ratio.median / best.wall.ratio.median
    if loss <= spread.wall then
      return { ("Pool sizes %d to %d make no difference beyond the spread."):format(
        SIZES[1], SIZES[#SIZES]) }
    end
    return { ("pool_size = %d is the fastest: %s times as fast as %d, %s times as fast "
      .. "as %d, the slowest."):format(best.at, figures.ratio(gain), SIZES[1],
      figures.ratio(loss), worst.at) }
  end,
}
