-- SPDX-License-Identifier: MIT
--- authstate profile: what a profile sets and why, and what two of them make of the calls
-- of a trace.

local core = require "authstate.core"
local demo_files = require "authstate.demo.files"
local failure = require "authstate.failure"
local layers = require "authstate.option_layers"
local option_rows = require "authstate.options"
local profile = require "authstate.profile"
local profile_contest = require "authstate.profile_contest"
local replay = require "authstate.replay"
local session_file = require "authstate.session_file"
local store = require "authstate.store"

local ROUNDS, MAX_ROUNDS = 7, 1000

-- What is known of a profile; a wrong one is a wrong call.
local function load_profile(context, name)
  local checked, applied = profile.apply { profile = name }
  if not checked then context.misuse(option_rows.message(applied)) end
  return applied
end

-- ---- explain ------------------------------------------------------------------------

-- Defaults by full name.
local function default_of(full_name)
  local prefix, name = full_name:match "^(redis%.socket%.)(.+)$"
  for _, row in ipairs(prefix and option_rows.socket_rows or option_rows.rows) do
    if row.name == (name or full_name) then return row.default end
  end
end

local function explained(applied)
  local leaves, list = layers.leaves(applied.options), {}
  for name, value in pairs(leaves) do
    list[#list + 1] = {
      name = name, value = value, default = default_of(name),
      origin = applied:origin(name), why = applied:why(name),
    }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- A value for a program: what JSON has no word for comes as it is shown.
local function plain(name, value)
  local kind = type(value)
  if kind == "string" or kind == "table" or kind == "function" then
    return option_rows.show(name, value)
  end
  return value
end

local function explain(context, name)
  if context.arguments[3] then
    context.misuse(('unexpected argument "%s"'):format(context.arguments[3]))
  end
  local applied = load_profile(context, name)
  local document = core.array {}
  for i, each in ipairs(explained(applied)) do
    local value = option_rows.show(each.name, each.value)
    local default = each.default ~= nil
      and (" (default %s)"):format(failure.show(each.default)) or ""
    context.report:line("%s = %s%s", each.name, value, default)
    context.report:line("    %s", each.why or "no reason is given")
    if each.origin ~= applied.chain[1].path then
      context.report:line("    from %s", each.origin)
    end
    document[i] = {
      name = each.name, value = plain(each.name, each.value),
      default = plain(each.name, each.default), origin = each.origin, why = each.why,
    }
  end
  if #document == 0 then context.report:line("%s sets no option", name) end
  local chain = core.array {}
  for i, layer in ipairs(applied.chain) do chain[i] = layer.path end
  context.report:document { profile = name, chain = chain, options = document }
  return true
end

-- ---- compare ------------------------------------------------------------------------

local function whole_number(context, name, default, max)
  local given = context.options[name]
  if given == nil then return default end
  local number = tonumber(given:match "^%d+$")
  if not number or number < 1 or number > max then
    context.misuse(('--%s: "%s"; accepted: a whole number from 1 to %d'):format(name,
      given, max))
  end
  return number
end

local function read_work(context)
  local split, message = session_file.read(demo_files.path "small.json.gz")
  if not split then return nil, message end
  local calls
  calls, message = replay.read(context.options.trace
    or demo_files.path "small.trace.jsonl.gz")
  if not calls then return nil, message end
  return profile_contest.prepare(calls, split)
end

-- The two stores, with sessions of names that nobody else has; or nil and a sentence.
local function open_contestants(context, place, names)
  local contestants, run = {}, core.sha256_hex(core.random(16)):sub(1, 16)
  for i, name in ipairs(names) do
    local given = { profile = name, redis = place.redis, data_dir = place.data_dir }
    given.prefix = context.options.prefix
    local is_right, opened, message = pcall(store.open, given)
    if not is_right then context.misuse(opened) end
    if not opened then return nil, message, contestants end
    contestants[i] = {
      name = name, store = opened, prefix = ("profile-compare.%s.%d"):format(run, i),
    }
  end
  return contestants
end

local function measure_rounds(context, contestants, work, count)
  local rounds = {}
  for number = count > 1 and 0 or 1, count do -- the round 0 is for warming up
    local message
    rounds[number], message = profile_contest.measure(contestants, work)
    if not rounds[number] then return nil, message end
    context.report:progress("rounds", number, count)
  end
  rounds[0] = nil
  return rounds
end

