-- SPDX-License-Identifier: MIT
--- authstate sim: stores with the user's layout and options live through simulated
-- faults, seed by seed (sim/init.lua). Exit 1 when something was not as promised: the
-- seed, what it was, and the last events of the session.

local core = require "authstate.core"
local failure = require "authstate.failure"
local faults = require "authstate.sim.faults"
local sim = require "authstate.sim"
local suggest = require "authstate.suggest"

local SEEDS = 100
local MAX_SEEDS = 10000000
local MAX_SEED = 4294967295

-- After so many seeds with violations the others would tell nothing new.
local MAX_FAILURES = 5

local function whole_number(context, name, default, least, most)
  local text = context.options[name]
  if text == nil then return default end
  local number = tonumber(text:match "^%d+$")
  if not number or number < least or number > most then
    context.misuse(('--%s: "%s"; accepted: a whole number from %d to %.0f')
      :format(name, text, least, most))
  end
  return number
end

-- Names behind one another with commas between them.
local function wanted_faults(context)
  local text = context.options.faults
  if text == nil then return {} end
  local wanted = { others = false }
  for name in text:gmatch "[^,]+" do
    if name ~= "none" and not faults.SENTENCES[name] then
      context.misuse(("--faults: %s%s; accepted: none, %s"):format(failure.show(name),
        suggest.phrase(name, faults.NAMES), table.concat(faults.NAMES, ", ")))
    end
    if name ~= "none" then wanted[name] = true end
  end
  return wanted
end

local function settings_of(context, seed, wanted)
  local given = context.options
  return {
    seed = seed, layout = given.layout, faults = wanted,
    options = { profile = given.profile, prefix = given.prefix },
  }
end

-- One seed. A wrong option is a wrong call.
local function run_seed(context, seed, wanted)
  local is_right, report = pcall(sim.run, settings_of(context, seed, wanted))
  if not is_right then context.misuse(report) end
  return report
end

local function add_up(found, report)
  found.calls, found.changes = found.calls + report.calls, found.changes + report.changes
  found.simulated_ms = found.simulated_ms + report.elapsed_ms
  for name, count in pairs(report.faults) do
    found.faults[name] = (found.faults[name] or 0) + count
  end
end

local function note_failure(context, found, report)
  local sentences = core.array {}
  for i, violation in ipairs(report.violations) do sentences[i] = violation.sentence end
  table.insert(found.failures, { seed = report.seed, violations = sentences })
  context.report:line("%s", sim.describe(report))
end

local function print_sum(context, found)
  for _, name in ipairs(faults.NAMES) do
    if found.faults[name] then
      context.report:line("fault    %6d  %s: %s", found.faults[name], name,
        faults.SENTENCES[name])
    end
  end
  context.report:line("sim      %d seeds, %d calls, %d changes, %.1f simulated minutes: "
    .. "%d seeds not as promised", found.seeds, found.calls, found.changes,
    found.simulated_ms / 60000, #found.failures)
  context.report:document {
    seeds = found.seeds, first_seed = found.first_seed, calls = found.calls,
    changes = found.changes, simulated_ms = found.simulated_ms, faults = found.faults,
    failures = found.failures,
  }
end

local function run(context)
  local first = whole_number(context, "seed", 1, 0, MAX_SEED)
  local default = context.options.seed and 1 or SEEDS
  local count = whole_number(context, "seeds", default, 1, MAX_SEEDS)
  local wanted = wanted_faults(context)
  local found = {
    first_seed = first, seeds = 0, calls = 0, changes = 0, simulated_ms = 0, faults = {},
    failures = core.array {},
  }
  for seed = first, math.min(first + count - 1, MAX_SEED) do
    local report = run_seed(context, seed, wanted)
    found.seeds = found.seeds + 1
    add_up(found, report)
    if report.violations[1] then note_failure(context, found, report) end
    context.report:progress("sim", found.seeds, count)
    if #found.failures == MAX_FAILURES then break end
  end
  print_sum(context, found)
  return #found.failures == 0 or nil
end

return {
  summary = "stores that live through simulated faults, seed by seed",
  usage = "sim [--seeds N] [--seed N] [--faults NAMES] [--layout LAYOUT] "
    .. "[--profile PROFILE]",
  has_no_store = true,
  options = {
    { name = "seeds", value = "N", sentence = "how many (default 100; 1 with --seed)" },
    { name = "seed", value = "N", sentence = "the first one (default 1)" },
    { name = "faults", value = "NAMES",
      sentence = "only these faults, with commas between them; none: no fault" },
    { name = "layout", value = "LAYOUT",
      sentence = "how a session maps to keys: a name, or the path of a script" },
    { name = "profile", value = "PROFILE",
      sentence = "options of the stores: a name, or the path of a script" },
  },
  run = run,
}
