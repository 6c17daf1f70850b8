-- SPDX-License-Identifier: MIT
--- The sessions that the cases of the codec go through: both fixtures, or the one that is
-- named, and the file that SESSION names.
--
-- A session is { name, texts, types, json_bytes, is_named }. `texts` is what
-- session_file.read gives; `types` a list of { name, json_bytes, records = list of
-- { kind, id, text } }, ordered by name, in which the credentials are a type with one
-- record. `is_named` is true of the file.

local session_file = require "authstate.session_file"

local FIXTURES = { "small", "large" }

local sessions = {}

--- The path of a fixture.
function sessions.fixture_path(name)
  return "spec/fixtures/" .. name .. ".json.gz"
end

local function records_of(kind, texts)
  local part = { name = kind, records = {}, json_bytes = 0 }
  for i, id in ipairs(session_file.sorted_names(texts)) do
    part.records[i] = { kind = kind, id = id, text = texts[id] }
    part.json_bytes = part.json_bytes + #texts[id]
  end
  return part
end

-- The records of each type, or of one.
local function list_types(texts, wanted)
  local all = {}
  for kind, records in pairs(texts.keys) do all[kind] = records end
  if texts.creds and texts.creds ~= "null" then all.creds = { creds = texts.creds } end
  local types = {}
  for _, kind in ipairs(session_file.sorted_names(all)) do
    if (wanted or kind) == kind and next(all[kind]) then
      types[#types + 1] = records_of(kind, all[kind])
    end
  end
  return types
end

--- Reads a session.
-- @param path of its file
-- @param name what the tables call it
-- @param kind the only type that counts, or nil
-- @return the session; or nil and a sentence
function sessions.read(path, name, kind)
  local texts, message = session_file.read(path)
  if not texts then return nil, message end
  local session = { name = name, texts = texts, types = list_types(texts, kind) }
  if #session.types == 0 then
    return nil, ("%s: no records%s"):format(path,
      kind and (" of type %q"):format(kind) or "")
  end
  session.json_bytes = 0
  for _, part in ipairs(session.types) do
    session.json_bytes = session.json_bytes + part.json_bytes
  end
  return session
end

--- The sessions that a run is about.
-- @param knobs see knobs.lua: FIXTURE, SESSION and TYPE
-- @return list of sessions; or nil and a sentence
function sessions.list(knobs)
  local list = {}
  for _, name in ipairs(knobs.FIXTURE and { knobs.FIXTURE } or FIXTURES) do
    list[#list + 1] = { sessions.fixture_path(name), name }
  end
  if knobs.SESSION then list[#list + 1] = { knobs.SESSION, knobs.SESSION } end
  for i, each in ipairs(list) do
    local session, message = sessions.read(each[1], each[2], knobs.TYPE)
    if not session then return nil, message end
    session.is_named = each[2] == knobs.SESSION
    list[i] = session
  end
  return list
end

return sessions
