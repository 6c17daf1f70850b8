-- SPDX-License-Identifier: MIT
--- The keys of a store: reads them, in the forms in which the option `encryption` takes
-- them, and opens values that were encrypted with them.
--
-- An encrypted value says in which generation of its session it was written, and opens
-- there only, under its own session, type and id (core/codec/keyring.h). So a value is
-- encrypted when it is known which generation it goes to, at the last moment before it is
-- sent, and is opened with the generation that was read with it.

local core = require "authstate.core"
local failure = require "authstate.failure"

local encryption = {}

local KEY_BYTES = 32

--- How much longer an encrypted value is than the value itself.
encryption.OVERHEAD_BYTES = 37

-- What a text of as many characters is.
local DECODERS = { [64] = core.from_hex, [44] = core.from_base64 }

local ACCEPTED = "accepted: authstate.bytes of 32 bytes, 64 hexadecimal digits, 44 "
  .. "characters of base64, or { file = path } of a file with one of these"

-- The 32 bytes that a text stands for; nil when it is none of a key.
local function decode_text(text)
  local decode = DECODERS[#text]
  if not decode then return nil end
  local is_right, bytes = pcall(decode, text)
  return is_right and #bytes == KEY_BYTES and bytes:raw() or nil
end

-- The same of a file: 32 bytes, or a line with a text.
local function read_file(path)
  local file, reason = io.open(path, "rb")
  if not file then return nil, reason end
  local content
  content, reason = file:read(4096) or "", nil
  file:close()
  if #content == KEY_BYTES then return content end
  local key = decode_text(content:match "^%s*(.-)%s*$")
  if not key then reason = path .. " holds no key" end
  return key, reason
end

-- The 32 bytes of what was given for a key; nil and what is wrong with it, which never
-- shows any of it.
local function decode_key(given)
  if type(given) == "table" then return read_file(given.file) end
  if type(given) == "string" then
    local key = decode_text(given)
    return key, not key and "the given value is no key" or nil
  elseif core.is_bytes(given) and #given == KEY_BYTES then
    return given:raw()
  elseif core.is_bytes(given) then
    return nil, ("bytes of %d bytes are no key"):format(#given)
  end
  return nil, "the given value is no key"
end

--- Makes the keyring of a store.
-- @param option checked, see options.check; nil for none
-- @return the keyring (core/binding/keyring.h), nil without the option; or false, the
--   full name of the option that is wrong, its value and a sentence
function encryption.new(option)
  if not option then return nil end
  local keys, ids, id_of = {}, {}, {}
  for id in pairs(option.keys) do ids[#ids + 1] = id end
  table.sort(ids)
  for _, id in ipairs(ids) do
    local name = ("encryption.keys[%d]"):format(id)
    local key, reason = decode_key(option.keys[id])
    if not key then
      return false, name, option.keys[id], ('option "%s": %s; %s'):format(name, reason,
        ACCEPTED)
    elseif id_of[key] then
      return false, name, option.keys[id], ('option "%s": the same key as that of id %d; '
        .. "accepted: another key for each id"):format(name, id_of[key])
    end
    keys[id], id_of[key] = key, id
  end
  return core.keyring(keys, option.primary, option.required)
end

-- ---- opening --------------------------------------------------------------------------

local METHODS = { value = "decode", json = "json_decode" }

local Opener = { __name = "authstate.opener" }
Opener.__index = Opener

--- What opens the values of a store, which come as they are stored.
-- @param keyring of the store
-- @param max_value_bytes of the store
function encryption.opener(keyring, max_value_bytes)
  return setmetatable({ keyring = keyring, max_value_bytes = max_value_bytes }, Opener)
end

--- Opens one value.
-- @param shape "value" or "json"
-- @param place { session, generation = number, 0 for none }
-- @param kind type of the record
-- @param id of it
-- @param stored string
-- @return the value, which may be false; or nil, message, code
function Opener:open(shape, place, kind, id, stored)
  local keyring = self.keyring
  return keyring[METHODS[shape]](keyring, stored, place.session, place.generation, kind,
    id, self.max_value_bytes)
end

--- What a failure to open a value is to the caller: E.
-- @param place as in `open`
function encryption.fail(place, kind, id, message, code)
  return failure.new(code, failure.record(kind, id) .. ": " .. message,
    { session = place.session, sent = true, type = kind, id = id })
end

return encryption
