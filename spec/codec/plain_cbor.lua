-- SPDX-License-Identifier: MIT

--- JSON texts as CBOR without any of our rules: the form that stored values had before
-- they were packed, and that other programs' CBOR has. Buffers are byte strings.
-- @module spec.codec.plain_cbor

local core = require "authstate.core"

local BUFFER = '^{"type":"Buffer","data":"([^"]*)"}()'

local ESCAPES = {
  b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\",
}

local plain_cbor = {}

local function big_endian(number, size)
  local bytes = {}
  for i = size, 1, -1 do
    bytes[i] = string.char(number % 256)
    number = math.floor(number / 256)
  end
  return table.concat(bytes)
end

--- The head of an item.
-- @tparam number major 0 to 7
-- @tparam number argument
-- @treturn string
function plain_cbor.head(major, argument)
  local first = major * 32
  if argument < 24 then return string.char(first + argument) end
  if argument < 2 ^ 8 then return string.char(first + 24) .. big_endian(argument, 1) end
  if argument < 2 ^ 16 then return string.char(first + 25) .. big_endian(argument, 2) end
  if argument < 2 ^ 32 then return string.char(first + 26) .. big_endian(argument, 4) end
  return string.char(first + 27) .. big_endian(argument, 8)
end

local head = plain_cbor.head

-- Only the escapes of one letter, which is what records have.
local function read_string(text, at)
  local last = at
  repeat
    last = assert(text:find('["\\]', last + 1))
    local is_escape = text:sub(last, last) == "\\"
    if is_escape then last = last + 1 end
  until not is_escape
  local content = text:sub(at + 1, last - 1):gsub("\\(.)", function(letter)
    return ESCAPES[letter] or error("not for escapes of numbers: " .. text)
  end)
  return head(3, #content) .. content, last + 1
end

local function read_number(text, at)
  local digits, after = text:match("^(-?%d+)()", at)
  assert(not text:find("^[.eE]", after), "not for fractions")
  local number = tonumber(digits)
  if number < 0 then return head(1, -1 - number), after end
  return head(0, number), after
end

local WORDS = { t = { "\xf5", 4 }, f = { "\xf4", 5 }, n = { "\xf6", 4 } }

local read_value

local function read_entries(text, at, is_object)
  local parts, count = {}, 0
  at = at + 1
  while not text:find("^[%]}]", at) do
    local key = ""
    if text:sub(at, at) == "," then at = at + 1 end
    if is_object then
      key, at = read_string(text, at)
      at = at + 1
    end
    count = count + 1
    local value
    value, at = read_value(text, at)
    parts[count] = key .. value
  end
  return head(is_object and 5 or 4, count) .. table.concat(parts), at + 1
end

function read_value(text, at)
  local first = text:sub(at, at)
  local base64, after = text:match(BUFFER, at)
  if base64 then
    local content = core.from_base64(base64):raw()
    return head(2, #content) .. content, after
  end
  if first == "{" or first == "[" then return read_entries(text, at, first == "{") end
  if first == '"' then return read_string(text, at) end
  local word = WORDS[first]
  if word then return word[1], at + word[2] end
  return read_number(text, at)
end

--- The CBOR of a text as JSON.stringify writes it, without fractions or \u escapes.
-- @tparam string text
-- @treturn string
function plain_cbor.encode(text)
  local cbor, after = read_value(text, 1)
  assert(after == #text + 1, text)
  return cbor
end

return plain_cbor
