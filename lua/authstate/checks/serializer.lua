-- SPDX-License-Identifier: MIT
--- What must hold of every serializer, tried with values of all kinds.

local core = require "authstate.core"
local failure = require "authstate.failure"
local serializer = require "authstate.serializer"

local TYPES = {
  "creds", "pre-key", "session", "sender-key", "sender-key-memory", "app-state-sync-key",
  "app-state-sync-version", "lid-mapping", "device-list", "tctoken", "identity-key",
}

local NAMES = {
  "public", "private", "keyPair", "registrationId", "_chains", "", " ", "a.b", "type",
  "data", "1", "\0", "ação", "日本語", "\n", '"', "\\",
}

local STRINGS = {
  "", "0", "true", "null", "AQL/", "5511999999999@s.whatsapp.net", "\0", "\r\n", "\127",
  '"', "\\", "</script>", "日本語", "\240\159\152\128", ("x"):rep(300),
}

local NUMBERS = {
  0, 1, -1, 23, 24, 255, 256, 65535, 65536, 2 ^ 31, 2 ^ 32, 2 ^ 53, -2 ^ 53, 0.5, 0.1,
  -1.5, 1e21, 5e-324, 1.7976931348623157e308, 1700000000000,
}

local MAX_DEPTH = 4

-- ---- values ---------------------------------------------------------------------------

local function draw_bytes(dice)
  local bytes = {}
  for i = 1, dice(40) - 1 do bytes[i] = string.char(dice(256) - 1) end
  return core.bytes(table.concat(bytes))
end

-- Kinds of scalar, by chance.
local SCALARS = {
  function(dice) return STRINGS[dice(#STRINGS)] end,
  function(dice) return NUMBERS[dice(#NUMBERS)] end,
  function(dice) return dice(2 ^ 20) - 2 ^ 19 end,
  function(dice) return dice(2) == 1 end,
  function() return core.null end,
  draw_bytes,
}

local draw

local function draw_array(dice, depth)
  local array = core.array {}
  for i = 1, dice(5) - 1 do array[i] = draw(dice, depth + 1) end
  return array
end

local function draw_object(dice, depth)
  local object = {}
  for _ = 1, dice(5) - 1 do object[NAMES[dice(#NAMES)]] = draw(dice, depth + 1) end
  return object
end

function draw(dice, depth)
  local roll = depth < MAX_DEPTH and dice(4) or 1
  if roll == 3 then return draw_array(dice, depth) end
  if roll == 4 then return draw_object(dice, depth) end
  return SCALARS[dice(#SCALARS)](dice)
end

local function is_array(value)
  return getmetatable(value) == core.array_mt
end

-- Where two values differ, as a path; nil when they are the same.
local function difference(one, other, path)
  if type(one) ~= "table" or type(other) ~= "table" then
    return one ~= other and path or nil
  end
  -- A table without the mark of an array is one all the same when it has elements.
  if is_array(one) ~= is_array(other) and one[1] == nil then return path end
  for name, value in pairs(one) do
    local found = difference(value, other[name], path .. "." .. tostring(name))
    if found then return found end
  end
  for name in pairs(other) do
    if one[name] == nil then return path .. "." .. tostring(name) end
  end
end

local function copy(value)
  if type(value) ~= "table" then return value end
  local copied = is_array(value) and core.array {} or {}
  for name, each in pairs(value) do copied[name] = copy(each) end
  return copied
end

-- ---- rules ----------------------------------------------------------------------------

local RULES = {
  "encode gives a string", "encode leaves the value as it is", "decode undoes encode",
}

local checks = {}

--- The names of the rules.
function checks.names()
  return RULES
end

local function shown(value)
  return core.to_json(value) or failure.show(value)
end

--- Tries a serializer once.
-- @param made see serializer.lua
-- @param dice function(n) -> 1 to n
-- @param complain function(rule, sentence)
function checks.step(made, dice, complain)
  local kind = TYPES[dice(#TYPES)]
  local value = kind == "creds" and draw_object(dice, 0) or draw(dice, 0)
  local before = copy(value)
  local payload, message = serializer.encode(made, kind, value)
  if not payload then
    return complain(RULES[1], ("%s of type %s: %s"):format(shown(before), kind, message))
  end
  local place = difference(before, value, "value")
  if place then
    complain(RULES[2], ("%s of type %s is another one afterwards, at %s"):format(
      shown(before), kind, place))
  end
  local back
  back, message = serializer.decode(made, kind, payload)
  if back == nil then
    return complain(RULES[3], ("%s of type %s: %s"):format(shown(before), kind, message))
  end
  place = difference(before, back, "value")
  if place then
    complain(RULES[3], ("%s of type %s comes back as %s: another one at %s"):format(
      shown(before), kind, shown(back), place))
  end
  -- What is cut off may be told by an error or not; it must come to an end.
  serializer.decode(made, kind, payload:sub(1, dice(#payload + 1) - 1))
end

return checks
