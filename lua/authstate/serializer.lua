-- SPDX-License-Identifier: MIT
--- Serializers: finds the script of one and checks what it returns; what it makes of
-- values, with its errors under its name.
--
-- A script is { name, code = 4 to 15, encode(value, type) -> string, decode(string, type)
-- -> value }; `type` is "creds" for the credentials. Both raise, or return nil and a
-- sentence, when they cannot. `cbor` and `json` are the core's: their scripts only say
-- so.

local core = require "authstate.core"
local failure = require "authstate.failure"
local script = require "authstate.script"

local serializer = {}

local MIN_CODE, MAX_CODE = 4, 15

local function is_function(value)
  return type(value) == "function"
end

local function is_code(value)
  return type(value) == "number" and value % 1 == 0 and value >= MIN_CODE and
    value <= MAX_CODE
end

local function is_name(value)
  return type(value) == "string" and value:find "^[%w_-]+$" ~= nil
end

-- What a serializer has: name, what it may be, in words and as a function.
local FIELDS = {
  { "name", "a word of letters, digits, - and _", is_name },
  { "code", ("a whole number from %d to %d, the same for ever: stored values have it; "
    .. "those below are ours"):format(MIN_CODE, MAX_CODE), is_code },
  { "encode", "a function of a value and its type", is_function },
  { "decode", "a function of a string and its type", is_function },
}

-- nil, or a sentence.
local function fault_of(made)
  if type(made) ~= "table" then
    return ("returns %s; accepted: a table"):format(failure.show(made))
  end
  for _, field in ipairs(FIELDS) do
    local name, accepted, is_fine = unpack(field)
    if not is_fine(made[name]) then
      return ("field %s: %s; accepted: %s"):format(name, failure.show(made[name]),
        accepted)
    end
  end
end

--- Finds a serializer.
-- @param name of one of those in serializers/, or path of a script
-- @return the serializer; `is_built_in` when it is the core's; or nil and a sentence
function serializer.load(name)
  local made, path = script.load("serializers", name)
  if made == nil then return nil, path end
  local is_built_in = name == "cbor" or name == "json"
  if is_built_in then return made end
  local fault = fault_of(made)
  if fault then return nil, path .. ": " .. fault end
  return made
end

local function named(made, message)
  return ('serializer "%s": %s'):format(made.name, message)
end

--- What a serializer makes of a value.
-- @param kind type of the record, or "creds"
-- @return string; or nil, message, "unsupported"
function serializer.encode(made, kind, value)
  local is_whole, payload, reason = pcall(made.encode, value, kind)
  if is_whole and type(payload) == "string" then return payload end
  if not is_whole then reason = payload end
  return nil, named(made, reason and tostring(reason) or
    ("encode gives %s; accepted: a string"):format(failure.show(payload))), "unsupported"
end

--- The value of what a serializer made.
-- @return value, never nil; or nil, message, "corrupt"
function serializer.decode(made, kind, payload)
  local is_whole, value, reason = pcall(made.decode, payload, kind)
  if is_whole and value ~= nil then return value end
  if not is_whole then reason = value end
  return nil, named(made, reason and tostring(reason) or
    "decode gives nil; accepted: a value, authstate.null"), "corrupt"
end

--- The JSON text of a value that `decode` gave.
-- @return text; or nil, message, "corrupt"
function serializer.to_json(made, value)
  local text, message = core.to_json(value)
  if text then return text end
  return nil, named(made, "decode gives what is no JSON: " .. message), "corrupt"
end

return serializer
