-- SPDX-License-Identifier: MIT

local belady = require "authstate.belady"
local bit = require "bit"
local random = require "spec.support.random"

local KINDS = { "get", "get", "get", "set", "set", "remove" }

local function random_events(dice, keys, length)
  local events = {}
  for i = 1, length do
    events[i] = {
      kind = KINDS[dice:integer(1, #KINDS)], key = dice:integer(1, keys), size_bytes = 1,
    }
  end
  return events
end

local function size_of(set, sizes)
  local size = 0
  for key = 1, #sizes do
    if bit.band(set, 2 ^ (key - 1)) ~= 0 then size = size + sizes[key] end
  end
  return size
end

-- The most hits by trying every choice: for each set of keys that may be held, the most
-- hits with which it can be reached.
local function try_all(events, sizes, capacity)
  local best = { [0] = 0 }
  for _, event in ipairs(events) do
    local key, after = 2 ^ (event.key - 1), {}
    for set, hits in pairs(best) do
      local is_held = bit.band(set, key) ~= 0
      if event.kind == "get" and is_held then hits = hits + 1 end
      local most = event.kind == "remove" and bit.band(set, bit.bnot(key))
        or bit.bor(set, key)
      for kept = 0, 2 ^ #sizes - 1 do
        local may_be = bit.band(kept, most) == kept and size_of(kept, sizes) <= capacity
        if may_be then after[kept] = math.max(after[kept] or 0, hits) end
      end
    end
    best = after
  end
  local most = 0
  for _, hits in pairs(best) do most = math.max(most, hits) end
  return most
end

describe("the optimum", function()
  it("is what trying every choice finds", function()
    local dice = random.new()
    for _ = 1, random.rounds(300) do
      local keys = dice:integer(1, 4)
      local events = random_events(dice, keys, dice:integer(0, 14))
      local sizes = {}
      for key = 1, keys do sizes[key] = 1 end
      for entries = 0, keys do
        assert.equal(try_all(events, sizes, entries), belady.count_hits(events, entries))
      end
    end
  end)

  it("knows that a set brings a record, and a removal takes it", function()
    local function event(kind, key) return { kind = kind, key = key } end
    -- With room for one: 1 is brought again by the set, so 2 is kept.
    assert.equal(2, belady.count_hits({ event("get", 1), event("get", 2), event("set", 1),
      event("get", 2), event("get", 2) }, 1))
    assert.equal(0, belady.count_hits({ event("get", 1), event("remove", 1),
      event("get", 1) }, 1))
    assert.equal(1, belady.count_hits({ event("set", 1), event("get", 1) }, 1))
    assert.equal(0, belady.count_hits({}, 5))
  end)

  it("for records of different sizes is never above the bound", function()
    local dice = random.new()
    for _ = 1, random.rounds(200) do
      local keys, sizes = dice:integer(1, 4), {}
      for key = 1, keys do sizes[key] = dice:integer(1, 5) end
      local events = random_events(dice, keys, dice:integer(1, 14))
      for _, event in ipairs(events) do event.size_bytes = sizes[event.key] end
      for capacity = 0, 12, 3 do
        assert.is_true(belady.bound_hits(events, capacity)
          >= try_all(events, sizes, capacity))
      end
    end
  end)
end)
