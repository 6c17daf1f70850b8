-- SPDX-License-Identifier: MIT
--- The log of the model of Redis in the words of a checker: which records of which
-- session each change touched. What the keys mean is told by the layout.

local history = require "authstate.sim.history"

local observation = {}

-- The entry of a session in what one change of the server did.
local function entry_of(found, session, position, at_ms)
  local entry = found[session]
  if not entry then
    entry = { session = session, position = position, at_ms = at_ms, cells = {} }
    found[session] = entry
    found[#found + 1] = entry
  end
  return entry
end

local META_FIELDS = { gen = "generation", ver = "version" }

local function note_meta(entry, field, value)
  local name = META_FIELDS[field]
  if name then entry[name] = tonumber(value) end
  if field == "tombstone" then entry.is_tombstone = value ~= nil end
  local writer = field and field:match "^w:(.*)$"
  if writer and value then
    entry.writer, entry.seq = writer, tonumber(value:match "^%d+")
  end
end

-- A key is gone, with all records that it held.
local function note_removal(entry, cells_of_key)
  for cell in pairs(cells_of_key or {}) do entry.cells[cell] = false end
end

local function note_record(self, entry, change)
  local known = self.cells_of[change.key]
  if not change.field then
    note_removal(entry, known)
    self.cells_of[change.key] = nil
    return
  end
  local _, kind, id = self.layout.parse(change.key, change.field)
  if not kind then return end
  local cell = kind .. "/" .. id
  entry.cells[cell] = change.value and (history.tag_in(change.value) or 0) or false
  self.cells_of[change.key] = known or {}
  self.cells_of[change.key][cell] = change.value and true
end

--- @param log see server.lua
-- @param layout see layout.lua
-- @param sessions list of ids
-- @return list of { session, position, at_ms, cells = { [cell] = tag, 0 for a value
--   without one, false for none }, generation, version, is_tombstone, writer, seq }, in
--   order; the last five as far as they were changed
function observation.entries(log, layout, sessions)
  local self, meta_keys = { layout = layout, cells_of = {} }, {}
  for _, session in ipairs(sessions) do meta_keys[layout.meta_key(session)] = session end
  local entries = {}
  for position, unit in ipairs(log) do
    local found = {}
    for _, change in ipairs(unit.changes) do
      local session = meta_keys[change.key]
      if session then
        note_meta(entry_of(found, session, position, unit.at_ms), change.field,
          change.value)
      else
        session = layout.parse(change.key, change.field or "")
        session = session or layout.parse(change.key, "creds")
        if session then
          note_record(self, entry_of(found, session, position, unit.at_ms), change)
        end
      end
    end
    for _, entry in ipairs(found) do entries[#entries + 1] = entry end
  end
  return entries
end

return observation
