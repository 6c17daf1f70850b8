-- SPDX-License-Identifier: MIT
local authstate = require "authstate"
local goals = require "bench.harness.goals"
local statistics = require "bench.harness.statistics"

local LUAJIT = os.getenv "LUAJIT" or "luajit"
local SLICES = 8

local SITUATIONS = {
  { "tasks", "from Redis, by 1,000 tasks" },
  { "alone", "from Redis, one after the other" },
  { "hit", "a hit of the near cache" },
}
local WAYS = { "plain", "again", "enable_metrics", "on_operation" }

-- What counting may cost at most of a read from Redis.
local MOST_FOR_METRICS = 1.03

-- Times of one process: { [situation] = { [way] = microseconds } }.
local function run_once()
  local command = ("%s bench/peers/metrics_reads.lua %d"):format(LUAJIT, SLICES)
  local pipe, times, count = assert(io.popen(command)), {}, 0
  for line in pipe:lines() do
    local situation, way, spent = line:match "^(%w+)\t([%w_]+)\t([%d.]+)$"
    if situation then
      times[situation] = times[situation] or {}
      times[situation][way], count = tonumber(spent), count + 1
    end
  end
  pipe:close()
  if count == #SITUATIONS * #WAYS then return times end
  return nil, command .. ": failed"
end

local function measure_rounds(knobs, on_round)
  local rounds = {}
  for number = 1 - knobs.WARMUP, knobs.ROUNDS do
    local times, message = run_once()
    if not times then return nil, message end
    if number >= 1 then rounds[number] = times end
    on_round(number)
  end
  return rounds
end

local function values_of(rounds, situation, way, of_plain)
  local list = {}
  for number, times in ipairs(rounds) do
    local spent = times[situation]
    list[number] = of_plain and spent[way] / spent.plain or spent[way]
  end
  return statistics.quartiles(list)
end

local function measure(context)
  local rounds, message = measure_rounds(context.knobs, context.on_round)
  if not rounds then return nil, message end
  local rows = {}
  local result = { versions = {}, goals = {}, figures = authstate.array(rounds) }
  for _, situation in ipairs(SITUATIONS) do
    local name, title = unpack(situation)
    for _, way in ipairs(WAYS) do
      local spent = values_of(rounds, name, way)
      local ratio = values_of(rounds, name, way, true)
      rows[#rows + 1] = { title, way, ("%.3f"):format(spent.median),
        ("%.3f [%.3f .. %.3f]"):format(ratio.median, ratio.q1, ratio.q3) }
    end
    if name ~= "hit" then
      table.insert(result.goals, goals.at_most(name,
        "enable_metrics, of the same without",
        values_of(rounds, name, "enable_metrics", true).median, MOST_FOR_METRICS))
    end
  end
  result.tables = { { title = "keys:get of one record, processor time", rows = rows,
    columns = { "", "", "us", "times plain" } } }
  result.sentences = {
    "Stores of one process, in slices that alternate; again is plain once more.",
  }
  return result
end

return {
  name = "engine_metrics",
  sentence = "what counting and telling of calls costs a read",
  measure = measure,
}
