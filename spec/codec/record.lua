-- SPDX-License-Identifier: MIT

--- Parts of records as JSON texts, and what must hold for every text that is stored.
-- @module spec.codec.record

local core = require "authstate.core"
local hex = require "spec.codec.hex"

-- Strings are numbered: some come again.
local NAMESPACE = "d90100"

local record = {}

--- Whether two Lua values are the same, bytes and metatables too.
-- @treturn boolean
function record.same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not record.same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return getmetatable(a) == getmetatable(b)
end

--- Raises unless the text comes back, Lua reads it as it reads the text itself, also
-- after it was stored from Lua, and the payload begins as it should.
-- @tparam string form the payload's first digits in hex, without a tag 256 in front
-- @tparam string text JSON
function record.assert_form(form, text)
  local function fail(what)
    error(("%s: %s"):format(what, text:sub(1, 300)), 3)
  end
  local stored, message = core.json_encode(text)
  if not stored then fail(message) end
  local payload = hex.encode(stored:sub(2)):gsub("^" .. NAMESPACE, "")
  local found = payload:sub(1, #form)
  if found ~= form then fail(("begins with %s, not %s"):format(found, form)) end
  local back, reason = core.json_decode(stored)
  if back ~= text then fail("comes back as " .. tostring(back or reason)) end
  local value = core.from_json(text)
  if not record.same(value, core.decode(stored)) then fail "is another value in Lua" end
  if not record.same(value, core.decode(assert(core.encode(value)))) then
    fail "is another value after it went through Lua"
  end
end

--- A JSON string of text that needs no escapes.
-- @tparam string text
-- @treturn string
function record.quote(text)
  return '"' .. text .. '"'
end

--- @tparam string bytes
-- @treturn string their base64
function record.base64(bytes)
  return core.bytes(bytes):base64()
end

--- A Buffer as Baileys writes it now.
-- @tparam string bytes
-- @treturn string JSON
function record.buffer(bytes)
  return ('{"type":"Buffer","data":"%s"}'):format(record.base64(bytes))
end

--- A Buffer as JSON.stringify writes it.
-- @tparam string bytes
-- @treturn string JSON
function record.byte_array(bytes)
  local list = table.concat({ bytes:byte(1, -1) }, ",")
  return ('{"type":"Buffer","data":[%s]}'):format(list)
end

--- The n-th key, 32 bytes.
-- @tparam number n
-- @treturn string
function record.key(n)
  return string.char(n % 256, 255 - n % 256):rep(16)
end

--- The n-th public key, its type in front.
-- @tparam number n
-- @tparam[opt=5] number type_byte
-- @treturn string 33 bytes
function record.public(n, type_byte)
  return string.char(type_byte or 5) .. record.key(n)
end

--- Replaces one place of a text; raises when it is not there, or twice.
-- @tparam string text
-- @tparam string old
-- @tparam string new
-- @treturn string
function record.change(text, old, new)
  local first, last = text:find(old, 1, true)
  assert(first, old)
  assert(not text:find(old, last + 1, true), old .. " comes twice")
  return text:sub(1, first - 1) .. new .. text:sub(last + 1)
end

return record
