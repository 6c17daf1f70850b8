-- SPDX-License-Identifier: MIT
--- The most reads that any policy can serve of a trace, without preload.
--
-- An event is { kind, key, size_bytes }: "get" reads the record, "set" puts it in at no
-- cost, "remove" takes it out. So keeping a record until it is set again or removed is
-- worth nothing; keeping it until the next read is one hit.

local belady = {}

local floor = math.floor

-- For each event: the next one of its key if that is a read, false if not.
local function next_reads(events)
  local later, reads = {}, {}
  for i = #events, 1, -1 do
    local event = events[i]
    reads[i] = event.kind ~= "remove" and later[event.key] or false
    later[event.key] = event.kind == "get" and i
  end
  return reads
end

-- ---- a heap of numbers, the largest first -------------------------------------------

local function push(heap, number)
  local place = #heap + 1
  while place > 1 and heap[floor(place / 2)] < number do
    heap[place] = heap[floor(place / 2)]
    place = floor(place / 2)
  end
  heap[place] = number
end

local function pop(heap)
  local first, moved, count = heap[1], heap[#heap], #heap - 1
  heap[#heap] = nil
  if count == 0 then return first end
  local place = 1
  while place * 2 <= count do
    local child = place * 2
    if child < count and heap[child + 1] > heap[child] then child = child + 1 end
    if heap[child] <= moved then break end
    heap[place] = heap[child]
    place = child
  end
  heap[place] = moved
  return first
end

-- ---- the optimum --------------------------------------------------------------------

--- For a cache of so many entries: of what it holds and what has just come it gives up
-- what is read last (Belady: "A study of replacement algorithms for a virtual-storage
-- computer", 1966; what has just come may be given up at once).
-- @param events list
-- @return how many reads it serves
function belady.count_hits(events, entries)
  local reads, held, count, hits = next_reads(events), {}, 0, 0
  -- When those that are held are read next. Some that are not held any more, too.
  local heap = {}
  for i, event in ipairs(events) do
    local key = event.key
    if held[key] then
      if event.kind == "get" and held[key] == i then hits = hits + 1 end
      held[key], count = nil, count - 1
    end
    if reads[i] then
      held[key], count = reads[i], count + 1
      push(heap, reads[i])
    end
    while count > entries do
      local last = pop(heap)
      local given_up = events[last].key
      if held[given_up] == last then held[given_up], count = nil, count - 1 end
    end
  end
  return hits
end

--- For records of different sizes the optimum is too hard to compute. This is a bound
-- that it cannot pass (Berger, Beckmann and Harchol-Balter: "Practical Bounds on Optimal
-- Caching with Variable Object Sizes", 2018): the cheapest keepings that fill the cache
-- on average, as if what is too much at one moment could be held at another.
-- @return how many reads it serves at most
function belady.bound_hits(events, capacity_bytes)
  local reads, costs = next_reads(events), {}
  for i, event in ipairs(events) do
    if reads[i] then costs[#costs + 1] = (reads[i] - i) * event.size_bytes end
  end
  table.sort(costs)
  local left, hits = capacity_bytes * #events, 0
  for _, cost in ipairs(costs) do
    left = left - cost
    if left < 0 then break end
    hits = hits + 1
  end
  return hits
end

return belady
