-- SPDX-License-Identifier: MIT
--- Least frequently used: what was read least often since it came leaves; of those that
-- were read as often, what was not read for the longest time.

return function(cache)
  local heap, policy = cache:heap(), {}
  local function rank(e) heap:put(e, cache:entry(e).hits) end
  policy.insert, policy.hit = rank, rank
  function policy.evict() return (heap:first()) end
  function policy.remove(e) heap:remove(e) end
  return policy
end
