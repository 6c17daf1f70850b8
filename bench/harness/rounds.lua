-- SPDX-License-Identifier: MIT
--- Runs a case: all its peers in one go, round by round in rotating order (order.lua),
-- and what each of them did in each round is checked before its time counts.

local check = require "bench.harness.check"
local order = require "bench.harness.order"
local peer = require "bench.harness.peer"
local processor = require "bench.harness.processor"
local redis_server = require "spec.support.redis_server"
local statistics = require "bench.harness.statistics"
local storages = require "bench.harness.storages"
local temporary = require "spec.support.temporary"
local work = require "bench.harness.work"

local SOURCE = "5511900000002"

local rounds = {}

-- The peers of a case and once more the first one, which is ours: the pair whose spread
-- says what the machine makes of two equal programs.
local function list_entries(case)
  local entries = {}
  for i, entry in ipairs(case.peers) do entries[i] = entry end
  local twin = setmetatable({ name = case.peers[1].name .. ", again", is_twin = true },
    { __index = case.peers[1] })
  table.insert(entries, 2, twin)
  return entries
end

local function start_peers(run)
  local work_path = temporary.directory() .. "/work"
  work.write(work_path, run.operations)
  for i, entry in ipairs(run.entries) do
    local started, message = peer.start(entry, {
      directory = temporary.directory(), server = run.server, work = work_path,
      source = SOURCE, target = ("%s.target-%d"):format(SOURCE, i),
      sessions = run.case.sessions,
      processors = run.processors,
    })
    if not started then return nil, message end
    run.peers[i] = started
    run.measured[i] = { entry = entry, versions = started.versions, rounds = {} }
  end
  return true
end

local function slice(list, first, count)
  local part = {}
  for i = 1, count do part[i] = list[first + i] end
  return part
end

-- One peer's turn: runs `count` operations and checks them.
local function take_turn(run, one, first, count, keep)
  local operations = slice(run.operations, first, count)
  local is_write = operations[1].verb == "set"
  local answer, message = one:run(first, count, is_write and "none" or keep)
  if not answer then return nil, message end
  if is_write then
    answer.digests, message = check.written(one, run.fixture, operations, run.server)
  else
    answer.digests, message = check.read(one, run.fixture, operations, keep)
  end
  if not answer.digests then return nil, message end
  local is_right
  is_right, message = check.counts(one, operations, answer)
  if not is_right then return nil, message end
  return answer
end

-- Every operation once, before the clock counts, with all that it gave: later rounds keep
-- one operation each.
local function check_all(run)
  local count = run.case.operations
  for _, one in ipairs(run.peers) do
    for first = 0, #run.operations - 1, count do
      local answer, message = take_turn(run, one, first, count, "all")
      if not answer then return nil, message end
    end
  end
  return true
end

-- A round: every peer once. Rounds below 1 warm up.
local function play(run, round)
  local count, peers = run.case.operations, run.peers
  local first = (round * count) % #run.operations
  for _, i in ipairs(order.of_round(#peers, round)) do
    local answer, message = take_turn(run, peers[i], first, count, round % count)
    if not answer then
      return nil, ("round %d: %s"):format(round, message)
    end
    if round >= 1 then run.measured[i].rounds[round] = answer end
  end
  return true
end

local function play_all(run, knobs, on_round)
  local is_done, message = start_peers(run)
  if not is_done then return nil, message end
  is_done, message = check_all(run)
  if not is_done then return nil, message end
  for round = 1 - knobs.WARMUP, knobs.ROUNDS do
    is_done, message = play(run, round)
    if not is_done then return nil, message end
    on_round(round)
  end
  return true
end

local function column(rows, name)
  local values = {}
  for i, row in ipairs(rows) do values[i] = row[name] end
  return values
end

-- Times of one operation and ratios to the base, for wall time and client CPU.
local function summarize(measured, base, operations)
  local summary = {}
  for _, name in ipairs { "wall_s", "cpu_s" } do
    local times = column(measured.rounds, name)
    local of_one = {}
    for i, time in ipairs(times) do of_one[i] = time / operations * 1e6 end
    summary[name:gsub("_s$", "")] = {
      operation_us = statistics.quartiles(of_one),
      ratios = statistics.ratios(times, column(base.rounds, name)),
    }
  end
  for _, part in pairs(summary) do part.ratio = statistics.quartiles(part.ratios) end
  return summary
end

-- Adds summaries and verdicts to what was measured.
local function judge(case, measured)
  local spread = {}
  for _, each in ipairs(measured) do
    for name, part in pairs(summarize(each, measured[1], case.operations)) do
      each[name] = part
      if each.entry.is_twin then spread[name] = statistics.spread(part.ratio) end
    end
  end
  for i, each in ipairs(measured) do
    for name, factor in pairs(spread) do
      if i > 1 and not each.entry.is_twin then
        each[name].verdict = statistics.verdict(each[name].ratio.median, factor)
      end
    end
  end
  return spread
end

-- Stores the fixture in every way that a peer needs, and as often as the case says.
local function put_fixture(run)
  local is_put = {}
  for _, entry in ipairs(run.case.peers) do
    local storage = storages[entry.storage]
    if not is_put[storage] then
      storage.put(run.server, SOURCE, run.fixture)
      for i = 1, run.case.sessions or 0 do
        storage.copy(run.server, SOURCE, ("%s.%d"):format(SOURCE, i))
      end
    end
    is_put[storage] = true
  end
end

--- Runs a case to its end.
-- @param case see case.lua
-- @param fixture { creds = text, keys = { [type] = { [id] = text } } }
-- @param knobs the numbers and words of this run, see knobs.lua
-- @param random the generator of its choices
-- @param on_round function(round), after each
-- @return { case, processors, redis_version, spread = { wall, cpu },
--   peers = list of { entry, versions, rounds, wall = { operation_us, ratio, ratios,
--   verdict }, cpu = the same } }; or nil and a sentence when a peer failed or did not do
--   the same work
function rounds.run(case, fixture, knobs, random, on_round)
  local run = {
    case = case, fixture = fixture, peers = {}, measured = {},
    entries = list_entries(case),
    operations = case.work(fixture, random, knobs, case.operations),
    server = redis_server.start { config = case.server },
  }
  local how = knobs.PROCESSORS or case.processors or "free"
  local of_server, of_peers = processor.split(how)
  run.processors = of_peers
  processor.bring(of_server, run.server.process:pid())
  put_fixture(run)
  local is_done, message = play_all(run, knobs, on_round or function() end)
  for _, one in ipairs(run.peers) do one:stop() end
  local redis_version = run.server:command("INFO", "server"):match "redis_version:(%S+)"
  run.server:stop()
  if not is_done then return nil, ("%s: %s"):format(case.name, message) end
  return {
    case = case, peers = run.measured, processors = how, redis_version = redis_version,
    spread = judge(case, run.measured),
  }
end

return rounds
