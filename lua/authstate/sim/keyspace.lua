-- SPDX-License-Identifier: MIT
--- The keys of a database of the model of Redis: strings, hashes and sorted sets, with a
-- time to live. Each change is told to `note`.

local Keyspace = { __name = "authstate.sim.keyspace" }
Keyspace.__index = Keyspace

local keyspace = {}

local WRONG_TYPE = {
  err = "WRONGTYPE Operation against a key holding the wrong kind of value",
}

--- @param now_ms function: the server's time, ms
-- @param note function(key, field, value): a field of a key has another value, nil for
--   none; without a field, the key is gone
function keyspace.new(now_ms, note)
  return setmetatable({ now_ms = now_ms, note = note, entries = {} }, Keyspace)
end

--- What a key holds: { kind, ... }, nil for nothing.
function Keyspace:entry(key)
  local entry = self.entries[key]
  if entry and entry.expires_ms and entry.expires_ms <= self.now_ms() then
    self:remove(key)
    return nil
  end
  return entry
end

--- What a key holds, which must be of a kind.
-- @return entry or nil; or nil and an error reply
function Keyspace:entry_of(key, kind)
  local entry = self:entry(key)
  if entry and entry.kind ~= kind then return nil, WRONG_TYPE end
  return entry
end

--- The same, made when there is none.
-- @return entry; or nil and an error reply
function Keyspace:make(key, kind)
  local entry, wrong = self:entry_of(key, kind)
  if entry or wrong then return entry, wrong end
  entry = { kind = kind, values = {}, order = {} }
  self.entries[key] = entry
  return entry
end

--- Takes a key away. Whether it was there.
function Keyspace:remove(key)
  if self.entries[key] == nil then return false end
  self.entries[key] = nil
  self.note(key)
  return true
end

--- Gives a field of an entry a value. Whether the field is new.
function Keyspace:set(key, entry, field, value)
  local is_new = entry.values[field] == nil
  if is_new then entry.order[#entry.order + 1] = field end
  entry.values[field] = value
  self.note(key, field, value)
  return is_new
end

--- Takes a field out of an entry, and the key when it was the last. Whether it was there.
function Keyspace:unset(key, entry, field)
  if entry.values[field] == nil then return false end
  entry.values[field] = nil
  for i, each in ipairs(entry.order) do
    if each == field then
      table.remove(entry.order, i)
      break
    end
  end
  self.note(key, field, nil)
  if entry.order[1] == nil then self.entries[key] = nil end
  return true
end

--- All keys that are there, sorted.
function Keyspace:keys()
  local keys = {}
  for key in pairs(self.entries) do
    if self:entry(key) then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

return keyspace
