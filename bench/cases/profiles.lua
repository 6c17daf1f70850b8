-- SPDX-License-Identifier: MIT
local authstate = require "authstate"
local contest = require "authstate.profile_contest"
local goals = require "bench.harness.goals"
local redis_server = require "spec.support.redis_server"
local replay = require "authstate.replay"
local session_file = require "authstate.session_file"
local statistics = require "bench.harness.statistics"
local tables = require "bench.harness.tables"

local NAMES = { "high-throughput", "low-latency", "high-compression", "default" }
local SHIPPED = 3

-- What each is there for, and whether more of it is better. Each must be the best of the
-- three in its own figure. In the calls of sessions that wait for their answers, and in
-- one that is alone, there is no best one: what counts there, the cache and full batches,
-- none of them goes without.
local CONTESTS = {
  { which = 1, figure = "calls_per_s", more_is_better = true, least = 0.95 },
  { which = 1, figure = "storm_per_s", more_is_better = true },
  { which = 2, figure = "alone_p50_ms", least = 0.95 },
  { which = 2, figure = "storm_p99_ms" },
  { which = 3, figure = "stored_bytes" },
}

local FIXTURE = "spec/fixtures/%s.json.gz"
local TRACE = "spec/fixtures/%s.trace.jsonl.gz"

local function read_work(fixture)
  local split, message = session_file.read(FIXTURE:format(fixture))
  if not split then return nil, message end
  local calls
  calls, message = replay.read(TRACE:format(fixture))
  if not calls then return nil, message end
  return contest.prepare(calls, split)
end

local function play(contestants, work, knobs, on_round)
  local rounds = {}
  for number = 1 - knobs.WARMUP, knobs.ROUNDS do
    local round, message = contest.measure(contestants, work)
    if not round then return nil, message end
    if number > 0 then rounds[number] = round end
    on_round(number)
  end
  return rounds
end

local function values_of(rounds, i, name)
  local values = {}
  for number, round in ipairs(rounds) do values[number] = round[i][name] end
  return values
end

local function table_of(fixture, rounds)
  local one = { title = fixture .. ": medians", columns = { "" }, rows = {} }
  for i, name in ipairs(NAMES) do one.columns[i + 1] = name end
  for row, figure in ipairs(contest.FIGURES) do
    local cells = { figure.sentence .. (figure.unit ~= "" and ", " .. figure.unit or "") }
    for i = 1, #NAMES do
      local median = statistics.quartiles(values_of(rounds, i, figure.name)).median
      cells[i + 1] = tables.cell(median, figure.unit == "ms" and "%.3f" or "%.0f")
    end
    one.rows[row] = cells
  end
  return one
end

-- How many times as good as each other one of the three a profile is, within the rounds.
local function goal_of(fixture, rounds, own)
  local ratios, which = {}, own.which
  for i = 1, SHIPPED do
    if i ~= which then
      local list, mine = {}, values_of(rounds, which, own.figure)
      for number, other in ipairs(values_of(rounds, i, own.figure)) do
        list[number] = own.more_is_better and mine[number] / other or other / mine[number]
      end
      ratios[NAMES[i]] = statistics.quartiles(list).median
    end
  end
  return goals.each_at_least(fixture, ("%s: %s as good as the others'"):format(
    NAMES[which], own.figure), ratios, own.least or 1)
end

local function contend(fixture, knobs, on_round)
  local work, message = read_work(fixture)
  if not work then return nil, message end
  local server = redis_server.start { config = { ["hash-max-listpack-entries"] = "128" } }
  local contestants = {}
  for i, name in ipairs(NAMES) do
    local store = assert(authstate.open { redis = server.url, profile = name })
    contestants[i] = { name = name, store = store, prefix = name }
    assert(contest.load(contestants[i], work, function() end))
  end
  local rounds
  rounds, message = play(contestants, work, knobs, on_round)
  for _, each in ipairs(contestants) do each.store:close() end
  server:stop()
  return rounds, message
end

local function measure(context)
  local knobs = context.knobs
  local result = { tables = {}, goals = {}, sentences = {}, versions = {},
    figures = authstate.array {} }
  for _, fixture in ipairs(knobs.FIXTURE and { knobs.FIXTURE } or { "small", "large" }) do
    local rounds, message = contend(fixture, knobs, context.on_round)
    if not rounds then return nil, message end
    table.insert(result.tables, table_of(fixture, rounds))
    for _, own in ipairs(CONTESTS) do
      table.insert(result.goals, goal_of(fixture, rounds, own))
    end
    table.insert(result.figures,
      { fixture = fixture, rounds = authstate.array(rounds) })
  end
  return result
end

return {
  name = "profiles",
  sentence = "the profiles that come with it, with the calls of real sessions",
  measure = measure,
}
