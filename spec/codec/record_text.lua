-- SPDX-License-Identifier: MIT

--- Random JSON texts that are records, nearly records, or made of records' parts: real
-- texts in which members are dropped, added, swapped, replaced, or a character changed.
-- @module spec.codec.record_text

local core = require "authstate.core"

local BUFFER = '^{"type":"Buffer","data":"([^"]*)"}$'

-- Values that are packed in some way, or nearly.
local VALUES = {
  "0", "-1", "1", "5", "23", "24", "255", "256", "1.5", "4294967296", "9007199254740991",
  "9007199254740992", "-9007199254740992", "9007199254740994", "1e+21", "5e-324",
  '""', '"0"', '"00"', '"7"', '"18446744073709551615"', '"18446744073709551616"',
  '"123456789012345678901"', '"5@lid"', '"5:255@s.whatsapp.net"', '"5:256@lid"',
  '"05@g.us"', '"AAAAAAAAAAAA"', '"AAAAAAAAAAB="', '"AAAAAAA="',
  '"v1"', '"v2"', '"\\ud800"',
  '"BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC"', '"Buffer"',
  '"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="', '"\\n\\u0000"', '"\xf0\x9f\x98\x80"',
  "null", "true", "false", "[]", "{}", "[1,2,3,4]", "[1,2,3,256]", '{"0":1,"1":2}',
  '{"00":1}', '{"type":"Buffer","data":"AQID"}', '{"type":"Buffer","data":[1,2,255]}',
  '{"type":"Buffer","data":[1,2,256]}', '{"data":"AQID","type":"Buffer"}',
  '{"type":"Buffer","data":"AQI"}', '{"buffer":true,"data":"AQID"}',
  '{"type":"Buffer","data":"e30="}', '{"type":"Buffer","data":"W10="}', '{"5@lid":true}',
}

local KEYS = {
  "private", "public", "keyPair", "_sessions", "version", "chainKey", "key", "x", "0",
  "00", "1", "5", "5@lid", "valueMac", "type", "data", "buffer", "closed", "messageKeys",
  "pendingPreKey", "preKeyId", "seed", "\\ud800", "", "AAAAAAAAAAAA", "myAppStateKeyId",
  "BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
}

local CHARACTERS = {
  "0", "1", "9", "A", "a", "B", "=", "/", "+", "-", "_", ",", ":", '"', "@", ".", " ",
  "x", "[", "]", "{", "}", "\\", "e", "t", "\xc3\xa9", "",
}

local record_text = {}

-- The index behind a string whose quote is at `at`.
local function after_string(text, at)
  repeat
    at = text:find('["\\]', at + 1)
    local is_escape = text:byte(at) == 92
    if is_escape then at = at + 1 end
  until not is_escape
  return at + 1
end

