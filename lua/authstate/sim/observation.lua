-- SPDX-License-Identifier: MIT
--- The log of the model of Redis in the words of a checker: which records of which
-- session each change touched. What the keys mean is told by the layout, and what the
-- values are by what opens them: they may be packed and encrypted.

local core = require "authstate.core"
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

-- The number of the write that made a value; 0 for one that none made, or that cannot be
-- opened.
local function tag_of(self, session, kind, id, stored)
  local store, text = self.store
  if store.opener then
    local place = { session = session, generation = self.generations[session] or 0 }
    text = store.opener:open("json", place, kind, id, stored)
  else
    text = core.json_decode(stored, store.options.max_value_bytes)
  end
  return text and history.tag_in(text) or 0
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
  entry.cells[cell] = change.value and
    tag_of(self, entry.session, kind, id, change.value) or false
  self.cells_of[change.key] = known or {}
  self.cells_of[change.key][cell] = change.value and true
end

-- What a change writes is encrypted for the generation that it is in, or opens.
local function note_generations(self, changes)
  for _, change in ipairs(changes) do
    local session = change.field == "gen" and self.meta_keys[change.key]
    if session then self.generations[session] = tonumber(change.value) end
  end
end

-- All sessions are gone, and that they ever were.
local function note_flush(self, sessions, position, at_ms, entries)
  self.cells_of, self.generations = {}, {}
  for _, session in ipairs(sessions) do
    entries[#entries + 1] = {
      session = session, position = position, at_ms = at_ms, cells = {}, is_flush = true,
    }
  end
end

--- @param log see server.lua
-- @param store that knows layout and keys, not closed yet
-- @param sessions list of ids
-- @return list of { session, position, at_ms, cells = { [cell] = tag, 0 for a value
--   without one, false for none }, generation, version, is_tombstone, writer, seq }, in
--   order; the last five as far as they were changed. One with `is_flush`: nothing is
--   left of the session
function observation.entries(log, store, sessions)
  local layout, meta_keys = store.layout, {}
  local self = {
    store = store, layout = layout, meta_keys = meta_keys, cells_of = {},
    generations = {}, -- by session, the newest
  }
  for _, session in ipairs(sessions) do meta_keys[layout.meta_key(session)] = session end
  local entries = {}
  for position, unit in ipairs(log) do
    local found = {}
    if unit.is_flush then note_flush(self, sessions, position, unit.at_ms, entries) end
    note_generations(self, unit.is_flush and {} or unit.changes)
    for _, change in ipairs(unit.is_flush and {} or unit.changes) do
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
