-- SPDX-License-Identifier: MIT
--- Random choices that come again with their seed, on every machine. Marsaglia's
-- xorshift128 (2003), seeded by a linear congruential generator.

local bit = require "bit"

local TWO_32 = 2 ^ 32

local Dice = { __name = "authstate.sim.dice" }
Dice.__index = Dice

local dice = {}

--- @param seed 0 to 2^32 - 1
-- @param stream number: choices with the same seed and another stream are others
function dice.new(seed, stream)
  local self = setmetatable({}, Dice)
  local state = (seed + (stream or 0) * 2654435761) % TWO_32
  for i = 1, 4 do
    state = (state * 1664525 + 1013904223) % TWO_32
    self[i] = bit.tobit(state)
  end
  for _ = 1, 16 do self:fraction() end
  return self
end

--- 0 <= x < 1.
function Dice:fraction()
  local t = bit.bxor(self[1], bit.lshift(self[1], 11))
  self[1], self[2], self[3] = self[2], self[3], self[4]
  self[4] = bit.bxor(self[4], bit.rshift(self[4], 19), t, bit.rshift(t, 8))
  return self[4] % TWO_32 / TWO_32
end

--- A whole number from `lo` to `hi`, both included.
function Dice:integer(lo, hi)
  return lo + math.floor(self:fraction() * (hi - lo + 1))
end

--- True with the given probability.
function Dice:chance(probability)
  return self:fraction() < probability
end

--- One element of a list that is not empty.
function Dice:pick(list)
  return list[self:integer(1, #list)]
end

--- A time whose mean is given, as between events that know nothing of each other.
function Dice:exponential(mean)
  return -mean * math.log(1 - self:fraction())
end

--- A string of bytes of any value.
function Dice:bytes(count)
  local parts = {}
  for i = 1, count do parts[i] = string.char(self:integer(0, 255)) end
  return table.concat(parts)
end

return dice
