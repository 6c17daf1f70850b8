-- SPDX-License-Identifier: MIT
--- S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi: "FIFO queues are all you need for cache
-- eviction", SOSP 2023). What is new goes through a small queue; what was read there more
-- than once goes on to the main one, as does what comes back soon after it left: its key
-- is in the ghost. `mark` counts reads up to 3. The main queue spares the oldest as often
-- as it was read.

local SMALL_SHARE = 0.1
local MOST = 3

return function(cache)
  local small, main, ghost, policy = cache:queue(), cache:queue(), cache:ghost(), {}

  function policy.insert(e)
    if ghost:has(e) then
      ghost:remove(e)
      main:push(e)
    else
      small:push(e)
    end
  end

  function policy.hit(e)
    local entry = cache:entry(e)
    entry.mark = math.min(entry.mark + 1, MOST)
  end

  -- The oldest of the small queue that was not read twice; those before it move on.
  local function evict_small()
    local e = small.oldest
    while e ~= 0 and cache:entry(e).mark > 1 do
      small:remove(e)
      cache:entry(e).mark = 0
      main:push(e)
      e = small.oldest
    end
    return e
  end

  local function evict_main()
    local e = main.oldest
    while cache:entry(e).mark > 0 do
      cache:entry(e).mark = cache:entry(e).mark - 1
      main:touch(e)
      e = main.oldest
    end
    return e
  end

  function policy.evict()
    local is_small = small.bytes >= SMALL_SHARE * cache.capacity_bytes or main.count == 0
    local e = is_small and evict_small() or 0
    return e ~= 0 and e or evict_main()
  end

  function policy.remove(e, why)
    if why == "evicted" and small:has(e) then ghost:add(e) end
    small:remove(e)
    main:remove(e)
  end

  return policy
end
