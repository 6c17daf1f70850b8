-- SPDX-License-Identifier: MIT
--- Layouts: finds the script of one, checks what it returns, and adds what the rest of
-- the program asks: how records are read (`arrangement`).

local failure = require "authstate.failure"
local hash_per_type = require "authstate.arrangements.hash_per_type"
local script = require "authstate.script"
local single_hash = require "authstate.arrangements.single_hash"

local layout = {}

local ARRANGEMENTS = { slot = hash_per_type, key = single_hash }
local FORMS = { base64 = true, array = true, object = true }

local function is_form(value)
  return FORMS[value] or type(value) == "function"
end

local function is_kind(kind)
  return function(value) return type(value) == kind end
end

-- What a layout has: name, what it may be, in words and as a function, and its default.
local FIELDS = {
  { "key", "a function", is_kind "function" },
  { "parse", "a function", is_kind "function" },
  { "scope", "a function", is_kind "function" },
  { "meta_key", "a function", is_kind "function" },
  { "session_match", "a string, the glob of SCAN", is_kind "string" },
  { "atomic", '"slot" or "key" ("none" is not there yet in this version)',
    function(value) return ARRANGEMENTS[value] ~= nil end },
  { "form", '"base64", "array", "object", or a function of the type', is_form, "base64" },
  { "envelope", "true or false", is_kind "boolean", true },
  { "hash_key", "true (a key for each id is not there yet in this version)",
    function(value) return value == true end },
}

-- Puts defaults in; nil and a sentence when something is wrong.
local function check_fields(made)
  for _, field in ipairs(FIELDS) do
    local name, accepted, is_fine, default = unpack(field, 1, 4)
    if made[name] == nil then made[name] = default end
    if not is_fine(made[name]) then
      return nil, ("field %s: %s; accepted: %s"):format(name, failure.show(made[name]),
        accepted)
    end
  end
  return made
end

-- ---- loading --------------------------------------------------------------------------

--- Makes a layout.
-- @param name of one of those in layouts/, or path of a script
-- @param options of the store
-- @return the layout: the fields of its script, with defaults, and `name`,
--   `arrangement`; or nil and a sentence
function layout.load(name, options)
  local make, path = script.load("layouts", name)
  if make == nil then return nil, ('option "layout": %s'):format(path) end
  if type(make) ~= "function" then
    return nil, ('option "layout": %s returns %s; accepted: a function of the options')
      :format(path, failure.show(make))
  end
  local is_whole, made = pcall(make, options)
  if not is_whole then return nil, ('option "layout": %s'):format(made) end
  if type(made) ~= "table" then
    return nil, ('option "layout": the function of %s returns %s; accepted: a table')
      :format(path, failure.show(made))
  end
  local is_right, message = check_fields(made)
  if not is_right then return nil, ('option "layout": %s: %s'):format(path, message) end
  made.name, made.arrangement = name, ARRANGEMENTS[made.atomic]
  return made
end

return layout
