-- SPDX-License-Identifier: MIT

--- The texts of the records in a session file, found without the code under test: a
-- scanner that knows strings and brackets and nothing else of JSON.
-- @module spec.command.record_text

local record_text = {}

local function skip_space(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

-- The last byte of the string that begins at `at`.
local function string_end(text, at)
  at = at + 1
  while true do
    local found = assert(text:find('["\\]', at), "a string without its end")
    if text:sub(found, found) == '"' then return found end
    at = found + 2
  end
end

-- The last byte of the value that begins at `at`.
local function value_end(text, at)
  local first = text:sub(at, at)
  if first == '"' then return string_end(text, at) end
  if first ~= "{" and first ~= "[" then
    return assert(text:find("[,%]} \t\r\n]", at), "a value without its end") - 1
  end
  local depth = 0
  while true do
    at = assert(text:find('["{}%[%]]', at), "brackets that are not closed")
    local char = text:sub(at, at)
    if char == '"' then
      at = string_end(text, at)
    elseif char == "{" or char == "[" then
      depth = depth + 1
    else
      depth = depth - 1
      if depth == 0 then return at end
    end
    at = at + 1
  end
end

-- The members of an object's text: a list of { name (as written, with quotes), text }.
local function members(text)
  local list, at = {}, skip_space(text, 1)
  assert(text:sub(at, at) == "{", "no object")
  at = skip_space(text, at + 1)
  while text:sub(at, at) ~= "}" do
    local name_end = string_end(text, at)
    local name = text:sub(at, name_end)
    at = skip_space(text, name_end + 1)
    assert(text:sub(at, at) == ":", "no colon")
    at = skip_space(text, at + 1)
    local last = value_end(text, at)
    list[#list + 1] = { name = name, text = text:sub(at, last) }
    at = skip_space(text, last + 1)
    if text:sub(at, at) == "," then at = skip_space(text, at + 1) end
  end
  return list
end

local function utf8_bytes(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then
    return string.char(0xc0 + math.floor(code / 64), 0x80 + code % 64)
  elseif code < 0x10000 then
    return string.char(0xe0 + math.floor(code / 4096),
      0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
  end
  return string.char(0xf0 + math.floor(code / 262144),
    0x80 + math.floor(code / 4096) % 64,
    0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

--- The bytes that a string's text stands for, lone surrogates as if UTF-8 had them.
-- @param quoted the text with its quotes
function record_text.decode(quoted)
  local inner, parts, at = quoted:sub(2, -2), {}, 1
  while at <= #inner do
    local high, low = inner:match("^\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", at)
    local one = inner:match("^\\u(%x%x%x%x)", at)
    if high then
      parts[#parts + 1] = utf8_bytes(0x10000 + (tonumber(high, 16) - 0xd800) * 1024
        + tonumber(low, 16) - 0xdc00)
      at = at + 12
    elseif one then
      parts[#parts + 1] = utf8_bytes(tonumber(one, 16))
      at = at + 6
    elseif inner:sub(at, at) == "\\" then
      local char = inner:sub(at + 1, at + 1)
      parts[#parts + 1] = ESCAPES[char] or char
      at = at + 2
    else
      parts[#parts + 1] = inner:sub(at, at)
      at = at + 1
    end
  end
  return table.concat(parts)
end

-- Whether the names are in the order of their bytes, none twice.
local function is_sorted(names)
  for i = 2, #names do
    if names[i - 1] >= names[i] then return false end
  end
  return true
end

--- Splits a session's text.
-- @treturn table `{ creds = text or nil, keys = { [type] = { [id] = text } }, records,
-- is_sorted }`, types and ids decoded
function record_text.split(text)
  local split = { keys = {}, records = 0, is_sorted = true }
  for _, part in ipairs(members(text)) do
    if part.name == '"creds"' then
      split.creds = part.text ~= "null" and part.text or nil
    else
      assert(part.name == '"keys"', part.name)
      local types = {}
      for _, group in ipairs(members(part.text)) do
        local kind, ids = record_text.decode(group.name), {}
        types[#types + 1] = kind
        split.keys[kind] = {}
        for _, record in ipairs(members(group.text)) do
          local id = record_text.decode(record.name)
          ids[#ids + 1] = id
          split.keys[kind][id] = record.text
          split.records = split.records + 1
        end
        split.is_sorted = split.is_sorted and is_sorted(ids)
      end
      split.is_sorted = split.is_sorted and is_sorted(types)
    end
  end
  return split
end

return record_text
