-- SPDX-License-Identifier: MIT
--- What must hold of every preload rule, tried with reads of known and of hostile names.

local failure = require "authstate.failure"
local preload = require "authstate.preload"

local TYPES = {
  "pre-key", "session", "sender-key", "sender-key-memory", "app-state-sync-key",
  "app-state-sync-version", "lid-mapping", "device-list", "tctoken", "identity-key", "",
  "other", "\255",
}

local IDS = {
  "", " ", "0", "-1", "1e999", "nan", "a", "::", "a::b", "::::", ".", "a.", ".0", "*",
  "%", "%d+", "\0", "\255", "日本語", "critical_block", "5511999999999.0",
  "120363000000030868@g.us", "120363000000030868@g.us::5521980000274::0",
  "100000000000001_1.0", "100000000000001_reverse", ("x"):rep(500),
}

local SESSIONS, NAMES = 20, 30

-- Records for which the rule is not asked for memory, and how much it may take for each
-- that comes after them. One that forgets nothing takes a hundred bytes or more.
local FIRST_READS, BYTES = 30000, 40
local MEASURE = 2000 -- steps

local RECORD = "also is given a type and an id, both strings"
local MEMORY = "its memory has a bound"

local Checker = { __name = "authstate.preload_check" }
Checker.__index = Checker

local checks = {}

--- The rules, each with a name that is a sentence.
function checks.names()
  return { RECORD, MEMORY }
end

--- @param name of the rule, or path
-- @return what is stepped; or nil and a sentence
function checks.new(name)
  local rule, message = preload.new(name, { preload_limit = 16 })
  if not rule then return nil, message end
  return setmetatable({
    hooks = rule.hooks, added = {}, reads = 0, steps = 0,
  }, Checker)
end

local function draw_id(self, dice)
  local chance = dice(4)
  if chance == 1 then return IDS[dice(#IDS)] end
  if chance == 2 then return ("55%d.%d"):format(dice(NAMES), dice(2) - 1) end
  -- One that is new.
  return ("%d@g.us::%d::0"):format(dice(NAMES), self.reads)
end

-- What the rule is given to add with; notes what it adds.
local function new_also(self, dice, complain)
  return function(kind, id)
    if type(kind) ~= "string" or type(id) ~= "string" then
      complain(RECORD, ("it was given %s and %s"):format(failure.show(kind),
        failure.show(id)))
      return false
    end
    if dice(3) == 1 then return false end -- it is there already, or there are enough
    self.added[#self.added + 1] = { kind, id }
    return true
  end
end

local function measure(self, complain)
  collectgarbage()
  local bytes = collectgarbage "count" * 1024
  if self.reads < FIRST_READS then
    self.first_bytes, self.first_reads = bytes, self.reads
    return
  end
  local grown, reads = bytes - self.first_bytes, self.reads - self.first_reads
  if reads > FIRST_READS and grown > BYTES * reads then
    complain(MEMORY, ("it grew by %.0f bytes in %d reads of new records"):format(grown,
      reads))
  end
end

--- One random step, in which some records are read. What the script raises is raised.
-- @param self from `new`
-- @param complain function(rule, example)
function checks.step(self, dice, complain)
  local ids, also = {}, new_also(self, dice, complain)
  for i = 1, dice(10) do
    self.reads = self.reads + 1
    ids[i] = draw_id(self, dice)
    if dice(4) > 1 then
      self.hooks.read(also, TYPES[dice(#TYPES)], { ids[i] }, dice(SESSIONS))
    end
  end
  self.hooks.read(also, TYPES[dice(#TYPES)], ids, dice(SESSIONS))
  -- Each that was added is read or leaves the cache, sooner or later.
  while #self.added > 50 do
    local record = table.remove(self.added, dice(#self.added))
    self.hooks.seen(record[1], record[2], dice(2) == 1)
  end
  self.steps = self.steps + 1
  if self.steps % MEASURE == 0 then measure(self, complain) end
end

return checks
