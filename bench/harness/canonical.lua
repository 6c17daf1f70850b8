-- SPDX-License-Identifier: MIT
--- A record in a form that does not depend on who read it or how it is stored: JSON text
-- in any order of fields, with Buffers in any form, and authstate's envelope of the same
-- record have the same digest; another value has another one.

local authstate = require "authstate"
local core = require "authstate.core"

local canonical = {}

local append

local function append_object(parts, object)
  local names = {}
  for name in pairs(object) do names[#names + 1] = name end
  table.sort(names)
  parts[#parts + 1] = "{" .. #names .. ":"
  for _, name in ipairs(names) do
    append(parts, name)
    append(parts, object[name])
  end
end

local function append_array(parts, array)
  parts[#parts + 1] = "[" .. #array .. ":"
  for _, value in ipairs(array) do append(parts, value) end
end

local function append_counted(parts, letter, bytes)
  parts[#parts + 1] = letter .. #bytes .. ":" .. bytes
end

local writers = {
  string = function(parts, value) append_counted(parts, "s", value) end,
  userdata = function(parts, value)
    if value == authstate.null then
      parts[#parts + 1] = "z"
    else
      append_counted(parts, "b", value:raw())
    end
  end,
  number = function(parts, value) parts[#parts + 1] = ("n%.17g;"):format(value) end,
  boolean = function(parts, value) parts[#parts + 1] = value and "t" or "f" end,
  table = function(parts, value)
    local is_array = getmetatable(value) == authstate.array_mt
    return (is_array and append_array or append_object)(parts, value)
  end,
}

function append(parts, value)
  return writers[type(value)](parts, value)
end

local function digest_of(text)
  local value, message = authstate.from_json(text)
  if value == nil then return nil, message end
  local parts = {}
  append(parts, value)
  return core.sha256_hex(table.concat(parts))
end

local openers = {
  json = function(bytes) return bytes end,
  stored = core.json_decode,
}

-- By form and bytes: the same records come in every round.
local known = { json = {}, stored = {} }

--- The digest of a record.
-- @param bytes
-- @param form "json": its text; "stored": authstate's envelope
-- @return 64 hex digits; or nil and a sentence when the bytes are no record
function canonical.digest(bytes, form)
  local digest = known[form][bytes]
  if digest then return digest end
  local text, message = openers[form](bytes)
  if not text then return nil, message end
  digest, message = digest_of(text)
  if not digest then return nil, message end
  known[form][bytes] = digest
  return digest
end

return canonical
