-- SPDX-License-Identifier: MIT
--- The information floor of a record: what any lossless store of separate records must
-- keep. Each different string of key material counts once, in whatever form it is written
-- (base64 text, a Buffer, an array of numbers); a number counts the bytes it needs, a
-- short text at most eight; names of fields, types, brackets and lengths count nothing. A
-- real store comes close to it but cannot reach it.
--
-- Within a record the same key material counts one byte from the second time on, for
-- something must say which it is.

local cjson = require "cjson"
local mime = require "mime"

local REPEATED_BYTES, FLOAT_BYTES, JID_BYTES, TEXT_BYTES = 1, 8, 6, 8
local SHORTEST_BASE64, LONGEST_NAME, LONGEST_DIGITS, SHORTEST_ARRAY = 8, 25, 18, 9

-- JSON.stringify writes larger integers with an exponent.
local LARGEST_INTEGER = 1e21

-- Deep enough for every record that is stored.
local MAX_LEVELS = 1000

local json = cjson.new()
json.decode_max_depth(MAX_LEVELS)

local floor = {}

local value_bytes

local function integer_bytes(number)
  if number == 0 then return 0 end
  local _, bits = math.frexp(math.abs(number))
  return math.ceil(bits / 8)
end

local function number_bytes(number)
  local is_integer = number % 1 == 0 and math.abs(number) < LARGEST_INTEGER
  return is_integer and integer_bytes(number) or FLOAT_BYTES
end

local function once(raw, seen)
  if seen[raw] then return REPEATED_BYTES end
  seen[raw] = true
  return #raw
end

local function is_base64(text)
  return #text >= SHORTEST_BASE64 and #text % 4 == 0
    and text:find "^[A-Za-z0-9+/]*=?=?$" ~= nil
end

-- The number of characters.
local function length_of(text)
  return select(2, text:gsub("[^\128-\191]", ""))
end

local function text_bytes(text, seen)
  if is_base64(text) then return once(mime.unb64(text), seen) end
  if #text <= LONGEST_DIGITS and text:find "^%d+$" then
    return integer_bytes(tonumber(text))
  end
  local digits = text:match "^(%d+)@s%.whatsapp%.net$"
  if digits and #digits <= LONGEST_DIGITS then return JID_BYTES end
  return math.min(length_of(text), TEXT_BYTES)
end

local function is_byte(value)
  return type(value) == "number" and value % 1 == 0 and value >= 0 and value < 256
end

-- An array of numbers below 256 as a string; nil when it has anything else.
local function bytes_of(array)
  local characters = {}
  for i, value in ipairs(array) do
    if not is_byte(value) then return nil end
    characters[i] = string.char(value)
  end
  return table.concat(characters)
end

local function array_bytes(array, seen)
  local raw = #array >= SHORTEST_ARRAY and bytes_of(array)
  if raw then return once(raw, seen) end
  local sum = 0
  for _, value in ipairs(array) do sum = sum + value_bytes(value, seen) end
  return sum
end

local function is_name(text)
  return #text <= LONGEST_NAME and text:find "^[A-Za-z_]+$" ~= nil
end

local function object_bytes(object, seen)
  local sum = 0
  for key, value in pairs(object) do
    if not is_name(key) then sum = sum + text_bytes(key, seen) end
    sum = sum + value_bytes(value, seen)
  end
  return sum
end

-- A Buffer may hold JSON text, as a sender-key does: then its content counts.
local function buffer_bytes(data, seen)
  local raw = type(data) == "string" and mime.unb64(data) or bytes_of(data)
  local is_json, inner = false, nil
  if raw:find "^%s*[%[{]" then is_json, inner = pcall(json.decode, raw) end
  return is_json and value_bytes(inner, seen) or once(raw, seen)
end

local function is_buffer(object)
  return object.type == "Buffer" and object.data ~= nil
    and next(object, next(object, next(object))) == nil
end

local function table_bytes(value, seen)
  if value[1] ~= nil then return array_bytes(value, seen) end
  if is_buffer(value) then return buffer_bytes(value.data, seen) end
  return object_bytes(value, seen)
end

local counters = {
  string = text_bytes, number = number_bytes, table = table_bytes,
}

function value_bytes(value, seen)
  local count = counters[type(value)]
  return count and count(value, seen) or 0
end

--- The floor of one record.
-- @param text its JSON text
-- @return bytes
function floor.of(text)
  return value_bytes(json.decode(text), {})
end

return floor
