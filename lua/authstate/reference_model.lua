-- SPDX-License-Identifier: MIT
--- What a session ought to hold: Lua tables that share nothing with the store, for the
-- demo to compare with.
--
-- A trace names the records of a write but not what was written. So the model gives each
-- write the text of another real record of the same type, in turn: a write that did not
-- reach the store is then seen.

local core = require "authstate.core"

local Model = { __name = "authstate.reference_model" }
Model.__index = Model

local reference_model = {}

--- @param session { creds = text, keys = { [type] = { [id] = text } } }; copied
function reference_model.new(session)
  local model = setmetatable({
    creds = session.creds, records = {}, pools = {}, turns = {},
    lost = {}, lost_count = 0,
  }, Model)
  for kind, records in pairs(session.keys) do
    local pool, copy = {}, {}
    for id, text in pairs(records) do
      pool[#pool + 1] = text
      copy[id] = text
    end
    table.sort(pool)
    model.records[kind], model.pools[kind], model.turns[kind] = copy, pool, 0
  end
  return model
end

--- The session as it ought to be.
function Model:session()
  return { creds = self.creds, keys = self.records }
end

-- A text of this type that is not what the record holds now, if there are two at all.
local function next_text(self, kind, id)
  local pool = self.pools[kind]
  for _ = 1, #pool do
    self.turns[kind] = self.turns[kind] % #pool + 1
    local text = pool[self.turns[kind]]
    if text ~= self.records[kind][id] then return text end
  end
  return pool[1]
end

--- Applies a "set" of the trace.
-- @param named { [type] = list of ids, with "-" before one that is deleted }
-- @return what the store must be given: { [type] = { [id] = text | null } }
function Model:apply(named)
  local changes = {}
  for kind, ids in pairs(named) do
    if not self.records[kind] then
      self.records[kind], self.turns[kind] = {}, 0
      self.pools[kind] = { '{"unknown":1}', '{"unknown":2}' }
    end
    changes[kind] = {}
    for _, word in ipairs(ids) do
      local is_deleted = word:sub(1, 1) == "-"
      local id = is_deleted and word:sub(2) or word
      local text
      if not is_deleted then text = next_text(self, kind, id) end
      self.records[kind][id] = text
      changes[kind][id] = text or core.null
    end
  end
  return changes
end

--- Creds that differ from those before in one counter.
-- @return their text
function Model:next_creds()
  self.creds = self.creds:gsub('"nextPreKeyId":(%d+)', function(number)
    return ('"nextPreKeyId":%d'):format(number + 1)
  end)
  return self.creds
end

local function note_lost(self, kind, id)
  local name = kind .. "\0" .. id
  if self.lost[name] then return end
  self.lost[name] = true
  self.lost_count = self.lost_count + 1
end

--- Compares the answer to a read.
function Model:check_read(kind, ids, found)
  local records = self.records[kind] or {}
  for _, id in ipairs(ids) do
    if found[id] ~= records[id] then note_lost(self, kind, id) end
  end
end

-- Records of `one` that `other` does not have alike.
local function check_against(self, one, other)
  local checked = 0
  for kind, records in pairs(one) do
    local others = other[kind] or {}
    for id, text in pairs(records) do
      checked = checked + 1
      if others[id] ~= text then note_lost(self, kind, id) end
    end
  end
  return checked
end

--- Compares a whole session, both ways.
-- @param loaded { creds = text, keys }
-- @return how many records ought to be there, creds included
function Model:check_all(loaded)
  if loaded.creds ~= self.creds then note_lost(self, "creds", "creds") end
  check_against(self, loaded.keys, self.records)
  return check_against(self, self.records, loaded.keys) + 1
end

return reference_model
