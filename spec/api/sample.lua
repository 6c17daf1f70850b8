-- SPDX-License-Identifier: MIT

--- Real auth state for specs: the records of the sessions in `spec/fixtures`.
-- @module spec.api.sample

local core = require "authstate.core"
local fixture = require "spec.support.fixture"

local sample = {}

local texts, sessions = {}, {}

--- The JSON text of a whole session.
-- @tparam string name `small` (478 records) or `large` (2,934)
function sample.text(name)
  texts[name] = texts[name] or fixture.read(name .. ".json.gz")
  return texts[name]
end

--- The texts of its records: `{ creds, keys = { [type] = { [id] = text } }, records }`.
-- Not to be changed.
function sample.session(name)
  sessions[name] = sessions[name] or assert(core.split_session(sample.text(name)))
  return sessions[name]
end

--- The creds of the small session, as text.
function sample.creds_text()
  return sample.session("small").creds
end

--- The same as a table of the caller's own, with a registration id to tell it by.
function sample.creds(registration_id)
  local creds = core.from_json(sample.creds_text())
  creds.registrationId = registration_id or creds.registrationId
  return creds
end

--- Ids of a type in the small session, in the order of their bytes.
function sample.ids(kind)
  local ids = {}
  for id in pairs(sample.session("small").keys[kind]) do ids[#ids + 1] = id end
  table.sort(ids)
  return ids
end

--- The n-th record of a type in the small session: its text and its id.
function sample.record(kind, n)
  local id = sample.ids(kind)[n or 1]
  return sample.session("small").keys[kind][id], id
end

--- The same as a Lua value of the caller's own.
function sample.value(kind, n)
  return core.from_json((sample.record(kind, n)))
end

return sample
