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
  processors = "two",
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
    local function as_long(peer)
      return figures.ratio(peer.wall.ratio.median / best.wall.ratio.median)
    end
    if worst.wall.ratio.median / best.wall.ratio.median <= spread.wall then
      return { ("Pool sizes %d to %d make no difference beyond the spread."):format(
        SIZES[1], SIZES[#SIZES]) }
    end
    local sentence = ("pool_size = %d is the fastest; %d, the slowest, takes %s times as "
      .. "long"):format(best.at, worst.at, as_long(worst))
    if best ~= peers[1] and worst ~= peers[1] then
      sentence = ("%s, %d %s times"):format(sentence, peers[1].at, as_long(peers[1]))
    end
    return { sentence .. "." }
  end,
}
