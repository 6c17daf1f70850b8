-- SPDX-License-Identifier: MIT
local authstate = require "authstate"
local goals = require "bench.harness.goals"
local script = require "authstate.script"
local statistics = require "bench.harness.statistics"

local LUAJIT = os.getenv "LUAJIT" or "luajit"
local TRACE, HITS = "spec/fixtures/large.trace.jsonl.gz", 2000000
local INLINE, GOAL_NS = "inline", 15

-- What a hit takes under a policy, in a process of its own: what LuaJIT compiled for one
-- policy must not serve another.
local function measure_once(policy)
  local command = ("%s bench/peers/cache_hits.lua %s %s %d"):format(LUAJIT, policy, TRACE,
    HITS)
  local pipe = assert(io.popen(command))
  local hit_ns = tonumber(pipe:read "*l" or nil)
  pipe:close()
  return hit_ns, command .. ": failed"
end

-- Times by name, a list of rounds each; in each round another one is first.
local function measure_rounds(names, knobs, on_round)
  local times = {}
  for _, name in ipairs(names) do times[name] = {} end
  for round = 1 - knobs.WARMUP, knobs.ROUNDS do
    for i = 1, #names do
      local name = names[(i + round) % #names + 1]
      local hit_ns, message = measure_once(name == "again" and INLINE or name)
      if not hit_ns then return nil, message end
      if round >= 1 then table.insert(times[name], hit_ns) end
    end
    if round >= 1 then on_round(round) end
  end
  return times
end

-- How much more each round took than the inline one of the same round.
local function differences(times, base)
  local list = {}
  for round, hit_ns in ipairs(times) do list[round] = hit_ns - base[round] end
  return statistics.quartiles(list)
end

return {
  name = "cache_policy",
  sentence = "a hit of the near cache under each policy, beside LRU without a script",
  measure = function(context)
    local names = { INLINE, "again" }
    for _, name in ipairs(script.names "policies") do names[#names + 1] = name end
    local times, message = measure_rounds(names, context.knobs, context.on_round)
    if not times then return nil, message end
    local result = { goals = {}, versions = {}, figures = authstate.array {},
      sentences = {
        "The same keys in the same order for all: those that a library read, of one "
          .. "session, all of them cached. CPU time.",
      } }
    local rows = {}
    for i, name in ipairs(names) do
      local hit_ns, more = statistics.quartiles(times[name]).median,
        differences(times[name], times[INLINE])
      rows[i] = { name == "again" and "inline, again" or name, ("%.1f"):format(hit_ns),
        ("%+.1f [%+.1f .. %+.1f]"):format(more.median, more.q1, more.q3) }
      result.figures[i] = { policy = name, hit_ns = hit_ns, more_ns = more,
        rounds = authstate.array(times[name]) }
      if i > 2 then
        table.insert(result.goals, goals.at_most(name, "ns a hit takes more than inline",
          more.median, GOAL_NS))
      end
    end
    result.tables = { { title = "large trace: a hit", rows = rows,
      columns = { "", "ns", "ns more than inline" } } }
    return result
  end,
}
