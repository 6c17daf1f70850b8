-- SPDX-License-Identifier: MIT
--- Least recently used: what was not read for the longest time leaves.

return function(cache)
  local queue, policy = cache:queue(), {}
  function policy.insert(e) queue:push(e) end
  function policy.hit(e) queue:touch(e) end
  function policy.evict() return queue.oldest end
  function policy.remove(e) queue:remove(e) end
  return policy
end
