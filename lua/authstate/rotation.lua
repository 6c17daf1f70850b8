-- SPDX-License-Identifier: MIT
--- Brings stored values under the primary key: those that another key encrypted, and
-- those that none did.
--
-- It may run beside programs that write. A value is replaced only where what was read is
-- still stored (server/replace.lua), so nothing that somebody writes meanwhile is lost;
-- what was written under another key meanwhile is looked at again, a few times. Nothing
-- is kept of how far it came: a run that was ended is gone on with by the next one, which
-- passes over what is under the primary key already.

local core = require "authstate.core"
local failure = require "authstate.failure"
local meta = require "authstate.meta"
local scan = require "authstate.scan"
local server_scripts = require "authstate.server_scripts"

local rotation = {}

local PAGE_KEYS = 1000
local CHUNK_RECORDS = 200
local CHUNK_BYTES = 1024 * 1024
local MAX_PASSES = 4
local TIMEOUT = { timeout_ms = 120000 }

local function perform(store, session, commands, is_write)
  local call = store:begin(session, TIMEOUT, 1)
  return store:perform(call, { commands = commands, is_write = is_write })
end

--- The ids of all sessions that have records, sorted by their bytes, from all keys of the
-- database; or E.
function rotation.sessions(store)
  local ids, is_listed, cursor = {}, {}, nil
  local function read(commands) return perform(store, nil, commands) end
  repeat
    local entries, next_cursor, code, details =
      scan.page(read, store.layout, cursor, PAGE_KEYS, "*")
    if not entries then return nil, next_cursor, code, details end
    for _, entry in ipairs(entries) do
      if not is_listed[entry.session] then
        is_listed[entry.session] = true
        ids[#ids + 1] = entry.session
      end
    end
    cursor = next_cursor
  until not cursor
  table.sort(ids)
  return ids
end

-- ---- values ---------------------------------------------------------------------------

-- The value as it was before it was encrypted, or as we would store it; or nil, message.
local function open(store, place, kind, id, stored)
  local plain, message = store.keyring:decrypt(stored, place.session, place.generation,
    kind, id, store.options.max_value_bytes)
  if not plain then return nil, message end
  if plain:byte() and plain:byte() >= 0x80 then return plain end
  return store.codec.encode_text(kind, plain)
end

-- What is to stand in the place of a value; or nil, message.
local function renew(store, place, kind, id, stored)
  local plain, message = open(store, place, kind, id, stored)
  if not plain then return nil, message end
  return store.keyring:encrypt(plain, place.session, place.generation, kind, id)
end

local function note_failure(done, place, kind, id, message)
  done.failed = done.failed + 1
  table.insert(done.failures, {
    session = place.session, type = kind, id = id, reason = message,
  })
end

-- ---- hashes ---------------------------------------------------------------------------

-- Sends what was made of some records of one hash. How many were something else by now;
-- or E.
local function replace(store, place, key, triples, done)
  if #triples == 0 then return 0 end
  local arguments = { ("%.0f"):format(place.generation) }
  for i = 1, #triples do arguments[i + 1] = triples[i] end
  local replies, message, code, details = perform(store, place.session, {
    server_scripts.command("replace",
      { store.layout.meta_key(place.session), key }, arguments),
  }, true)
  if not replies then return nil, message, code, details end
  local verdict = replies[1]
  if verdict[1] == "fenced" then return nil, "fenced", "fenced" end
  if verdict[1] ~= "ok" then
    return failure.new("wrong_type", ("the key %s holds another type of Redis value")
      :format(failure.show(verdict[2])), { session = place.session, sent = true })
  end
  local changed = 0
  for i = 2, #verdict do
    if verdict[i] == 1 then done.rewritten = done.rewritten + 1 end
    if verdict[i] == 0 then changed = changed + 1 end
  end
  return changed
end

-- Looks at the fields that a HSCAN found. How many were something else when they should
-- be replaced; or E.
local function rotate_fields(store, place, hash, fields, done)
  local triples, bytes, changed, primary = {}, 0, 0, store.options.encryption.primary
  local function flush()
    local more, message, code, details = replace(store, place, hash.key, triples, done)
    if not more then return nil, message, code, details end
    triples, bytes, changed = {}, 0, changed + more
    return true
  end
  for i = 1, #fields, 2 do
    local field, stored = fields[i], fields[i + 1]
    local kind, id = hash.place(field)
    if hash.is_seen[field] == stored then -- luacheck: ignore 542
      -- Counted in an earlier pass, or HSCAN gives it twice.
    elseif store.keyring:key_id(stored) == primary then
      done.already = done.already + 1
      hash.is_seen[field] = stored
    else
      local renewed, message = renew(store, place, kind, id, stored)
      if renewed then
        triples[#triples + 1], triples[#triples + 2] = field, stored
        triples[#triples + 1] = renewed
        bytes = bytes + #stored + #renewed
        hash.is_seen[field] = renewed
      else
        note_failure(done, place, kind, id, message)
        hash.is_seen[field] = stored
      end
    end
    if #triples >= 3 * CHUNK_RECORDS or bytes >= CHUNK_BYTES or i + 2 > #fields then
      local is_sent, message, code, details = flush()
      if not is_sent then return nil, message, code, details end
    end
  end
  return changed
end

-- Goes once through a hash. As rotate_fields.
local function pass(store, place, hash, done)
  local cursor, changed = "0", 0
  repeat
    local replies, message, code, details = perform(store, place.session,
      { { "HSCAN", hash.key, cursor, "COUNT", tostring(CHUNK_RECORDS) } })
    if not replies then return nil, message, code, details end
    cursor = replies[1][1]
    local more
    more, message, code, details =
      rotate_fields(store, place, hash, replies[1][2], done)
    if not more then return nil, message, code, details end
    changed = changed + more
  until cursor == "0"
  return changed
end

-- Goes through a hash until nothing changes under it. True; or E.
local function rotate_hash(store, place, hash, done)
  local changed, message, code, details
  for _ = 1, MAX_PASSES do
    changed, message, code, details = pass(store, place, hash, done)
    if not changed then return nil, message, code, details end
    if changed == 0 then return true end
  end
  done.left = done.left + changed
  return true
end

-- ---- sessions -------------------------------------------------------------------------

local function rotate_keys_of(store, id, found, done)
  local layout = store.layout
  local place = { session = id, generation = tonumber(found.generation) }
  for at, key in ipairs(layout.arrangement.keys(layout, id, found.types)) do
    local hash = { key = key, is_seen = {} }
    function hash.place(field)
      return layout.arrangement.place(layout, id, found.types, at, field)
    end
    local is_done, message, code, details = rotate_hash(store, place, hash, done)
    if not is_done then return nil, message, code, details end
  end
  return true
end

--- Rotates one session.
-- @param store with encryption
-- @param id of the session
-- @return { rewritten, already, failed, left = how many others wrote again and again,
--   failures = list of { session, type, id, reason } }; nil alone when there is no such
--   session; or E
function rotation.rotate(store, id)
  for _ = 1, MAX_PASSES do
    local replies, message, code, details =
      perform(store, id, { { "HGETALL", store.layout.meta_key(id) } })
    if not replies then return nil, message, code, details end
    local found = meta.parse_all(replies[1], store:token())
    if not found.generation or found.is_deleted then return nil end
    local done = { rewritten = 0, already = 0, failed = 0, left = 0, failures = {} }
    local is_done
    is_done, message, code, details = rotate_keys_of(store, id, found, done)
    if is_done then return done end
    -- Deleted, and perhaps begun anew: what was done so far is gone with it.
    if code ~= "fenced" then return nil, message, code, details end
  end
  return failure.new("conflict", "the session is created and deleted all the time",
    { session = id, sent = true, retry = true })
end

--- A failure for people.
function rotation.describe(each)
  return ("%s: %s"):format(failure.record(each.type, each.id), each.reason)
end

--- A failure for programs.
function rotation.document(each, json_id)
  return {
    session = json_id(each.session), type = json_id(each.type), id = json_id(each.id),
    reason = core.to_json(each.reason) and each.reason or "not UTF-8",
  }
end

return rotation
