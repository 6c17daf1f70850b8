-- SPDX-License-Identifier: MIT
--- GreedyDual-Size-Frequency (Cherkasova: "Improving WWW Proxies Performance with
-- Greedy-Dual-Size-Frequency Caching Policy", HP Labs 1998). An entry is worth its reads
-- times its cost over its size; the clock, which goes to the worth of what was evicted,
-- lets what is no longer read sink.

return function(cache)
  local heap, clock, policy = cache:heap(), 0, {}

  local function rank(e)
    local entry = cache:entry(e)
    heap:put(e, clock + (1 + entry.hits) * entry.cost / entry.size_bytes)
  end

  policy.insert, policy.hit = rank, rank

  function policy.evict()
    local e, worth = heap:first()
    clock = worth
    return e
  end

  function policy.remove(e) heap:remove(e) end

  return policy
end
