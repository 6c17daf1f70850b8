-- SPDX-License-Identifier: MIT
local authstate = require "authstate"
local goals = require "bench.harness.goals"
local statistics = require "bench.harness.statistics"

local LUAJIT = os.getenv "LUAJIT" or "luajit"
local TRACE, SESSION = "spec/fixtures/large.trace.jsonl.gz", "spec/fixtures/large.json.gz"
local SMALL = "spec/fixtures/small.json.gz"

-- What bench/peers/cache_reads.lua is asked for, and the reads whose times it prints.
local RUNS = {
  { "immutable 2000000", { "hit", "composite", "ready" } },
  { "decoded 100000 " .. TRACE .. " " .. SESSION, { "mix", "redis" } },
}
local SENTENCES = {
  hit = "a hit, immutable", composite = "lrucache, key made of three",
  ready = "lrucache, key ready", mix = "a hit, decoded, as in the trace",
  redis = "the same from Redis",
}

local MOST_OF_STORED, MOST_EACH = 1.15, 96

-- The numbers that a run prints; or nil and a sentence.
local function run(arguments)
  local command = ("%s bench/peers/cache_reads.lua %s"):format(LUAJIT, arguments)
  local pipe = assert(io.popen(command))
  local line, numbers = pipe:read "*l" or "", {}
  pipe:close()
  for number in line:gmatch "%S+" do numbers[#numbers + 1] = tonumber(number) end
  if not numbers[1] then return nil, command .. ": failed" end
  return numbers
end

-- Times by read, a list of rounds each. Those of one run are of one process.
local function measure_rounds(knobs, on_round)
  local times = {}
  for name in pairs(SENTENCES) do times[name] = {} end
  for round = 1 - knobs.WARMUP, knobs.ROUNDS do
    for _, each in ipairs(RUNS) do
      local numbers, message = run(each[1])
      if not numbers then return nil, message end
      for i, name in ipairs(each[2]) do
        if round >= 1 then table.insert(times[name], numbers[i]) end
      end
    end
    if round >= 1 then on_round(round) end
  end
  return times
end

-- The ratio of two reads in each round.
local function ratios(times, above, below)
  local list = {}
  for round, spent in ipairs(times[above]) do
    list[round] = spent / times[below][round]
  end
  return statistics.quartiles(list)
end

-- The rows of the table, and the figures behind it.
local function describe(times)
  local rows, figures = {}, authstate.array {}
  for _, each in ipairs(RUNS) do
    for _, name in ipairs(each[2]) do
      local spent = statistics.quartiles(times[name])
      rows[#rows + 1] = { SENTENCES[name], ("%.0f"):format(spent.median),
        ("%.0f .. %.0f"):format(spent.q1, spent.q3) }
      figures[#figures + 1] = { method = name, ns = spent,
        rounds = authstate.array(times[name]) }
    end
  end
  return rows, figures
end

return {
  name = "cache_read",
  sentence = "reads that the near cache answers, beside lua-resty-lrucache and Redis",
  measure = function(context)
    local times, message = measure_rounds(context.knobs, context.on_round)
    if not times then return nil, message end
    local held
    held, message = run("bytes " .. SMALL)
    if not held then return nil, message end
    local bytes, stored, entries = held[1], held[2], held[3]
    local rows, figures = describe(times)
    local bound = MOST_OF_STORED * stored + MOST_EACH * entries
    return {
      versions = {}, figures = figures,
      sentences = {
        ("100 sessions held: %d bytes for %d entries, which are %d bytes stored: %.0f an "
          .. "entry besides."):format(bytes, entries, stored, (bytes - stored) / entries),
      },
      tables = {
        { title = "one read", rows = rows, columns = { "", "ns", "quartiles" } },
      },
      goals = {
        goals.at_most("hit", "of lrucache with its key made",
          ratios(times, "hit", "composite").median, 1),
        goals.at_most("hit", "of lrucache with its key ready",
          ratios(times, "hit", "ready").median, 2.3),
        goals.at_most("mix", "of the same reads from Redis",
          ratios(times, "mix", "redis").median, 0.2),
        goals.at_most("bytes", "of 1.15 stored and 96 an entry", bytes / bound, 1),
      },
    }
  end,
}
