-- SPDX-License-Identifier: MIT
local authstate = require "authstate"
local goals = require "bench.harness.goals"
local statistics = require "bench.harness.statistics"

local LUAJIT = os.getenv "LUAJIT" or "luajit"
local TRACE, SESSION = "spec/fixtures/large.trace.jsonl.gz", "spec/fixtures/large.json.gz"
local SMALL = "spec/fixtures/small.json.gz"

-- By name: what bench/peers/cache_reads.lua is asked for, and how many reads.
local METHODS = {
  { "hit", 2000000, "a hit, immutable" },
  { "composite", 2000000, "lrucache, key made of three" },
  { "ready", 2000000, "lrucache, key ready" },
  { "mix", 100000, "a hit, decoded, as in the trace" },
  { "redis", 10000, "the same from Redis" },
}

local MOST_OF_STORED, MOST_EACH = 1.15, 96

local function run(method, session, reads)
  local command = ("%s bench/peers/cache_reads.lua %s %s %s %d"):format(LUAJIT, method,
    TRACE, session, reads)
  local pipe = assert(io.popen(command))
  local line = pipe:read "*l"
  pipe:close()
  return line, command .. ": failed"
end

-- Times by method, a list of rounds each; in each round another one is first.
local function measure_rounds(knobs, on_round)
  local times = {}
  for _, method in ipairs(METHODS) do times[method[1]] = {} end
  for round = 1 - knobs.WARMUP, knobs.ROUNDS do
    for i = 1, #METHODS do
      local method = METHODS[(i + round) % #METHODS + 1]
      local line, message = run(method[1], SESSION, method[2])
      if not tonumber(line) then return nil, message end
      if round >= 1 then table.insert(times[method[1]], tonumber(line)) end
    end
    if round >= 1 then on_round(round) end
  end
  return times
end

-- The ratio of two methods in each round.
local function ratios(times, above, below)
  local list = {}
  for round, spent in ipairs(times[above]) do
    list[round] = spent / times[below][round]
  end
  return statistics.quartiles(list)
end

return {
  name = "cache_read",
  sentence = "reads that the near cache answers, beside lua-resty-lrucache and Redis",
  measure = function(context)
    local times, message = measure_rounds(context.knobs, context.on_round)
    if not times then return nil, message end
    local line
    line, message = run("bytes", SMALL, 1)
    local bytes, stored, entries = (line or ""):match "^(%d+) (%d+) (%d+)$"
    if not bytes then return nil, message end
    local rows, figures = {}, authstate.array {}
    for i, method in ipairs(METHODS) do
      local spent = statistics.quartiles(times[method[1]])
      rows[i] = { method[3], ("%.0f"):format(spent.median),
        ("%.0f .. %.0f"):format(spent.q1, spent.q3) }
      figures[i] = { method = method[1], ns = spent,
        rounds = authstate.array(times[method[1]]) }
    end
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
