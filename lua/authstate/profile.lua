-- SPDX-License-Identifier: MIT
--- Profiles: sets of options in scripts, which go below those given to `open`. Finds the
-- script, follows what it extends, checks what each returns, and puts one above the
-- other; `default` is below all.
--
-- What is wrong is told with file and line. A table does not know the line that wrote it,
-- so the text of the file is looked through (field_lines.lua).

local core = require "authstate.core"
local failure = require "authstate.failure"
local field_lines = require "authstate.field_lines"
local layers = require "authstate.option_layers"
local here = require "authstate.openresty.here"
local options = require "authstate.options"
local script = require "authstate.script"
local suggest = require "authstate.suggest"

local profile = {}

local DEFAULT = "default"
local MAX_DEPTH = 16
local FIELDS = { "extends", "options", "why" }

-- ---- the environment ------------------------------------------------------------------

--- What a profile that is a function is told of the place where it runs: { cores,
-- memory_bytes, runtime = "luajit" or "openresty", workers, getenv = function(name) }.
function profile.environment()
  return {
    cores = core.cores(),
    memory_bytes = core.memory_bytes(),
    runtime = here.is_here() and "openresty" or "luajit",
    workers = here.worker_count(),
    getenv = os.getenv,
  }
end

local function names_of(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

-- Of its own for each profile. A misspelt field is no nil that surfaces somewhere else.
local function new_env(facts)
  return setmetatable(layers.merge_tables(facts, {}), {
    __index = function(_, name)
      local names = names_of(facts)
      error(("env has no %s%s; it has: %s"):format(tostring(name),
        suggest.phrase(tostring(name), names), table.concat(names, ", ")), 2)
    end,
  })
end

-- ---- where it stands ------------------------------------------------------------------

local function read_text(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text
end

--- Where a field of a profile is written, or the option that it is a part of.
-- @param path of the profile
-- @param fields names, the outermost first: { "options", "redis", "port" }
-- @param value of the field, see field_lines.lua
-- @return "path:line: "; without a line when it is not found
function profile.place(path, fields, value)
  local text, except = read_text(path), fields[1] == "options" and "why" or nil
  for last = #fields, math.min(2, #fields), -1 do
    local line = field_lines.find(text, { unpack(fields, 1, last) }, value, except)
    if line then return ("%s:%d: "):format(path, line) end
  end
  return path .. ": "
end

local function option_fields(name)
  local fields = { "options" }
  for field in name:gmatch "[^.]+" do fields[#fields + 1] = field end
  return fields
end

-- In a message a long path is cut, and an error may have been raised without any place.
local function with_path(message, path)
  if not path or message:find(path, 1, true) then return message end
  local cut_path = debug.getinfo(assert(loadstring("", "@" .. path)), "S").short_src
  local _, last = message:find(cut_path, 1, true)
  if last then return path .. message:sub(last + 1) end
  return path .. ": " .. message
end

--- A syntax error without the word where it was noticed, which may be a part of a secret.
function profile.hide_word(message)
  local sentence, word = message:match "^(.*) near '(.*)'$"
  local is_harmless = not word or word == "<eof>" or word:find "^%p%p?%p?$"
  return is_harmless and message or sentence
end

-- ---- one profile ----------------------------------------------------------------------

-- Runs a script. What it says, its path, and whether it says the same everywhere; or nil
-- and a sentence.
local function run(name, facts)
  local said, path, failed_path = script.load("profiles", name)
  if said == nil then return nil, profile.hide_word(with_path(path, failed_path)) end
  local is_fixed = type(said) ~= "function"
  if not is_fixed then
    local is_whole
    is_whole, said = pcall(said, new_env(facts))
    if not is_whole then return nil, with_path(tostring(said), path) end
  end
  if type(said) ~= "table" then
    return nil, ("%s %s; accepted: a table, or a function of env that returns one")
      :format(is_fixed and path .. " returns" or "the function of " .. path .. " returns",
        failure.show(said))
  end
  return said, path, is_fixed
end

-- Adds what is wrong with a field of a profile.
local function complain(faults, path, fields, value, format, ...)
  faults[#faults + 1] = {
    option = table.concat(fields, ".", 2), value = value,
    place = profile.place(path, fields, value), sentence = format:format(...),
  }
end

local function check_fields(said, path, faults)
  for _, name in ipairs(names_of(said)) do
    if name ~= "extends" and name ~= "options" and name ~= "why" then
      complain(faults, path, { tostring(name) }, said[name],
        'unknown field "%s"%s; accepted: %s', tostring(name),
        suggest.phrase(tostring(name), FIELDS), table.concat(FIELDS, ", "))
    end
  end
  local extends = said.extends
  if extends ~= nil and type(extends) ~= "string" then
    complain(faults, path, { "extends" }, extends,
      'field "extends": %s; accepted: the name or the path of a profile',
      failure.show(extends))
  end
  for _, name in ipairs { "options", "why" } do
    if said[name] ~= nil and type(said[name]) ~= "table" then
      complain(faults, path, { name }, said[name],
        'field "%s": %s; accepted: a table', name, failure.show(said[name]))
    end
  end
end

-- What is right of the options that a profile sets.
local function check_options(said, path, faults)
  local given = layers.merge_tables(said, {})
  if given.profile ~= nil then
    complain(faults, path, { "options", "profile" }, given.profile,
      'option "profile": a profile cannot choose one; accepted: the field extends')
    given.profile = nil
  end
  local right, wrong = options.check_part(given)
  for _, each in ipairs(wrong) do
    complain(faults, path, option_fields(each.option), each.value, "%s", each.sentence)
  end
  return right
end

--- Whether options set one, given by its full name.
function profile.is_set(given, name)
  local value = given
  for field in name:gmatch "[^.]+" do
    if type(value) ~= "table" then return false end
    value = value[field]
  end
  return value ~= nil
end

-- Reasons are for options that exist and, in a profile that says the same everywhere, for
-- those that it sets.
local function check_why(why, given, path, is_fixed, faults)
  local known = options.full_names()
  for _, name in ipairs(names_of(why)) do
    local fields, reason = { "why", name }, why[name]
    if not known[name] then
      complain(faults, path, fields, reason, 'why "%s": there is no such option%s',
        tostring(name), suggest.phrase(tostring(name), names_of(known)))
    elseif type(reason) ~= "string" then
      complain(faults, path, fields, reason, 'why "%s": %s; accepted: a sentence', name,
        failure.show(reason))
    elseif is_fixed and not profile.is_set(given, name) then
      complain(faults, path, fields, reason,
        'why "%s": the profile does not set this option', name)
    end
  end
end

-- What a profile says, checked: { path, extends, options, why }, of each what is right.
local function check(said, path, is_fixed, faults)
  check_fields(said, path, faults)
  local given = type(said.options) == "table" and said.options or {}
  local why = type(said.why) == "table" and said.why or {}
  local right = check_options(given, path, faults)
  check_why(why, given, path, is_fixed, faults)
  return {
    path = path, options = right, why = why,
    extends = type(said.extends) == "string" and said.extends or nil,
  }
end

-- ---- what it extends ------------------------------------------------------------------

local function is_path(name)
  return name:find("/", 1, true) or name:find "%.lua$"
end

-- A relative path is relative to the file that says it.
local function extended_name(layer)
  local name = layer.extends
  if not is_path(name) or name:sub(1, 1) == "/" then return name end
  return (layer.path:match "^.*/" or "") .. name:gsub("^%./", "")
end

-- Why a chain cannot go on with one more profile; or nil.
local function chain_fault(chain, seen, path)
  if #chain >= MAX_DEPTH then
    return ("more than %d profiles, one upon the other"):format(MAX_DEPTH)
  elseif seen[path] then
    local way = {}
    for i = seen[path], #chain do way[#way + 1] = chain[i].path end
    way[#way + 1] = way[1]
    return "it goes round in a circle: " .. table.concat(way, " -> ")
  end
end

-- What is wrong with `name`, which a profile extends, or which was given.
local function complain_of(name, from, sentence, faults)
  if from then
    complain(faults, from.path, { "extends" }, from.extends, "extends: %s", sentence)
  else
    faults[#faults + 1] = {
      option = "profile", value = name, sentence = 'option "profile": ' .. sentence,
    }
  end
end

-- The profile, what it extends, and so on: a list; and the place in it of each file.
local function follow(name, facts, faults)
  local chain, seen, from = {}, {}, nil
  repeat
    local said, path, is_fixed = run(name, facts)
    local real_path = said and core.real_path(path)
    local wrong = not said and path or chain_fault(chain, seen, real_path)
    if wrong then
      complain_of(name, from, wrong, faults)
      return chain, seen
    end
    from = check(said, path, is_fixed, faults)
    chain[#chain + 1] = from
    seen[real_path] = #chain
    name = from.extends and extended_name(from)
  until not name
  return chain, seen
end

-- All profiles that apply, the lowest first.
local function load_chain(name, facts)
  local faults = {}
  local chain, seen = follow(name, facts, faults)
  if #faults > 0 or name == DEFAULT then return chain, faults end
  local base = follow(DEFAULT, facts, faults)
  for _, layer in ipairs(base) do
    if not seen[core.real_path(layer.path)] then chain[#chain + 1] = layer end
  end
  return chain, faults
end

-- ---- what applies ---------------------------------------------------------------------

local Applied = { __name = "authstate.profile" }
Applied.__index = Applied

--- The file of the profile that says an option; nil for none.
function Applied:origin(name)
  local layer = self.origins[name]
  return layer and layer.path
end

--- Where an option is said: "path:line: "; "" when no profile says it.
function Applied:place(name, value)
  local layer = self.origins[name]
  return layer and profile.place(layer.path, option_fields(name), value) or ""
end

--- Why an option is as it is: a sentence of the profile that says it; or nil.
function Applied:why(name)
  local layer = self.origins[name]
  while layer and name do
    if layer.why[name] then return layer.why[name] end
    name = name:match "^(.*)%.[^.]*$"
  end
end

--- The options of a store: those given to `open` above its profile's, what that extends,
-- and the defaults.
-- @param given table, with `profile` a name or a path
-- @param facts see `profile.environment`, which is asked when this is nil
-- @return the options, see options.check; and what the profile has to do with them: {
--   name, options (those that profiles say, merged), chain = list of what each profile
--   says, the first extends the second and so on }, see Applied; or nil and a list of
--   what is wrong, see options.message
function profile.apply(given, facts)
  local name = type(given.profile) == "string" and given.profile or DEFAULT
  local chain, faults = load_chain(name, facts or profile.environment())
  local below, origins = {}, {}
  for i = #chain, 1, -1 do
    below = layers.merge(below, chain[i].options, origins, chain[i])
  end
  local applied = setmetatable({
    name = name, chain = chain, options = below, origins = origins,
  }, Applied)
  local checked, wrong = options.check(given, below, origins)
  for i, each in ipairs(wrong or {}) do
    if each.origin then each.place = applied:place(each.option, each.value) end
    table.insert(faults, i, each)
  end
  if #faults > 0 then return nil, faults end
  return checked, applied
end

return profile
