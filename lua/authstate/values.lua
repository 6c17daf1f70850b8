-- SPDX-License-Identifier: MIT
--- Values as Lua sees them: bytes, null, arrays, and their JSON text.
--
-- `bytes` is an immutable byte string, never equal to a string; `tostring` does not show
-- its content. `b:raw()` is the content as a string, `#b` its length, `b:hex()` and
-- `b:base64()` its text; `ffi.cast("const uint8_t *", b)` reads it while `b` lives. Two
-- bytes with the same content are equal, but different keys of a table.
--
-- Decoded arrays carry `array_mt`. A table without it is an array when its keys are 1 to
-- n, n > 0, and an object otherwise: `{}` is an object, `array {}` an empty array.
-- @module authstate.values

local core = require "authstate.core"

local values = {}

--- The JSON null: the NULL lightuserdata, so the same as `cjson.null` and `ngx.null`.
values.null = core.null

--- The metatable of arrays.
values.array_mt = core.array_mt

--- Makes a table an array.
-- @function array
-- @tparam table t with the keys 1 to n; n may be 0
-- @treturn table t itself
-- @raise when t is not a table
values.array = core.array

--- Bytes with the content of a string.
-- @function bytes
-- @tparam string content
-- @treturn bytes
-- @raise when content is not a string
values.bytes = core.bytes

--- Bytes from base64 text: RFC 4648, standard alphabet, padded.
-- @function from_base64
-- @tparam string text
-- @treturn bytes
-- @raise when the text is anything else
values.from_base64 = core.from_base64

--- Bytes from hexadecimal text, two digits for each byte, in either case.
-- @function from_hex
-- @tparam string text
-- @treturn bytes
-- @raise when the text is anything else
values.from_hex = core.from_hex

--- Whether a value is bytes.
-- @function is_bytes
-- @param value
-- @treturn boolean
values.is_bytes = core.is_bytes

--- The content of bytes.
-- @function bytes:raw
-- @treturn string

--- The content in hexadecimal digits, in lower case.
-- @function bytes:hex
-- @treturn string

--- The content in base64, padded.
-- @function bytes:base64
-- @treturn string

local FORMS = { base64 = true, array = true, object = true }

--- The JSON text of a value, numbers and strings as JSON.stringify writes them.
-- Well-known field names come first in their usual order, others in table order.
-- @param value
-- @tparam[opt="base64"] string form of bytes: `base64` for
--   `{"type":"Buffer","data":"AQI="}`, `array` for `{"type":"Buffer","data":[1,2]}`,
--   `object` for `{"0":1,"1":2}`
-- @treturn string text
-- @raise when the value cannot be JSON (a function, NaN, a cycle, ...), naming its path,
--   or the form is unknown
function values.to_json(value, form)
  if form ~= nil and not FORMS[form] then
    error(("to_json: unknown form %s; accepted are \"base64\", \"array\" and \"object\"")
      :format(type(form) == "string" and ("%q"):format(form) or type(form)), 2)
  end
  local text, message, code = core.to_json(value, form)
  if text then return text end
  if code == "unsupported" then error("to_json: " .. message, 2) end
  return nil, message, code
end

--- The value of a JSON text. Of a key that comes twice the last value counts, as in
-- JSON.parse; every form of Buffer becomes bytes.
-- @tparam string text
-- @return the value; `null` for the text `null`
-- @return[2] nil
-- @treturn[2] string message, naming the byte where the text stops being JSON, from 0
-- @raise when the text is not a string
function values.from_json(text)
  if type(text) ~= "string" then
    error("from_json: a string expected, got " .. type(text), 2)
  end
  local value, message = core.from_json(text)
  if value == nil then return nil, message end
  return value
end

return values
