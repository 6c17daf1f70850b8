-- SPDX-License-Identifier: MIT
--- authstate check: tries a script of the user's. A layout goes through thousands of
-- random steps, with names that are made to break it, a policy on caches of all sizes, a
-- preload rule with reads of all kinds, a serializer with random values, a profile
-- through all environments of a grid. Which of them a script is, is told by what it
-- returns.
--
-- It runs in the interpreter, with a limit on the instructions of a step, so that an
-- endless loop ends: in code that LuaJIT has compiled a hook never fires.

local core = require "authstate.core"
local failure = require "authstate.failure"
local layout = require "authstate.layout"
local layout_checks = require "authstate.checks.layout"
local option_rows = require "authstate.options"
local policy = require "authstate.policy"
local policy_checks = require "authstate.checks.policy"
local preload_checks = require "authstate.checks.preload"
local profile = require "authstate.profile"
local profile_checks = require "authstate.checks.profile"
local report = require "authstate.report"
local script = require "authstate.script"
local serializer = require "authstate.serializer"
local serializer_checks = require "authstate.checks.serializer"
local suggest = require "authstate.suggest"

local STEPS = 5000
local MAX_STEPS = 10000000
local MAX_SEED = 2147483646
local STEP_INSTRUCTIONS = 1000000
local MAX_VALUES = 4
local MAX_STOPS = 5 -- each takes its time, and the others would tell nothing new

-- The minimal standard of Park and Miller (1988): the same steps for the same seed.
local function new_dice(seed)
  local state = seed % 2147483646 + 1
  return function(n)
    state = state * 16807 % 2147483647
    return state % n + 1
  end
end

local function random_seed()
  local high, low = core.random(2):byte(1, 2)
  return high * 256 + low + 1
end

local function whole_number(context, name, default, max)
  local text = context.options[name]
  if text == nil then return default end
  local number = tonumber(text:match "^%d+$")
  if not number or number < 1 or number > max then
    context.misuse(('--%s: "%s"; accepted: a whole number from 1 to %d')
      :format(name, text, max))
  end
  return number
end

-- How often something was stopped.
local stops = 0

-- Calls a function that may not end. What it returns; or nil and a sentence. At the limit
-- each further instruction raises, or a script that catches errors would go on for ever.
local function call_bounded(fn, ...)
  local caller, is_stopped = debug.getinfo(1, "f").func, false
  local function stop()
    if debug.getinfo(2, "f").func == caller then return end
    if not is_stopped then stops, is_stopped = stops + 1, true end
    debug.sethook(stop, "", 1)
    error(("it did not come to an end within %d instructions")
      :format(STEP_INSTRUCTIONS), 0)
  end
  debug.sethook(stop, "", STEP_INSTRUCTIONS)
  local is_whole, value, more = pcall(fn, ...)
  debug.sethook()
  if is_whole then return value, more end
  return nil, tostring(value)
end

-- ---- which kind of script it is ------------------------------------------------------

local FOLDERS = { "layouts", "policies", "preload", "profiles", "serializers" }

