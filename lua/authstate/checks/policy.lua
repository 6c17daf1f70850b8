-- SPDX-License-Identifier: MIT
--- What must hold of every eviction policy, tried in random steps on real caches of
-- random sizes.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local policy = require "authstate.policy"

local library = core_ffi.library

local TYPES = { "session", "pre-key", "sender-key", "identity-key" }
local WHYS = { "deleted", "invalidated", "expired", "flushed" }
local CAPACITIES = { 1, 2, 3, 5, 10, 40 }
local UNIT_BYTES, MOST_BYTES = 1, 1000

-- A cache is tried for so many steps, then another one.
local STEPS = 400

local VICTIM = "evict names an entry that there is"
local REMOVE = "remove takes the entry out of every queue and heap"

local Checker = { __name = "authstate.policy_check" }
Checker.__index = Checker

local checks = {}

--- The rules, each with a name that is a sentence.
function checks.names()
  return { VICTIM, REMOVE }
end

--- @param make, path from policy.load
function checks.new(make, path)
  return setmetatable({ make = make, path = path, is_whole = false }, Checker)
end

function Checker:say(rule, example)
  self.complaints = self.complaints + 1
  self.complain(rule, example)
end

-- Another cache, in which entries count as one or as what they take, and the policy anew.
function Checker:begin(dice)
  if self.object then self.object:close() end
  local is_unit = dice(2) == 1
  local capacity = CAPACITIES[dice(#CAPACITIES)] * (is_unit and 1 or MOST_BYTES)
  self.object = assert(core.cache(capacity, is_unit and UNIT_BYTES or 0, 1))
  self.core = core_ffi.cache(self.object:address())
  self.steps_left = STEPS
  local hooks, message = policy.make(self.make, self.path, self.core, { types = TYPES })
  if not hooks then error(message, 0) end
  self.hooks = hooks
end

local function is_resident(seen, e)
  return type(e) == "number" and e >= 1 and e < seen.slots and e % 1 == 0
    and seen.entries[e].size_bytes > 0
end

-- An entry by chance, nil when there is none.
function Checker:pick(dice)
  local seen = self.core
  if seen.count == 0 then return nil end
  local e
  repeat e = dice(seen.slots - 1) until seen.entries[e].size_bytes > 0
  return e
end

function Checker:discard(e, why)
  self.hooks.remove(e, why)
  if library.authstate_cache_places(self.core, e) > 0 then
    self:say(REMOVE, ("entry %d, removed because it was %s, is still in one")
      :format(e, why))
  end
  library.authstate_cache_delete(self.core, e)
end

-- Asks for a victim and takes it out. False when it is none.
function Checker:evict()
  local seen = self.core
  local e = self.hooks.evict()
  if is_resident(seen, e) then
    self:discard(e, "evicted")
    return true
  end
  self:say(VICTIM, ("it named %s, of %d entries"):format(tostring(e),
    seen.count))
  return false
end

function Checker:shrink()
  while self.core.used_bytes > self.core.capacity_bytes and self.core.count > 0 do
    if not self:evict() then return end
  end
end

-- ---- what may happen -----------------------------------------------------------------

local EVENTS = {}

function EVENTS.insert(self, dice)
  local seen, id = self.core, "id" .. dice(120)
  local kind, session = dice(#TYPES), dice(2)
  local e = library.authstate_cache_peek(seen, session, kind, id, #id)
  if e ~= 0 then return self.hooks.hit(e) end
  local value = ("x"):rep(dice(300))
  e = library.authstate_cache_insert(seen, session, kind, id, #id, value, #value)
  if e <= 0 then return end
  local entry = seen.entries[e]
  entry.cost, entry.absent = dice(4) - 1, dice(4) == 1
  entry.preloaded = dice(4) == 1
  entry.hits = not entry.preloaded and dice(2) - 1 or 0
  self.hooks.insert(e)
  self:shrink()
end

function EVENTS.hit(self, dice)
  local e = self:pick(dice)
  if not e then return end
  local seen, entry = self.core, self.core.entries[e]
  library.authstate_cache_find(seen, entry.session, entry.type,
    library.authstate_cache_id(seen, e), library.authstate_cache_id_length(seen, e),
    seen.now_ms)
  entry.preloaded = false
  self.hooks.hit(e)
end

function EVENTS.remove(self, dice)
  local e = self:pick(dice)
  if e then self:discard(e, WHYS[dice(#WHYS)]) end
end

-- Another value of another size: nobody tells the policy.
function EVENTS.replace(self, dice)
  local e, value = self:pick(dice), ("x"):rep(dice(400))
  if not e then return end
  library.authstate_cache_replace(self.core, e, value, #value)
  self:shrink()
end

function EVENTS.resize(self, dice)
  local seen = self.core
  seen.capacity_bytes = math.max(1, math.floor(seen.capacity_bytes * (dice(20) / 10)))
  self.hooks.resize(seen.capacity_bytes)
  self:shrink()
end

-- All go, one way or the other, so that none is lost sight of.
function EVENTS.empty(self, dice)
  local is_evicted = dice(2) == 1
  while self.core.count > 0 do
    if not is_evicted then
      self:discard(self:pick(dice), "flushed")
    elseif not self:evict() then
      return
    end
  end
end

-- Of a hundred, so many are ...
local CHANCES = {
  { 48, EVENTS.insert }, { 84, EVENTS.hit }, { 92, EVENTS.remove },
  { 96, EVENTS.replace }, { 98, EVENTS.resize }, { 100, EVENTS.empty },
}

--- One random step. What the script raises is raised.
-- @param self from `new`
-- @param complain function(rule, example)
function checks.step(self, dice, complain)
  -- A step that raised, or in which something was wrong, leaves a cache that is no good.
  if not self.is_whole or self.steps_left == 0 then self:begin(dice) end
  self.is_whole, self.steps_left = false, self.steps_left - 1
  self.complain, self.complaints = complain, 0
  self.core.now_ms = self.core.now_ms + dice(10)
  local chance, event = dice(100), nil
  for i = #CHANCES, 1, -1 do
    if chance <= CHANCES[i][1] then event = CHANCES[i][2] end
  end
  event(self, dice)
  self.is_whole = self.complaints == 0
end

return checks
