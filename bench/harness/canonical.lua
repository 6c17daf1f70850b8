-- SPDX-License-Identifier: MIT
--- A record in a form that does not depend on who read it or how it is stored: JSON text
-- in any order of fields, with Buffers in any form, and authstate's envelope of the same
-- record have the same digest; another value has another one. Of what lua-cjson made only
-- what it can tell counts: an empty array is an object to it, a number has 14 digits.

local authstate = require "authstate"
local core = require "authstate.core"

local canonical = {}

local append

local function append_object(parts, object, writers)
  local names = {}
  for name in pairs(object) do names[#names + 1] = name end
  table.sort(names)
  parts[#parts + 1] = "{" .. #names .. ":"
  for _, name in ipairs(names) do
    append(parts, name, writers)
    append(parts, object[name], writers)
  end
end

local function append_array(parts, array, writers)
  parts[#parts + 1] = "[" .. #array .. ":"
  for _, value in ipairs(array) do append(parts, value, writers) end
end

local function append_counted(parts, letter, bytes)
  parts[#parts + 1] = letter .. #bytes .. ":" .. bytes
end

local exact = {
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
  table = function(parts, value, writers)
    local is_array = getmetatable(value) == authstate.array_mt
    return (is_array and append_array or append_object)(parts, value, writers)
  end,
}

local of_cjson = setmetatable({
  number = function(parts, value) parts[#parts + 1] = ("n%.14g;"):format(value) end,
  table = function(parts, value, writers)
    return (value[1] ~= nil and append_array or append_object)(parts, value, writers)
  end,
}, { __index = exact })

function append(parts, value, writers)
  return writers[type(value)](parts, value, writers)
end

local function digest_of(text, writers)
  local value, message = authstate.from_json(text)
  if value == nil then return nil, message end
  local parts = {}
  append(parts, value, writers)
  return core.sha256_hex(table.concat(parts))
end

local function as_it_is(bytes)
  return bytes
end

local forms = {
  json = { open = as_it_is, writers = exact },
  stored = { open = core.json_decode, writers = exact },
  cjson = { open = as_it_is, writers = of_cjson },
}

-- By form and bytes: the same records come in every round.
local known = { json = {}, stored = {}, cjson = {} }

--- The digest of a record.
-- @param bytes
-- @param form "json": its text; "stored": authstate's envelope; "cjson": a text, of which
--   only what lua-cjson can tell counts
-- @return 64 hex digits; or nil and a sentence when the bytes are no record
function canonical.digest(bytes, form)
  local digest = known[form][bytes]
  if digest then return digest end
  local text, message = forms[form].open(bytes)
  if not text then return nil, message end
  digest, message = digest_of(text, forms[form].writers)
  if not digest then return nil, message end
  known[form][bytes] = digest
  return digest
end

return canonical
