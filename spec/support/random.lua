-- SPDX-License-Identifier: MIT

--- Random choices that can be repeated: the same seed gives the same choices on every
-- machine. Marsaglia's xorshift128 (2003), seeded by a linear congruential generator.
--
-- Without a seed of its own a generator takes the run's: the environment's SEED or, when
-- there is none, the clock. The output handler prints it when a spec failed. With
-- RANDOM_ROUNDS=10 in the environment specs make ten times as many random rounds.
-- @module spec.support.random

local bit = require "bit"
local socket = require "socket"

local TWO_32 = 2 ^ 32

local run_seed

local Generator = { __name = "random" }
Generator.__index = Generator

local random = {}

local function choose_run_seed()
  local text = os.getenv("SEED")
  if text and text ~= "" then
    return tonumber(text) or error("SEED is not a number: " .. text)
  end
  return math.floor(socket.gettime() * 1e6) % TWO_32
end

--- The seed that generators without their own took, or nil when there was none.
-- @treturn ?number
function random.run_seed()
  return run_seed
end

--- How many random rounds a spec makes: `count`, or as many times that as the
-- environment's RANDOM_ROUNDS says.
-- @tparam number count
-- @treturn number
function random.rounds(count)
  local text = os.getenv("RANDOM_ROUNDS")
  if not text or text == "" then return count end
  local times = tonumber(text)
  assert(times and times >= 1, "RANDOM_ROUNDS is not a number from 1 on: " .. text)
  return math.floor(count * times)
end

--- A new generator. Its field `seed` tells what it began with.
-- @tparam[opt] number seed 0 to 2^32 - 1
-- @treturn Generator
function random.new(seed)
  if not seed then
    run_seed = run_seed or choose_run_seed()
    seed = run_seed
  end
  local self = setmetatable({ seed = seed }, Generator)
  local state = seed % TWO_32
  for i = 1, 4 do
    state = (state * 1664525 + 1013904223) % TWO_32
    self[i] = bit.tobit(state)
  end
  for _ = 1, 8 do
    self:word()
  end
  return self
end

--- A whole number of 32 bits, 0 to 2^32 - 1.
-- @treturn number
function Generator:word()
  local t = bit.bxor(self[1], bit.lshift(self[1], 11))
  self[1], self[2], self[3] = self[2], self[3], self[4]
  self[4] = bit.bxor(self[4], bit.rshift(self[4], 19), t, bit.rshift(t, 8))
  return self[4] % TWO_32
end

--- A fraction, 0 <= x < 1.
-- @treturn number
function Generator:fraction()
  return self:word() / TWO_32
end

--- A whole number from `lo` to `hi`, both included.
-- @treturn number
function Generator:integer(lo, hi)
  return lo + math.floor(self:fraction() * (hi - lo + 1))
end

--- True with the given probability.
-- @tparam number probability 0 to 1
-- @treturn boolean
function Generator:chance(probability)
  return self:fraction() < probability
end

--- A string of `n` bytes of any value.
-- @treturn string
function Generator:bytes(n)
  local parts = {}
  for i = 1, n do
    parts[i] = string.char(self:integer(0, 255))
  end
  return table.concat(parts)
end

--- One element of a list that is not empty.
function Generator:pick(list)
  assert(#list > 0, "nothing to pick from")
  return list[self:integer(1, #list)]
end

--- Puts a list in random order, in place.
-- @treturn table the list
function Generator:shuffle(list)
  for i = #list, 2, -1 do
    local j = self:integer(1, i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

return random