local function contend(context, contestants, work, count)
  for _, each in ipairs(contestants) do
    local is_loaded, message = profile_contest.load(each, work, function(done, total)
      context.report:progress("load", done, total)
    end)
    if not is_loaded then return nil, ("%s: %s"):format(each.name, message) end
  end
  return measure_rounds(context, contestants, work, count)
end

local function cleared(contestants)
  for _, each in ipairs(contestants) do
    local is_cleared, message = profile_contest.clear(each)
    if not is_cleared then return nil, ("%s: %s"):format(each.name, message) end
  end
  return true
end

local function close_all(contestants)
  local is_closed, message = true, nil
  for _, each in ipairs(contestants) do
    local this_closed, reason = each.store:close()
    if not this_closed then is_closed, message = nil, reason end
  end
  return is_closed, message
end

local function shown(value, unit)
  if unit == "ms" then return ("%.3f ms"):format(value) end
  return ("%.0f%s"):format(value, unit ~= "" and " " .. unit or "")
end

local function print_judged(context, names, judged)
  context.report:line("%-44s %18s %18s  %s", "", names[1], names[2], "better")
  local document = core.array {}
  for i, each in ipairs(judged) do
    context.report:line("%-44s %18s %18s  %s", each.sentence,
      shown(each.values[1], each.unit), shown(each.values[2], each.unit),
      each.winner and names[each.winner] or "-")
    document[i] = {
      name = each.name, unit = each.unit, values = core.array(each.values),
      ratio = each.ratio, winner = each.winner and names[each.winner] or core.null,
    }
  end
  return document
end

-- Measures in stores of this place, and leaves nothing there.
local function compare_in(context, place, names, work, count)
  local contestants, message, opened = open_contestants(context, place, names)
  if not contestants then
    close_all(opened)
    return nil, message
  end
  local is_whole, rounds
  is_whole, rounds, message = pcall(contend, context, contestants, work, count)
  local is_cleared, clear_message = true, nil
  if place.redis then is_cleared, clear_message = cleared(contestants) end
  local is_closed, close_message = close_all(contestants)
  if not is_whole then error(rounds, 0) end
  if not rounds then return nil, message end
  if not is_cleared then return nil, clear_message end
  if not is_closed then return nil, close_message end
  return rounds
end

local function temporary_directory()
  local name = os.tmpname()
  os.remove(name)
  return name .. ".authstate"
end

local function compare(context, first, second)
  if not second then context.misuse "two profiles are required: profile compare A B" end
  local names = { first, second }
  for _, name in ipairs(names) do load_profile(context, name) end
  local count = whole_number(context, "rounds", ROUNDS, MAX_ROUNDS)
  local work, message = read_work(context)
  if not work then return nil, message end
  local place = { redis = context.options.redis }
  if not place.redis then place.data_dir = temporary_directory() end
  local is_whole, rounds
  is_whole, rounds, message = pcall(compare_in, context, place, names, work, count)
  -- The path is one of ours, without quotes.
  if place.data_dir then os.execute("rm -rf -- '" .. place.data_dir .. "'") end
  if not is_whole then error(rounds, 0) end
  if not rounds then return nil, message end
  local document = print_judged(context, names, profile_contest.judge(rounds))
  context.report:document {
    profiles = core.array(names), rounds = count, records = work.records,
    reads = work.reads, writes = work.writes, figures = document,
  }
  return true
end

local VERBS = { explain = explain, compare = compare }

local function run(context)
  local is_right, wrong = option_rows.check { prefix = context.options.prefix }
  if not is_right then context.misuse(option_rows.message(wrong)) end
  local verb, first, second = unpack(context.arguments)
  local carry_out = VERBS[verb]
  if not carry_out then
    context.misuse(('"%s"; accepted: explain NAME, or compare A B'):format(verb))
  end
  if verb == "explain" then
    for _, name in ipairs { "trace", "rounds", "redis" } do
      if context.options[name] then
        context.misuse(("--%s: is for compare only"):format(name))
      end
    end
  end
  return carry_out(context, first, second)
end

return {
  summary = "what a profile sets and why; two of them beside each other",
  usage = "profile explain NAME\n       authstate profile compare A B [--trace TRACE] "
    .. "[--redis URL] [--rounds N]",
  has_no_store = true,
  positional = { min = 2, max = 3, names = "explain NAME, or compare A B," },
  options = {
    { name = "trace", value = "TRACE",
      sentence = "calls to measure with, as record_trace writes them" },
    { name = "redis", value = "URL",
      sentence = "a server to measure on; without it one that is made for this" },
    { name = "rounds", value = "N", sentence = "how often each is measured (default 7)" },
  },
  run = run,
}
