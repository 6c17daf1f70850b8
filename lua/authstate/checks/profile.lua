-- SPDX-License-Identifier: MIT
--- Tries a profile in every environment of a grid: small and large machines, both
-- runtimes, one and many workers, and a getenv that knows nothing or answers nonsense.

local layers = require "authstate.option_layers"
local layout = require "authstate.layout"
local options = require "authstate.options"
local profile = require "authstate.profile"

local CORES = { 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256 }
local WORKERS = { 1, 2, 3, 4, 8, 16, 32, 64 }
local PAGE_BYTES = 4096
local LEAST_MEMORY, MOST_MEMORY = 26, 40 -- powers of two: 64 MiB, 1 TiB

-- What somebody may have put into a variable.
local NONSENSE = {
  "", " ", "0", "-1", "1.5", "1e309", "nan", "0x10", "yes", "nil", "a\nb", "\0", "\255",
  "../..", "$(exit)", "%s%n", "return 1", ("9"):rep(400), ("x"):rep(70000),
}

-- Powers of two, and in between what a machine has that keeps some pages for itself.
local function memory_sizes()
  local sizes = {}
  for power = LEAST_MEMORY, MOST_MEMORY do
    sizes[#sizes + 1] = 2 ^ power
    if power < MOST_MEMORY then
      sizes[#sizes + 1] = 1.5 * 2 ^ power - (2 * power + 1) * PAGE_BYTES
    end
  end
  return sizes
end

-- A getenv that answers something else for each variable and each environment.
local function new_getenv(number)
  return function(name)
    local sum = number
    for i = 1, #name do sum = sum + name:byte(i) end
    return NONSENSE[sum % #NONSENSE + 1]
  end
end

local function knows_nothing() end

local checks = {}

--- All environments: { facts, see profile.environment; is_hostile = whether its getenv
-- answers nonsense }.
function checks.environments()
  local list = {}
  local function add(cores, memory_bytes, runtime, workers)
    for _, is_hostile in ipairs { false, true } do
      list[#list + 1] = {
        is_hostile = is_hostile,
        facts = {
          cores = cores, memory_bytes = memory_bytes, runtime = runtime,
          workers = workers, getenv = is_hostile and new_getenv(#list) or knows_nothing,
        },
      }
    end
  end
  for _, cores in ipairs(CORES) do
    for _, memory_bytes in ipairs(memory_sizes()) do
      add(cores, memory_bytes, "luajit", 1)
      for _, workers in ipairs(WORKERS) do
        add(cores, memory_bytes, "openresty", workers)
      end
    end
  end
  return list
end

--- An environment in words.
function checks.describe(environment)
  local facts = environment.facts
  return ("cores %d, memory_bytes %.0f, runtime %s, workers %d, getenv answers %s")
    :format(facts.cores, facts.memory_bytes, facts.runtime, facts.workers,
      environment.is_hostile and "nonsense" or "nil")
end

-- Whether a value is a string of the environment that the profile passes on as it is,
-- such as a URL. What is wrong with it is not the profile's mistake, and `open` tells it.
local function is_passed_on(value, environment)
  if not environment.is_hostile then return false end
  for _, nonsense in ipairs(NONSENSE) do
    if value == nonsense then return true end
  end
  return false
end

-- ---- what is found --------------------------------------------------------------------

local Found = { __name = "authstate.profile_check" }
Found.__index = Found

--- Nothing, so far: `broken`, a list of { sentence, environment, count }; `set`, a list
-- of { name, path, why, count, values, least, most }, in the order of their names after
-- `finish`; `path` of the profile; `applied`, in how many environments it did; `refused`,
-- in how many only a string that it passes on was wrong.
function checks.new()
  return setmetatable({
    broken = {}, by_kind = {}, set = {}, by_name = {}, reasons = {}, applied = 0,
    refused = 0,
  }, Found)
end

--- Adds something that is wrong. In other environments it may come with another number.
-- @param sentence with file and line
-- @param environment where it is so; nil for everywhere
-- @param option full name; nil for none
function Found:complain(sentence, environment, option)
  local kind = option and option .. " " .. (sentence:match "^(.-:%d+: )" or "")
    or sentence:gsub("%d+", "0")
  local known = self.by_kind[kind]
  if known then
    known.count = known.count + 1
    return
  end
  known = { sentence = sentence, environment = environment, count = 1 }
  self.by_kind[kind], self.broken[#self.broken + 1] = known, known
end

local function text_of(name, value, environment)
  if is_passed_on(value, environment) then return "what a variable holds" end
  if type(value) == "number" then return ("%.0f"):format(value) end
  return options.show(name, value)
end

function Found:add_option(name, value, applied, environment)
  local path = applied:origin(name)
  local known = self.by_name[name]
  if not known then
    known = { name = name, path = path, count = 0, values = {}, is_value = {} }
    self.by_name[name], self.set[#self.set + 1] = known, known
  end
  known.count = known.count + 1
  known.why = known.why or applied:why(name)
  if type(value) == "number" then
    known.least = math.min(known.least or value, value)
    known.most = math.max(known.most or value, value)
  end
  local text = text_of(name, value, environment)
  if not known.is_value[text] then
    known.is_value[text] = true
    known.values[#known.values + 1] = text
  end
end

-- Which reasons are for options that a profile sets.
function Found:note_reasons(applied)
  for _, layer in ipairs(applied.chain) do
    local reasons = self.reasons[layer.path] or {}
    self.reasons[layer.path] = reasons
    for name in pairs(layer.why) do
      reasons[name] = reasons[name] or profile.is_set(layer.options, name)
    end
  end
end

-- Faults of a profile in one environment, but for what is passed on.
function Found:add_faults(faults, environment)
  local is_refused = true
  for _, each in ipairs(faults) do
    if not is_passed_on(each.value, environment) then
      is_refused = false
      local sentence = options.message { each }:gsub('^option "profile": ', "")
      self:complain(sentence, environment, each.place and each.option)
    end
  end
  if is_refused then self.refused = self.refused + 1 end
end

--- Tries a profile in one environment.
-- @param given what is given to `open`, with `profile`
-- @param environment one of `checks.environments`
function Found:step(given, environment)
  local checked, applied = profile.apply(given, environment.facts)
  if not checked then return self:add_faults(applied, environment) end
  self.applied, self.path = self.applied + 1, applied.chain[1].path
  self:note_reasons(applied)
  for name, value in pairs(layers.leaves(applied.options)) do
    if applied:origin(name) then self:add_option(name, value, applied, environment) end
  end
  local name = applied:origin "layout" and checked.layout
  local made, wrong = nil, nil
  if name then made, wrong = layout.load(name, checked) end
  if name and not made then
    self:add_faults({ {
      value = name, place = applied:place("layout", name), sentence = wrong,
    } }, environment)
  end
end

--- The end: looks at what only all environments together tell.
function Found:finish()
  table.sort(self.set, function(a, b) return a.name < b.name end)
  for path, reasons in pairs(self.reasons) do
    for name, is_set in pairs(reasons) do
      if not is_set then
        self:complain(profile.place(path, { "why", name })
          .. ('why "%s": the profile sets this option nowhere'):format(name))
      end
    end
  end
end

return checks
