-- SPDX-License-Identifier: MIT
--- What the cases of a codec's speed have in common: ours, ours once more, ours with
-- encryption, lua-cjson and Node, as a table of times and ratios for each session.

local authstate = require "authstate"
local codec_rounds = require "bench.harness.codec_rounds"
local figures = require "bench.harness.figures"
local goals = require "bench.harness.goals"
local redis_server = require "spec.support.redis_server"
local statistics = require "bench.harness.statistics"
local stored = require "bench.harness.stored"

local TOTAL = codec_rounds.TOTAL

-- How many of the peers are ours, which take part whatever PEERS says.
local OURS = 3

local codec_speed = {}

-- What a store of the default profile keeps of a session, by the number of the type.
local function stored_lists(session)
  local server = redis_server.start {}
  assert(stored.write(server, session.texts, {}, "text"))
  local lists = {}
  for number, part in ipairs(session.types) do
    lists[number] = stored.read(server, part)
  end
  server:stop()
  return lists
end

-- Ours, ours once more, and lua-cjson, the collector's work not counted: decoding makes
-- the same tables for all, and their end takes the same.
local function list_apart(method, lists)
  return {
    { name = "authstate", program = "authstate_codec", form = "json", stored = lists },
    { name = "again", program = "authstate_codec", form = "json", stored = lists },
    { name = "cjson", program = "cjson", form = "cjson" },
    method = method, collector = "apart", title = ", the collector's work not counted",
  }
end

local function list_all(method, lists)
  local form_of_ours = method == "encode" and "stored" or "json"
  return {
    { name = "authstate", program = "authstate_codec", form = form_of_ours,
      stored = lists },
    { name = "again", program = "authstate_codec", form = form_of_ours, stored = lists },
    { name = "encrypted", program = "encrypted_codec", form = form_of_ours,
      stored = lists },
    { name = "cjson", program = "cjson", form = "cjson" },
    { name = "node", program = "node_codec", form = "json" },
    method = method, title = "",
  }
end

-- Those that take part.
local function choose(entries, knobs)
  local chosen = { title = entries.title }
  for i, entry in ipairs(entries) do
    entry.method, entry.collector = entries.method, entries.collector
    if i <= OURS or not knobs.PEERS or knobs.PEERS[entry.program] then
      chosen[#chosen + 1] = entry
    end
  end
  return chosen
end

local function names_of(session)
  local names = {}
  for i, part in ipairs(session.types) do names[i] = part.name end
  names[#names + 1] = TOTAL
  return names
end

local function table_of(session, measured, title)
  local columns, rows = { "", "ours/record" }, {}
  for i = 2, #measured do columns[#columns + 1] = measured[i].entry.name .. " of ours" end
  for _, name in ipairs(names_of(session)) do
    local cells = { name, figures.time(measured[1].record_us[name].median) }
    for i = 2, #measured do
      cells[#cells + 1] = figures.quartiles(measured[i].ratio[name])
    end
    rows[#rows + 1] = cells
  end
  return { title = session.name .. title .. ": median time, ratios with quartiles",
    columns = columns, rows = rows }
end

-- Goals of a peer: its total, and each type.
local function add_goals(list, session, measured, limits, title)
  local name, total = measured.entry.name, measured.ratio[TOTAL].median
  local what = name .. " takes of ours, in total" .. title
  list[#list + 1] = limits.most and goals.at_most(session.name, what, total, limits.most)
    or goals.at_least(session.name, what, total, limits.total)
  if not limits.type then return end
  local of_types = {}
  for _, part in ipairs(session.types) do
    of_types[part.name] = measured.ratio[part.name].median
  end
  list[#list + 1] = goals.each_at_least(session.name,
    name .. " takes of ours, each type" .. title, of_types, limits.type)
end

local function peers_of(measured)
  local list = authstate.array {}
  for i, each in ipairs(measured) do
    list[i] = {
      name = each.entry.name, method = each.entry.method, is_twin = i == 2,
      record_us = each.record_us, ratio = each.ratio,
      rounds = authstate.array(each.rounds),
    }
  end
  return list
end

local function measure_entries(result, session, entries, limits, context)
  local measured, message = codec_rounds.run(entries, session, context.knobs,
    context.on_round)
  if not measured then return nil, message end
  table.insert(result.tables, table_of(session, measured, entries.title))
  for _, each in ipairs(measured) do
    for name, version in pairs(each.versions) do result.versions[name] = version end
    local of_peer = limits[each.entry.name]
    if of_peer then add_goals(result.goals, session, each, of_peer, entries.title) end
  end
  local spread = statistics.spread(measured[2].ratio[TOTAL])
  table.insert(result.sentences, ("%s: in total%s a ratio between %.2f and %.2f tells no "
    .. "difference."):format(session.name, entries.title, 1 / spread, spread))
  return peers_of(measured)
end

local function measure_session(result, session, method, limits, context)
  local lists = stored_lists(session)
  local peers, message = measure_entries(result, session,
    choose(list_all(method, lists), context.knobs), limits, context)
  if not peers then return nil, message end
  local apart
  if method == "decode" then
    apart, message = measure_entries(result, session,
      choose(list_apart(method, lists), context.knobs), limits, context)
    if not apart then return nil, message end
  end
  table.insert(result.figures, {
    session = session.name, json_bytes = session.json_bytes, peers = peers,
    collector_apart = apart,
  })
  return true
end

--- A function `measure` of a case, see case.lua.
-- @param method "decode" or "encode"
-- @param limits { [peer] = { total, type, most } }: how many times our time it is meant
--   to take at least, for the whole session and for each type; or at most
function codec_speed.measure(method, limits)
  return function(context)
    local result = { tables = {}, goals = {}, sentences = {}, versions = {},
      figures = authstate.array {} }
    for _, session in ipairs(context.sessions) do
      local is_done, message = measure_session(result, session, method, limits, context)
      if not is_done then return nil, message end
    end
    return result
  end
end

return codec_speed
