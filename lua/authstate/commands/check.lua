-- SPDX-License-Identifier: MIT
--- authstate check: tries a layout of the user's in thousands of random steps, with names
-- that are made to break it, and tells which rules it does not keep.
--
-- It runs in the interpreter, with a limit on the instructions of a step, so that an
-- endless loop ends: in code that LuaJIT has compiled a hook never fires.

local core = require "authstate.core"
local layout = require "authstate.layout"
local layout_checks = require "authstate.checks.layout"
local option_rows = require "authstate.options"

local STEPS = 5000
local MAX_STEPS = 10000000
local MAX_SEED = 2147483646
local STEP_INSTRUCTIONS = 1000000

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

-- Calls a function that may not end. What it returns; or nil and a sentence.
local function call_bounded(fn, ...)
  debug.sethook(function()
    debug.sethook()
    error(("it did not come to an end within %d instructions")
      :format(STEP_INSTRUCTIONS), 0)
  end, "", STEP_INSTRUCTIONS)
  local is_whole, value, more = pcall(fn, ...)
  debug.sethook()
  if is_whole then return value, more end
  return nil, tostring(value)
end

-- As it is, but for bytes that are no text.
local function printable(sentence)
  if core.to_json(sentence) then return sentence end
  return (sentence:gsub("[\128-\255]", function(byte)
    return ("\\x%02x"):format(byte:byte())
  end))
end

-- { complaints = { [rule] = sentence }, count, lossy = an example or nil }
local function run_steps(made, steps, seed, on_step)
  local found, dice = { complaints = {}, count = 0, lossy_count = 0 }, new_dice(seed)
  local function complain(rule, sentence)
    if not found.complaints[rule] then found.count = found.count + 1 end
    found.complaints[rule] = found.complaints[rule] or sentence
  end
  for step = 1, steps do
    local lossy, raised = call_bounded(layout_checks.step, made, dice, complain)
    if raised then complain("it raises no error", raised) end
    if lossy then
      found.lossy_count = found.lossy_count + 1
      found.lossy = found.lossy or lossy
    end
    on_step(step)
  end
  return found
end

local function print_found(context, found, path, steps, seed)
  local list = core.array {}
  for rule, sentence in pairs(found.complaints) do
    list[#list + 1] = { rule = rule, example = printable(sentence) }
  end
  table.sort(list, function(a, b) return a.rule < b.rule end)
  for _, each in ipairs(list) do
    context.report:line("broken   %s: %s", each.rule, each.example)
  end
  if found.lossy then
    context.report:line("note     the ids of %d of %d records do not come back from "
      .. "their fields, such as %s", found.lossy_count, steps,
      printable(found.lossy))
  end
  context.report:line("layout   %s: %d steps from seed %d, %d of %d rules broken", path,
    steps, seed, #list, #layout_checks.names() + 1)
  context.report:document {
    script = path, kind = "layout", steps = steps, seed = seed, broken = list,
    lossy_ids = found.lossy_count,
  }
end

local function run(context)
  local path = context.arguments[1]
  local steps = whole_number(context, "steps", STEPS, MAX_STEPS)
  local seed = whole_number(context, "seed", random_seed(), MAX_SEED)
  jit.off()
  local options, wrong = option_rows.check { prefix = context.options.prefix }
  if not options then context.misuse(wrong) end
  local made, message = call_bounded(layout.load, path, options)
  if not made then return nil, (message:gsub('^option "layout": ', "")) end
  local found = run_steps(made, steps, seed, function(step)
    context.report:progress("check", step, steps)
  end)
  print_found(context, found, path, steps, seed)
  return found.count == 0 or nil
end

return {
  summary = "a layout of yours, in thousands of random steps",
  usage = "check SCRIPT [--steps N] [--seed N]",
  positional = { min = 1, max = 1, names = "SCRIPT" },
  has_no_store = true,
  options = {
    { name = "steps", value = "N", sentence = "how many (default 5000)" },
    { name = "seed", value = "N", sentence = "repeats the steps of another run" },
  },
  run = run,
}