-- The entries of all arrays and objects of a JSON text: their places, by container.
local function find_containers(text)
  local containers, stack, at = {}, {}, 1
  while at <= #text do
    local byte = text:byte(at)
    local top = stack[#stack]
    if top and not top.from and byte ~= 93 and byte ~= 125 then
      top.from, top.colon = at, nil
    end
    if byte == 34 then
      at = after_string(text, at)
    elseif byte == 123 or byte == 91 then
      stack[#stack + 1] = { is_object = byte == 123 }
      at = at + 1
    elseif byte == 44 or byte == 125 or byte == 93 then
      if top.from then
        top[#top + 1] = { from = top.from, to = at - 1, value = top.colon or top.from }
        top.from = nil
      end
      if byte ~= 44 then
        stack[#stack] = nil
        if #top > 0 then containers[#containers + 1] = top end
      end
      at = at + 1
    elseif byte == 58 then
      top.colon = at + 1
      at = at + 1
    else
      at = text:match("^[^\"{}%[%],:]+()", at)
    end
  end
  return containers
end

-- The text with the entries of one container put together anew.
local function with_entries(text, container, entries)
  local first, last = container[1], container[#container]
  local joined = table.concat(entries, ",")
  return text:sub(1, first.from - 1) .. joined .. text:sub(last.to + 1)
end

local function entries_of(text, container)
  local entries = {}
  for i, entry in ipairs(container) do entries[i] = text:sub(entry.from, entry.to) end
  return entries
end

local change = {}

function change.drop(dice, text, container)
  local entries = entries_of(text, container)
  table.remove(entries, dice:integer(1, #entries))
  return with_entries(text, container, entries)
end

function change.swap(dice, text, container)
  local entries = entries_of(text, container)
  local i, j = dice:integer(1, #entries), dice:integer(1, #entries)
  entries[i], entries[j] = entries[j], entries[i]
  return with_entries(text, container, entries)
end

function change.add(dice, text, container, values)
  local entries = entries_of(text, container)
  local entry = dice:pick(values)
  if container.is_object then entry = ('"%s":%s'):format(dice:pick(KEYS), entry) end
  table.insert(entries, dice:integer(1, #entries + 1), entry)
  return with_entries(text, container, entries)
end

function change.double(dice, text, container)
  local entries = entries_of(text, container)
  table.insert(entries, dice:pick(entries))
  return with_entries(text, container, entries)
end

function change.replace(dice, text, container, values)
  local entry = dice:pick(container)
  return text:sub(1, entry.value - 1) .. dice:pick(values) .. text:sub(entry.to + 1)
end

function change.rename(dice, text, container)
  local entry = dice:pick(container)
  if not container.is_object then return text end
  return ('%s"%s":%s'):format(text:sub(1, entry.from - 1), dice:pick(KEYS),
    text:sub(entry.value))
end

function change.digit(dice, text)
  local at = text:find("%d", dice:integer(1, #text))
  if not at then return text end
  return text:sub(1, at - 1) .. dice:integer(0, 9) .. text:sub(at + 1)
end

function change.character(dice, text)
  local at = dice:integer(1, #text)
  return text:sub(1, at - 1) .. dice:pick(CHARACTERS) .. text:sub(at + 1)
end

function change.insert(dice, text)
  local at = dice:integer(1, #text)
  return text:sub(1, at - 1) .. dice:pick(CHARACTERS) .. text:sub(at)
end

local NAMES = {
  "drop", "swap", "add", "double", "replace", "rename", "digit", "character", "insert",
}

local NEEDS_CONTAINER = {
  drop = true, swap = true, add = true, double = true, replace = true, rename = true,
}

-- One change at one place.
local function change_once(dice, source, text)
  local name = dice:pick(NAMES)
  if not NEEDS_CONTAINER[name] then return change[name](dice, text) end
  local containers = source.containers
  if text ~= source.text then
    local is_json, found = pcall(find_containers, text)
    if not is_json then return text end
    containers = found
  end
  if #containers == 0 then return text end
  return change[name](dice, text, dice:pick(containers), source.values)
end

local function wrap(dice, text)
  local name = dice:pick(KEYS)
  return dice:pick {
    ("[%s]"):format(text), ("[0,%s,%s]"):format(text, text),
    ('{"%s":%s}'):format(name, text), ('{"%s":%s,"x":%s}'):format(name, text, text),
    ('{"type":"Buffer","data":"%s"}'):format(core.bytes(text):base64()),
  }
end

--- What texts are made of.
-- @tparam {string,...} texts of records; those in Buffers are changed inside of them
-- @treturn {table,...}
function record_text.sources(texts)
  local sources, values = {}, {}
  for i, value in ipairs(VALUES) do values[i] = value end
  for _, text in ipairs(texts) do
    local content = text:match(BUFFER)
    local json = content and core.from_base64(content):raw()
    local is_json = json and core.json_encode(json) ~= nil and json:find "^[%[{]" ~= nil
    local shown = is_json and json or text
    sources[#sources + 1] = {
      text = shown, is_inside = is_json, values = values,
      containers = find_containers(shown),
    }
    if #text < 300 then values[#values + 1] = text end
  end
  return sources
end

--- A text near one of the sources: most are JSON, some are not.
-- @param dice a generator of spec.support.random
-- @tparam {table,...} sources
-- @treturn string
function record_text.near(dice, sources)
  local source = dice:pick(sources)
  local text = source.text
  for _ = 1, dice:pick { 0, 1, 1, 1, 2, 3 } do
    local changed = change_once(dice, source, text)
    if changed ~= "" then text = changed end
  end
  if source.is_inside and dice:chance(0.9) then
    text = ('{"type":"Buffer","data":"%s"}'):format(core.bytes(text):base64())
  end
  return dice:chance(0.1) and wrap(dice, text) or text
end

return record_text
