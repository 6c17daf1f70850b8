-- SPDX-License-Identifier: MIT
--- SIEVE (Zhang, Yang, Yue, Vigfusson and Rashmi: "SIEVE is Simpler than LRU", NSDI
-- 2024). A queue in the order of insertion, and a hand that goes from the oldest to the
-- newest and round: it spares, once, what was read since it came by, and evicts what was
-- not.

return function(cache)
  local queue, hand, policy = cache:queue(), 0, {}
  function policy.insert(e) queue:push(e) end
  function policy.hit(e) cache:entry(e).mark = 1 end
  function policy.evict()
    local e = hand ~= 0 and hand or queue.oldest
    while cache:entry(e).mark == 1 do
      cache:entry(e).mark = 0
      e = queue:newer(e)
      if e == 0 then e = queue.oldest end
    end
    hand = e
    return e
  end
  function policy.remove(e)
    if e == hand then hand = queue:newer(e) end
    queue:remove(e)
  end
  return policy
end
