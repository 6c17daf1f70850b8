-- SPDX-License-Identifier: MIT
--- What a store of ours keeps in Redis of a session, as anyone can read it there: the
-- session is written through the public API with any options of `open`, and its fields
-- are read by plain commands.

local authstate = require "authstate"
local session_file = require "authstate.session_file"
local storages = require "bench.harness.storages"

local SESSION = "5511900000002"

local stored = {}

-- Opens a store. An option whose feature is not there is the caller's mistake for `open`,
-- but not for a benchmark: nil and its sentence.
local function open(server, options)
  local given = { redis = server.url, enable_cache = false }
  for name, value in pairs(options) do given[name] = value end
  local is_fine, store, message = pcall(authstate.open, given)
  if not is_fine then return nil, (tostring(store):gsub("^[^ ]+:%d+: ", "")) end
  return store, message
end

local function values_of(texts)
  local session = { creds = texts.creds and assert(authstate.from_json(texts.creds)),
    keys = {} }
  for kind, records in pairs(texts.keys) do
    session.keys[kind] = {}
    for id, text in pairs(records) do
      session.keys[kind][id] = assert(authstate.from_json(text))
    end
  end
  return session
end

local writers = {}

function writers.text(session, texts)
  return session:commit_json(assert(session_file.compose(texts)))
end

function writers.values(session, texts)
  return session:commit(values_of(texts))
end

--- Stores a session on an empty server.
-- @param server one of spec.support.redis_server
-- @param texts see sessions.lua
-- @param options of `open`, besides `redis`
-- @param form what is handed over: "text" (`commit_json`) or "values" (`commit`)
-- @return true; or nil and a sentence when `open` does not know an option
function stored.write(server, texts, options, form)
  server:command "FLUSHALL"
  local store, message = open(server, options)
  if not store then return nil, message end
  assert(writers[form](store:session(SESSION), texts))
  assert(store:close())
  return true
end

local function read_creds(server, session)
  return { server:command("HGET", ("authstate:{%s}:creds"):format(session), "creds") }
end

--- The stored bytes of the records of one type, in their order.
-- @param part a type of sessions.lua
-- @return list of strings
function stored.read(server, part)
  local ids = {}
  for i, record in ipairs(part.records) do ids[i] = record.id end
  local read = part.name == "creds" and read_creds or storages.typed.read
  local values = read(server, SESSION, part.name, ids)
  for i, id in ipairs(ids) do
    assert(values[i], ("%s %q was not stored"):format(part.name, id))
  end
  return values
end

--- The bytes that are stored of each type.
-- @param session see sessions.lua
-- @return { [type] = bytes }
function stored.bytes(server, session)
  local bytes = {}
  for _, part in ipairs(session.types) do
    local sum = 0
    for _, value in ipairs(stored.read(server, part)) do sum = sum + #value end
    bytes[part.name] = sum
  end
  return bytes
end

return stored