local function unknown_name(name)
  local names = {}
  for _, folder in ipairs(FOLDERS) do
    for _, each in ipairs(script.names(folder)) do names[#names + 1] = each end
  end
  table.sort(names)
  return ("there is no layout, policy, preload rule, profile or serializer %s%s; "
    .. "accepted: %s, or the path of a Lua file"):format(failure.show(name),
    suggest.phrase(name, names), table.concat(names, ", "))
end

-- What the file returns; or nil and a sentence.
local function load_script(name)
  local sentence
  for _, folder in ipairs(FOLDERS) do
    local value, path, failed_path = script.load(folder, name)
    if value ~= nil then return value end
    if failed_path then sentence = sentence or profile.hide_word(path) end
  end
  return nil, sentence or unknown_name(name)
end

-- What only a cache has.
local OF_CACHE = { queue = true, ghost = true, heap = true, sketch = true, entry = true }

-- A table that has all that a layout and a profile are told, and notes what is read.
local function new_argument(options)
  local env, is_read = profile.environment(), {}
  return setmetatable({}, {
    __index = function(_, name)
      is_read[name] = env[name] ~= nil
      return env[name] or options[name]
    end,
  }), is_read
end

local function is_profile(made)
  return made.options ~= nil or made.extends ~= nil or made.why ~= nil
end

local function is_serializer(made)
  return made.encode ~= nil or made.decode ~= nil or made.code ~= nil
end

local function is_policy(made)
  return made.evict ~= nil or made.insert ~= nil
end

local function is_preload(made)
  return made.read ~= nil or made.seen ~= nil
end

-- Of what a function made.
local function kind_of_made(made)
  if made.key ~= nil then return "layout" end
  if is_profile(made) then return "profile" end
  if is_policy(made) then return "policy" end
  return is_preload(made) and "preload" or nil
end

-- "layout", "policy", "preload", "serializer" or "profile". A function that comes to no
-- result is what its questions tell.
local function kind_of(value, options)
  if type(value) == "table" and is_serializer(value) then return "serializer" end
  if type(value) == "table" then return value.key == nil and "profile" or "layout" end
  if type(value) ~= "function" then return "layout" end
  local argument, is_read = new_argument(options)
  local made = call_bounded(value, argument)
  local kind = type(made) == "table" and kind_of_made(made)
  if kind then return kind end
  for name, is_of_env in pairs(is_read) do
    if OF_CACHE[name] then return "policy" end
    if is_of_env then return "profile" end
  end
  return "layout"
end

-- ---- a layout ------------------------------------------------------------------------

-- As it is, but for bytes that are no text.
local function printable(sentence)
  if core.to_json(sentence) then return sentence end
  return (sentence:gsub("[\128-\255]", function(byte)
    return ("\\x%02x"):format(byte:byte())
  end))
end

-- { complaints = { [rule] = sentence }, count, lossy = an example or nil, steps = how
-- many were made }
local function run_steps(step_once, made, steps, seed, on_step)
  local found, dice = { complaints = {}, count = 0, lossy_count = 0 }, new_dice(seed)
  local function complain(rule, sentence)
    if not found.complaints[rule] then found.count = found.count + 1 end
    found.complaints[rule] = found.complaints[rule] or sentence
  end
  for step = 1, steps do
    local lossy, raised = call_bounded(step_once, made, dice, complain)
    if raised then complain("it raises no error", raised) end
    if lossy then
      found.lossy_count = found.lossy_count + 1
      found.lossy = found.lossy or lossy
    end
    found.steps = step
    on_step(step)
    if stops >= MAX_STOPS then break end
  end
  return found
end

-- Prints what was broken. A list for programs.
local function print_broken(context, found)
  local list = core.array {}
  for rule, sentence in pairs(found.complaints) do
    list[#list + 1] = { rule = rule, example = printable(sentence) }
  end
  table.sort(list, function(a, b) return a.rule < b.rule end)
  for _, each in ipairs(list) do
    context.report:line("broken   %s: %s", each.rule, each.example)
  end
  return list
end

local function print_layout(context, found, path, seed)
  local list = print_broken(context, found)
  if found.lossy then
    context.report:line("note     the ids of %d of %d records do not come back from "
      .. "their fields, such as %s", found.lossy_count, found.steps,
      printable(found.lossy))
  end
  context.report:line("layout   %s: %d steps from seed %d, %d of %d rules broken", path,
    found.steps, seed, #list, #layout_checks.names() + 1)
  context.report:document {
    script = path, kind = "layout", steps = found.steps, seed = seed, broken = list,
    lossy_ids = found.lossy_count,
  }
end

local function how_many_steps(context)
  return whole_number(context, "steps", STEPS, MAX_STEPS),
    whole_number(context, "seed", random_seed(), MAX_SEED)
end

local function check_layout(context, path, options)
  local steps, seed = how_many_steps(context)
  local made, message = call_bounded(layout.load, path, options)
  if not made then return nil, (message:gsub('^option "layout": ', "")) end
  local found = run_steps(layout_checks.step, made, steps, seed, function(step)
    context.report:progress("check", step, steps)
  end)
  print_layout(context, found, path, seed)
  return found.count == 0 or nil
end

-- ---- a policy or a preload rule ------------------------------------------------------

-- Steps of a checker: what was found of the script.
local function check_steps(context, path, kind, checker, module)
  local steps, seed = how_many_steps(context)
  local found = run_steps(module.step, checker, steps, seed, function(step)
    context.report:progress("check", step, steps)
  end)
  local list = print_broken(context, found)
  context.report:line("%-8s %s: %d steps from seed %d, %d of %d rules broken", kind, path,
    found.steps, seed, #list, #module.names() + 1)
  context.report:document {
    script = path, kind = kind, steps = found.steps, seed = seed, broken = list,
  }
  return found.count == 0 or nil
end

local function check_policy(context, name)
  local make, path = call_bounded(policy.load, name)
  if not make then return nil, path end
  return check_steps(context, name, "policy", policy_checks.new(make, path),
    policy_checks)
end

local function check_preload(context, name)
  local checker, message = call_bounded(preload_checks.new, name)
  if not checker then return nil, message end
  return check_steps(context, name, "preload", checker, preload_checks)
end

-- ---- a serializer --------------------------------------------------------------------

local function check_serializer(context, path)
  local steps, seed = how_many_steps(context)
  local made, message = call_bounded(serializer.load, path)
  if not made then return nil, message end
  if made.is_built_in then
    return nil, path .. " is built in; accepted: the path of a script of yours"
  end
  local found = run_steps(serializer_checks.step, made, steps, seed, function(step)
    context.report:progress("check", step, steps)
  end)
  local list = print_broken(context, found)
  context.report:line("serializer %s: %d steps from seed %d, %d of %d rules broken", path,
    found.steps, seed, #list, #serializer_checks.names() + 1)
  context.report:document {
    script = path, kind = "serializer", steps = found.steps, seed = seed, broken = list,
  }
  return found.count == 0 or nil
end

-- ---- a profile -----------------------------------------------------------------------

local function values_text(option)
  if option.least then
    local least, most = ("%.0f"):format(option.least), ("%.0f"):format(option.most)
    return least == most and least or least .. " to " .. most
  end
  local shown = { unpack(option.values, 1, MAX_VALUES) }
  if #option.values > MAX_VALUES then shown[#shown + 1] = "others" end
  return table.concat(shown, " or ")
end

local function option_line(option, found)
  local line = ("sets     %s = %s"):format(option.name, values_text(option))
  if option.count < found.applied then
    line = line .. (", in %d of %d environments"):format(option.count, found.applied)
  end
  if option.path ~= found.path then line = line .. ", from " .. option.path end
  return option.why and line .. ": " .. report.id(printable(option.why)) or line
end

local function broken_line(each)
  local where = each.environment and (" (%d times, first with %s)"):format(each.count,
    profile_checks.describe(each.environment)) or ""
  return "broken   " .. report.id(printable(each.sentence)) .. where
end

local function profile_document(found, path, total)
  local broken, set = core.array {}, core.array {}
  for i, each in ipairs(found.broken) do
    broken[i] = {
      example = printable(each.sentence), count = each.count,
      environment = each.environment and profile_checks.describe(each.environment),
    }
  end
  for i, option in ipairs(found.set) do
    set[i] = {
      option = option.name, values = printable(values_text(option)),
      environments = option.count, profile = option.path,
      why = option.why and printable(option.why),
    }
  end
  return {
    script = path, kind = "profile", environments = total, refused = found.refused,
    broken = broken, sets = set,
  }
end

local function print_profile(context, found, path, total)
  for _, option in ipairs(found.set) do
    context.report:line("%s", option_line(option, found))
  end
  for _, each in ipairs(found.broken) do context.report:line("%s", broken_line(each)) end
  if found.refused > 0 then
    context.report:line("note     %d environments were refused for what a variable "
      .. "holds, which the profile passes on", found.refused)
  end
  context.report:line("profile  %s: %d environments, %d %s wrong", path, total,
    #found.broken, #found.broken == 1 and "thing" or "things")
  context.report:document(profile_document(found, path, total))
end

local function check_profile(context, name, given)
  for _, option in ipairs { "steps", "seed" } do
    if context.options[option] then
      context.misuse(("--%s: %s is a profile, which is always tried in the same "
        .. "environments; accepted with a layout or serializer"):format(option, name))
    end
  end
  local environments, found = profile_checks.environments(), profile_checks.new()
  local tried = 0
  while tried < #environments and stops < MAX_STOPS do
    tried = tried + 1
    local environment = environments[tried]
    local _, raised = call_bounded(found.step, found, given, environment)
    if raised then found:complain(name .. ": " .. raised, environment) end
    context.report:progress("check", tried, #environments)
  end
  found:finish()
  print_profile(context, found, name, tried)
  return #found.broken == 0 or nil
end

local function run(context)
  local name, prefix = context.arguments[1], context.options.prefix
  whole_number(context, "steps", STEPS, MAX_STEPS)
  whole_number(context, "seed", 1, MAX_SEED)
  local options, wrong = option_rows.check { prefix = prefix }
  if not options then context.misuse(option_rows.message(wrong)) end
  jit.off()
  local value, message = call_bounded(load_script, name)
  if value == nil then return nil, message end
  local kind = kind_of(value, options)
  if kind == "layout" then return check_layout(context, name, options) end
  if kind == "policy" then return check_policy(context, name) end
  if kind == "preload" then return check_preload(context, name) end
  if kind == "serializer" then return check_serializer(context, name) end
  return check_profile(context, name, { profile = name, prefix = prefix })
end

return {
  summary = "a layout, policy, preload rule, profile or serializer of yours, tried in "
    .. "thousands of ways",
  usage = "check SCRIPT [--steps N] [--seed N]",
  positional = { min = 1, max = 1, names = "SCRIPT" },
  has_no_store = true,
  options = {
    { name = "steps", value = "N",
      sentence = "how many, unless it is a profile (default 5000)" },
    { name = "seed", value = "N", sentence = "repeats the steps of another run" },
  },
  run = run,
}
