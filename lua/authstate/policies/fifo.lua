-- SPDX-License-Identifier: MIT
--- First in, first out: what came first leaves, read or not.

return function(cache)
  local queue, policy = cache:queue(), {}
  function policy.insert(e) queue:push(e) end
  function policy.evict() return queue.oldest end
  function policy.remove(e) queue:remove(e) end
  return policy
end
