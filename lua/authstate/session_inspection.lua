-- SPDX-License-Identifier: MIT
--- What may be told of a session: sizes, counters, fingerprints and times. Of a record
-- there is its size and a hash, never its content.
--
-- The fingerprint of a record is the first 16 digits of the SHA-256 of its JSON text, as
-- `authstate get` prints it. That of a type is the same of these lines, sorted by their
-- bytes, each with a line feed: "<SHA-256 of the id> <SHA-256 of the record's text>". So
-- it changes with each record and each id, and does not depend on any order.

local core = require "authstate.core"
local store_inspection = require "authstate.store_inspection"

local session_inspection = {}

local FINGERPRINT_DIGITS = 16
local MAX_READS = 8

local function fingerprint(text)
  return core.sha256_hex(text):sub(1, FINGERPRINT_DIGITS)
end

-- The whole session from one read, and what Redis says of it besides; read again when it
-- was written in between. Nil alone when there is none; or E.
local function read_session(session, options)
  local loaded, info, message, code, details
  for _ = 1, MAX_READS do
    loaded, message, code, details = session:load_json(options)
    if not loaded then return nil, message, code, details end
    info, message, code, details = session.store:session_info(session.id, options)
    if message then return nil, message, code, details end
    -- Creds that were put there by something else than a first write have no info.
    if not info and not loaded.generation then return loaded, {} end
    if info and info.generation == loaded.generation and
       info.version == loaded.version then
      return loaded, info
    end
  end
  if not info then return nil end
  return loaded, info
end

-- Names of whole numbers of the creds that count or number something. Other numbers are
-- not shown: a library might keep a secret code in one.
local COUNTER_ENDINGS = { "id", "count", "counter", "index", "version", "timestamp" }

local function is_counter(name, value)
  if type(name) ~= "string" or type(value) ~= "number" or value % 1 ~= 0 or
     math.abs(value) > 2 ^ 53 then
    return false
  end
  local lower = name:lower()
  for _, ending in ipairs(COUNTER_ENDINGS) do
    if lower:sub(-#ending) == ending then return true end
  end
  return false
end

-- The first 8 bytes of the SHA-256 of the public identity key, hexadecimal; nil when the
-- creds have none.
local function identity_of(creds)
  local pair = creds.signedIdentityKey
  local public = type(pair) == "table" and pair.public
  return core.is_bytes(public) and fingerprint(public:raw()) or nil
end

local function describe_creds(text)
  local creds = assert(core.from_json(text)) -- the read has found it to be an object
  local counters = {}
  for name, value in pairs(creds) do
    if is_counter(name, value) then counters[name] = value end
  end
  return {
    json_bytes = #text, sha256 = fingerprint(text), identity = identity_of(creds),
    counters = counters,
  }
end

-- Whether one whole number in decimal, without leading zeros, is less than another.
local function is_less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function is_whole_number(id)
  return id == "0" or id:find "^[1-9]%d*$" ~= nil
end

local function describe_type(kind, records)
  local described = { type = kind, records = 0, json_bytes = 0, largest_bytes = 0 }
  local lines, is_numbered, first, last = {}, true, nil, nil
  for id, text in pairs(records) do
    lines[#lines + 1] = core.sha256_hex(id) .. " " .. core.sha256_hex(text) .. "\n"
    described.json_bytes = described.json_bytes + #text
    described.smallest_bytes = math.min(described.smallest_bytes or #text, #text)
    described.largest_bytes = math.max(described.largest_bytes, #text)
    is_numbered = is_numbered and is_whole_number(id)
    if is_numbered then
      first = (not first or is_less(id, first)) and id or first
      last = (not last or is_less(last, id)) and id or last
    end
  end
  table.sort(lines)
  described.records = #lines
  described.sha256 = fingerprint(table.concat(lines))
  if is_numbered then described.first_id, described.last_id = first, last end
  return described
end

local function describe_types(keys)
  local kinds, described = {}, core.array {}
  for kind in pairs(keys) do kinds[#kinds + 1] = kind end
  table.sort(kinds)
  for i, kind in ipairs(kinds) do described[i] = describe_type(kind, keys[kind]) end
  return described
end

--- Reads a session and describes it.
-- @param options { timeout_ms } of each of its calls
-- @return { session, generation, version, registered, last_write, memory_bytes,
--   measured_version (of the two before), creds = { json_bytes, sha256, identity,
--   counters }, types = list of { type, records, json_bytes, smallest_bytes,
--   largest_bytes, first_id, last_id, sha256 } }, ids and types as they are; nil alone
--   when there is no such session; or E
function session_inspection.read(session, options)
  local loaded, info, code, details = read_session(session, options)
  if not loaded then return nil, info, code, details end
  local now_ms = store_inspection.server_time_ms(session.store, options)
  return {
    session = session.id, generation = loaded.generation, version = loaded.version,
    registered = info.registered,
    last_write = store_inspection.last_write(info, now_ms),
    memory_bytes = info.bytes, measured_version = info.version,
    creds = loaded.creds and describe_creds(loaded.creds),
    types = describe_types(loaded.keys),
  }
end

return session_inspection
