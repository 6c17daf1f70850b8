-- SPDX-License-Identifier: MIT
--- W-TinyLFU (Einziger, Friedman and Manes: "TinyLFU: A Highly Efficient Cache Admission
-- Policy", ACM ToS 2017). What is new goes through a window under LRU. What leaves the
-- window stays only if it was used more often, by the sketch, than what the main part
-- would evict for it. The main part is a segmented LRU: what is read while on probation
-- becomes protected.
--
-- Uses count that are APART uses for each entry from the last one that counted: a message
-- reads a record several times, which tells nothing of the next message (the correlated
-- references of O'Neil, O'Neil and Weikum: "The LRU-K Page Replacement Algorithm", 1993).
-- Writes do not count. `mark` is the part that an entry is in.
--
-- The window goes on growing or shrinking while the miss ratio falls, and turns when it
-- rises (Einziger, Eytan, Friedman and Manes: "Adaptive Software Cache Management",
-- Middleware 2018).

local PROTECTED_SHARE = 0.8
local SAMPLE, APART = 15, 2
local FIRST_SHARE, LEAST_SHARE, MOST_SHARE = 0.1, 0.01, 0.8
local STEP, STEP_DECAY = 0.03, 0.98
local PERIOD = 20 -- reads for each entry between two steps

local PROBATION, PROTECTED = 1, 2 -- 0: the window

return function(cache)
  local window, probation, protected = cache:queue(), cache:queue(), cache:queue()
  local parts = { window, probation, protected } -- by mark + 1
  local sketch, policy, candidate = cache:sketch(SAMPLE, APART), {}, 0
  local share, step = FIRST_SHARE, STEP
  local reads, misses, next_step, last_ratio = 0, 0, math.huge, 1

  local function begin_period()
    misses, next_step = 0, reads + PERIOD * cache.count
  end

  local function adapt()
    local ratio = misses / (PERIOD * cache.count)
    if ratio > last_ratio then step = -step * STEP_DECAY end
    share = math.max(LEAST_SHARE, math.min(MOST_SHARE, share + step))
    last_ratio = ratio
    begin_period()
  end

  local function count_use(e)
    sketch:add(e)
    reads = reads + 1
    if reads >= next_step then adapt() end
  end

  local function take_out(e)
    if e == candidate then candidate = probation:newer(e) end
    parts[cache:entry(e).mark + 1]:remove(e)
  end

  local function move(e, part)
    take_out(e)
    parts[part + 1]:push(e)
    cache:entry(e).mark = part
  end

  -- The oldest go on probation until the others take at most so many bytes. The first one
  -- that went.
  local function trim(queue, most_bytes)
    local first = 0
    while queue.bytes > most_bytes and queue.count > 1 do
      local e = queue.oldest
      move(e, PROBATION)
      if first == 0 then first = e end
    end
    return first
  end

  function policy.insert(e)
    if cache:entry(e).hits > 0 then -- a read brought it
      misses = misses + 1
      count_use(e)
    end
    window:push(e)
    candidate = trim(window, share * cache.capacity_bytes)
  end

  function policy.hit(e)
    count_use(e)
    local part = cache:entry(e).mark
    if part ~= PROBATION then
      parts[part + 1]:touch(e)
      return
    end
    move(e, PROTECTED)
    trim(protected, PROTECTED_SHARE * (1 - share) * cache.capacity_bytes)
  end

  function policy.evict()
    if next_step == math.huge then begin_period() end -- the cache is full
    local victim = probation.oldest
    if victim == 0 then victim = protected.oldest end
    if victim == 0 then victim = window.oldest end
    if candidate == 0 then return victim end
    local e = candidate
    candidate = probation:newer(e) -- the next one that left the window
    return sketch:count(e) > sketch:count(victim) and victim or e
  end

  policy.remove = take_out

  return policy
end
