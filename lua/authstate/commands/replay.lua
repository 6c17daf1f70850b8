-- SPDX-License-Identifier: MIT
--- authstate replay: what the near cache would have served of the calls of a trace, under
-- one policy or several, beside the optimum.

local core = require "authstate.core"
local hit_ratio_plot = require "authstate.hit_ratio_plot"
local option_rows = require "authstate.options"
local policy = require "authstate.policy"
local preload = require "authstate.preload"
local replay = require "authstate.replay"
local script = require "authstate.script"

local DEFAULT_SHARE = 0.1
local MAX_CAPACITY = 1e12

-- Shares of the capacity that a plot goes through.
local PLOT_SHARES = { 0.1, 0.2, 0.4, 0.7, 1, 1.5, 2.5, 4, 6 }

local function capacity_option(context, name)
  local given = context.options[name]
  if given == nil then return nil end
  local number = tonumber(given:match "^%d+$")
  if not number or number < 1 or number > MAX_CAPACITY then
    context.misuse(('--%s: "%s"; accepted: a whole number from 1 to %.0f'):format(name,
      given, MAX_CAPACITY))
  end
  return number
end

-- The policies that are named, each loaded once to see that it is there.
local function wanted_policies(context)
  local given = context.options.policy
  if given == nil then return script.names "policies" end
  local names = {}
  for name in given:gmatch "[^,]+" do
    local is_there, message = policy.load(name)
    if not is_there then context.misuse("--policy: " .. message) end
    names[#names + 1] = name
  end
  if not names[1] then context.misuse "--policy: names no policy" end
  return names
end

local function wanted_rule(context)
  local name = context.options.preload
  if name == nil then return nil end
  local is_there, message = preload.new(name, {})
  if not is_there then context.misuse("--preload: " .. message) end
  return name
end

-- What the cache is to hold: { entries } or { bytes }.
local function wanted_capacity(context, key_count)
  local entries = capacity_option(context, "entries")
  local bytes = capacity_option(context, "bytes")
  if entries and bytes then context.misuse "--entries and --bytes: give one of them" end
  if bytes then return { bytes = bytes } end
  return { entries = entries or math.max(1, math.floor(DEFAULT_SHARE * key_count)) }
end

local function scaled(capacity, share)
  local function times(number)
    return number and math.max(1, math.floor(number * share))
  end
  return { entries = times(capacity.entries), bytes = times(capacity.bytes) }
end

local function settings_of(name, rule, capacity)
  return {
    policy = name, preload = rule, entries = capacity.entries, bytes = capacity.bytes,
  }
end

-- ---- the plot ------------------------------------------------------------------------

local function write_file(path, text)
  local file, message = io.open(path, "wb")
  if not file then return nil, message end
  local is_written
  is_written, message = file:write(text)
  local is_closed, close_message = file:close()
  if not is_written then return nil, path .. ": " .. message end
  if not is_closed then return nil, path .. ": " .. close_message end
  return true
end

-- Each policy at each capacity, and the optimum.
local function plot_lines(calls, events, names, rule, capacities)
  local lines = { { name = "optimum", is_optimum = true } }
  for i, name in ipairs(names) do lines[i + 1] = { name = name } end
  for _, capacity in ipairs(capacities) do
    local at = capacity.entries or capacity.bytes
    table.insert(lines[1], { at, replay.optimum(events, capacity) })
    for i, name in ipairs(names) do
      local result, message = replay.run(calls, settings_of(name, rule, capacity))
      if not result then return nil, message end
      table.insert(lines[i + 1], { at, result.hit_ratio })
    end
  end
  return lines
end

local function plot(context, calls, events, names, rule, capacity)
  local capacities, numbers = {}, {}
  for _, share in ipairs(PLOT_SHARES) do
    local each = scaled(capacity, share)
    local number = each.entries or each.bytes
    if number ~= numbers[#numbers] then
      capacities[#capacities + 1], numbers[#numbers + 1] = each, number
    end
  end
  local lines, message = plot_lines(calls, events, names, rule, capacities)
  if not lines then return nil, message end
  local title = context.arguments[1]:match "[^/]*$"
  if rule then title = title .. ", preload " .. rule end
  return write_file(context.options.plot, hit_ratio_plot.svg(title,
    capacity.entries and "entries" or "bytes", numbers, lines))
end

-- ---- the results ---------------------------------------------------------------------

local function print_results(context, results, capacity, asked)
  local of = capacity.entries and ("%.0f entries"):format(capacity.entries)
    or ("%.0f bytes"):format(capacity.bytes)
  context.report:line("reads    %d ids, a cache of %s; the optimum without preload %s "
    .. "%.4f", asked, of, capacity.entries and "is" or "is at most",
    results[1].belady)
  for _, each in ipairs(results) do
    local name = each.preload and each.policy .. " + " .. each.preload or each.policy
    local share = each.belady > 0 and each.hit_ratio / each.belady or 0
    context.report:line("%-20s hit ratio %.4f, %.3f of it; %d round trips, %d evictions",
      name, each.hit_ratio, share, each.round_trips, each.evictions)
  end
  for _, each in ipairs(results) do each.preload = each.preload or core.null end
  context.report:document { results = results }
end

local function count_asked(events)
  local asked = 0
  for _, event in ipairs(events) do
    if event.kind == "get" then asked = asked + 1 end
  end
  return asked
end

local function run(context)
  local is_right, wrong = option_rows.check { prefix = context.options.prefix }
  if not is_right then context.misuse(option_rows.message(wrong)) end
  local names, rule = wanted_policies(context), wanted_rule(context)
  wanted_capacity(context, 0)
  local calls, message = replay.read(context.arguments[1])
  if not calls then return nil, message end
  local events, key_count = replay.events(calls)
  local capacity = wanted_capacity(context, key_count)
  local optimum, results = replay.optimum(events, capacity), core.array {}
  for i, name in ipairs(names) do
    results[i], message = replay.run(calls, settings_of(name, rule, capacity))
    if not results[i] then return nil, message end
    results[i].belady = optimum
    context.report:progress("replay", i, #names)
  end
  if context.options.plot then
    local is_written
    is_written, message = plot(context, calls, events, names, rule, capacity)
    if not is_written then return nil, message end
  end
  print_results(context, results, capacity, count_asked(events))
  return true
end

return {
  summary = "what the near cache would have served of the calls in a trace",
  usage = "replay TRACE [--policy P,...] [--preload R] [--entries N | --bytes N] "
    .. "[--plot FILE]",
  positional = { min = 1, max = 1, names = "TRACE" },
  has_no_store = true,
  options = {
    { name = "policy", value = "NAMES",
      sentence = "policies, with commas between them: names, or paths (default: all)" },
    { name = "preload", value = "RULE", sentence = "a preload rule: a name, or a path" },
    { name = "entries", value = "N",
      sentence = "what the cache holds (default: a tenth of the keys in the trace)" },
    { name = "bytes", value = "N",
      sentence = "the same in bytes; records have the size usual for their type" },
    { name = "plot", value = "FILE",
      sentence = "writes an SVG with hit ratios over the capacity" },
  },
  run = run,
}
