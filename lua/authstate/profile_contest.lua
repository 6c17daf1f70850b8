-- SPDX-License-Identifier: MIT
--- Measures what profiles do with the calls of a trace: the same calls for each, in turns
-- that alternate, on the same server.
--
--     calls    the trace's calls, each stretch of them by a session and a task of its own
--     reads    the reads among them, by some tasks for each session
--     writes   the writes among them
--     alone    all of them by one session, one after the other
--     storm    ten thousand writes to as many sessions at once: what becomes of those
--              that are not refused
--
-- What is written is made up: for each id that the trace names a record of its type.

local core = require "authstate.core"
local scheduler = require "authstate.scheduler"

local contest = {}

-- Into how many stretches a trace is cut.
local SESSIONS = 256
local READERS = 4 * SESSIONS

-- How many slices a round has, and how many calls of one alone a slice.
local SLICES, ALONE = 12, 40

local STORM = 10000

-- Tasks that write and delete what is measured with.
local HELPERS = 100

-- The calls of a measurement end, however slow the machine is; those of a storm have the
-- deadline of the profile.
local NO_HURRY = { timeout_ms = 600000 }

--- What is measured: { name, unit, whether more is better, sentence }.
contest.FIGURES = {
  { name = "calls_per_s", unit = "/s", more_is_better = true,
    sentence = "the trace's calls by 256 tasks" },
  { name = "reads_per_s", unit = "/s", more_is_better = true,
    sentence = "its reads by 1,024 tasks" },
  { name = "writes_per_s", unit = "/s", more_is_better = true,
    sentence = "its writes by 256 tasks" },
  { name = "alone_p50_ms", unit = "ms", sentence = "one call alone, half of them" },
  { name = "alone_p99_ms", unit = "ms", sentence = "one call alone, 99 of 100" },
  { name = "storm_per_s", unit = "/s", more_is_better = true,
    sentence = "10,000 writes at once, answered" },
  { name = "storm_p50_ms", unit = "ms",
    sentence = "10,000 writes at once, half of those answered" },
  { name = "storm_p99_ms", unit = "ms",
    sentence = "10,000 writes at once, 99 of 100 answered" },
  { name = "storm_refused", unit = "", sentence = "refused of these at once" },
  { name = "stored_bytes", unit = "B", sentence = "the session as stored" },
  { name = "wire_bytes", unit = "B", sentence = "over the wire for one such read" },
  { name = "memory_bytes", unit = "B", sentence = "of the client after all that" },
}

-- ---- the records --------------------------------------------------------------------

local function sorted(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Texts by type, in an order that depends on nothing.
local function pools_of(split)
  local pools = {}
  for kind, records in pairs(split.keys) do
    pools[kind] = {}
    for _, id in ipairs(sorted(records)) do table.insert(pools[kind], records[id]) end
  end
  return pools
end

-- Adds a text for an id, unless it has one.
local function add_record(keys, split, pools, kind, id)
  keys[kind] = keys[kind] or {}
  if keys[kind][id] then return end
  local pool = pools[kind] or { '{"unknown":1}' }
  pools[kind], pool.turn = pool, (pool.turn or 0) % #pool + 1
  local own = split.keys[kind] and split.keys[kind][id]
  keys[kind][id] = own or pool[pool.turn]
end

-- What a set of the trace writes; what it deletes stays, to be read again.
local function changes_of(keys, call)
  local changes = {}
  for _, change in ipairs(call.changes) do
    if change.kind == "set" then
      changes[change.type] = changes[change.type] or {}
      changes[change.type][change.id] = keys[change.type][change.id]
    end
  end
  return next(changes) and changes or nil
end

-- Gives each id that a call names a text.
local function add_records(keys, split, pools, call)
  for _, id in ipairs(call.ids or {}) do add_record(keys, split, pools, call.type, id) end
  for _, change in ipairs(call.changes or {}) do
    add_record(keys, split, pools, change.type, change.id)
  end
end

-- The calls that can be made of those of a trace: { type, ids }, or { changes }.
local function list_calls(keys, calls)
  local list = {}
  for _, call in ipairs(calls) do
    if call.kind == "set" then
      local changes = changes_of(keys, call)
      list[#list + 1] = changes and { changes = changes }
    elseif call.ids[1] then
      list[#list + 1] = { type = call.type, ids = call.ids }
    end
  end
  return list
end

-- The records that calls read.
local function records_of(keys, calls)
  local records = {}
  for _, call in ipairs(calls) do
    for _, id in ipairs(call.ids or {}) do
      records[call.type] = records[call.type] or {}
      records[call.type][id] = keys[call.type][id]
    end
  end
  return records
end

-- A stretch of the calls, with what it reads.
local function new_part(keys, calls, first, last)
  local part = { calls = {}, reads = {}, writes = {} }
  for i = first, last do
    local call = calls[i]
    table.insert(part.calls, call)
    table.insert(call.changes and part.writes or part.reads, call)
  end
  part.keys = records_of(keys, part.calls)
  return part
end

--- What a trace asks for.
-- @param calls list, see replay.read
-- @param split a session whose records are used, see session_file.lua
-- @return { creds = text, keys = { [type] = { [id] = text } }, calls = list of { type,
--   ids } or { changes }, parts = list of { calls, reads and writes among them, keys },
--   reads, writes, records = how many }; or nil and a sentence
function contest.prepare(calls, split)
  local keys, pools = {}, pools_of(split)
  for _, call in ipairs(calls) do add_records(keys, split, pools, call) end
  local work = {
    creds = split.creds, keys = keys, calls = list_calls(keys, calls), parts = {},
    reads = 0, writes = 0, records = 0,
  }
  for number = 1, SESSIONS do
    local part = new_part(keys, work.calls,
      math.floor((number - 1) * #work.calls / SESSIONS) + 1,
      math.floor(number * #work.calls / SESSIONS))
    work.parts[number] = part
    work.reads, work.writes = work.reads + #part.reads, work.writes + #part.writes
  end
  for _, records in pairs(keys) do
    for _ in pairs(records) do work.records = work.records + 1 end
  end
  if work.reads == 0 or work.writes == 0 then
    return nil, "the trace has no reads, or no writes"
  end
  return work
end

-- ---- one profile --------------------------------------------------------------------

local function session_of(contestant, name)
  return contestant.store:session(("%s.%s"):format(contestant.prefix, name))
end

-- What a call that may not fail gave.
local function expect(value, message)
  if value == nil then error({ message = message }) end
  return value
end

-- Runs tasks until all have ended; the first error of one is raised.
local function in_tasks(count, fn)
  scheduler.run(function()
    local tasks = {}
    for number = 1, count do tasks[number] = scheduler.spawn(fn, number) end
    for _, task in ipairs(tasks) do
      local is_fine, raised = task:wait()
      if not is_fine then error(raised, 0) end
    end
  end)
end

-- What `fn` gives; or nil and the sentence of what could not be done. That a layout does
-- not keep a record of the trace is raised, at the line of the call here.
local function attempt(fn, ...)
  local is_whole, result = pcall(fn, ...)
  if is_whole then return result end
  if type(result) == "table" then return nil, result.message end
  local sentence = tostring(result):match "^[^\n]*profile_contest%.lua:%d+: ([^\n]*)"
  if sentence and sentence:find "layout" then return nil, sentence end
  error(result, 0)
end

-- Calls fn(number) for 1 to `count` by some tasks.
local function share_out(count, fn)
  in_tasks(HELPERS, function(first)
    for number = first, count, HELPERS do fn(number) end
  end)
end

local function write_whole(contestant, work)
  local session, bytes = session_of(contestant, "whole"), 0
  expect(session:commit_json(('{"creds":%s}'):format(work.creds), NO_HURRY))
  expect(session.keys:set_json(work.keys, NO_HURRY))
  for kind, records in pairs(work.keys) do
    local found = expect(session.keys:get_raw(kind, sorted(records), NO_HURRY))
    for _, stored in pairs(found) do bytes = bytes + #stored end
  end
  contestant.whole, contestant.stored_bytes = session.keys, bytes
end

--- Writes the sessions of a contestant and counts the bytes of one that has all records.
-- @param contestant { store, prefix }
-- @param work see `prepare`
-- @param on_session function(number, of how many)
-- @return true; or nil and a sentence
function contest.load(contestant, work, on_session)
  contestant.parts, contestant.done = {}, {}
  return attempt(function()
    write_whole(contestant, work)
    share_out(SESSIONS, function(number)
      local keys = session_of(contestant, number).keys
      contestant.parts[number] = keys
      if next(work.parts[number].keys) then
        expect(keys:set_json(work.parts[number].keys, NO_HURRY))
      end
      on_session(number, SESSIONS)
    end)
    return true
  end)
end

local function percentile(times, share)
  if #times == 0 then return 0 end
  table.sort(times)
  return times[math.max(1, math.ceil(#times * share))]
end

local function carry_out(keys, call)
  if call.changes then return expect(keys:set_json(call.changes)) end
  return expect(keys:get(call.type, call.ids))
end

-- Carries out some of the calls of each stretch, by tasks of its session. Each slice goes
-- on where the last one ended. How many there were.
local function play_slice(contestant, work, name, tasks, each)
  local first, count = contestant.done[name] or 0, 0
  in_tasks(tasks, function(number)
    local part = number % SESSIONS + 1
    local keys, calls = contestant.parts[part], work.parts[part][name]
    for i = first + number, first + number + each - 1 do
      if not calls[1] then return end
      carry_out(keys, calls[i % #calls + 1])
      count = count + 1
    end
  end)
  contestant.done[name] = first + each
  return count
end

-- One call after the other, each timed.
local function lone_slice(contestant, work, times)
  local keys, first = contestant.whole, contestant.alone or 0
  contestant.alone = first + ALONE
  in_tasks(1, function()
    for number = first + 1, first + ALONE do
      local started_ms = core.now_ms()
      carry_out(keys, work.calls[number % #work.calls + 1])
      times[#times + 1] = core.now_ms() - started_ms
    end
  end)
end

local function wire_bytes(contestant)
  local wire = contestant.store:stats().wire
  return wire.bytes_in + wire.bytes_out
end

-- What is measured in slices: a list of each stretch, tasks, and calls of a task.
local THROUGHPUT = {
  { "calls", SESSIONS, 6 }, { "reads", READERS, 3 }, { "writes", SESSIONS, 3 },
}

-- A slice of each thing that is measured in slices.
local function measure_slice(contestant, work, sums)
  for _, each in ipairs(THROUGHPUT) do
    local name, tasks, calls = unpack(each)
    local sum = sums[name]
    local bytes, started_ms = wire_bytes(contestant), core.now_ms()
    sum.count = sum.count + play_slice(contestant, work, name, tasks, calls)
    sum.ms = sum.ms + core.now_ms() - started_ms
    sum.bytes = sum.bytes + wire_bytes(contestant) - bytes
  end
  lone_slice(contestant, work, sums.lone_ms)
end

-- Sessions for a storm, with one record each: pinned, so that a write is one request.
local function prepare_storm(contestant)
  contestant.storm = {}
  share_out(STORM, function(number)
    local keys = session_of(contestant, "storm." .. number).keys
    expect(keys:set_json({ session = { ["1.0"] = "0" } }, NO_HURRY))
    contestant.storm[number] = keys
  end)
end

local function measure_storm(contestant, figures)
  if not contestant.storm then prepare_storm(contestant) end
  local times, refused = {}, 0
  collectgarbage()
  local started_ms = core.now_ms()
  in_tasks(STORM, function(number)
    local version, message, code =
      contestant.storm[number]:set_json { session = { ["1.0"] = "1" } }
    if version then
      times[#times + 1] = core.now_ms() - started_ms
    elseif code == "overloaded" or code == "timeout" or code == "unavailable" then
      refused = refused + 1
    else
      error({ message = message })
    end
  end)
  figures.storm_per_s = #times / (core.now_ms() - started_ms) * 1000
  figures.storm_p50_ms = percentile(times, 0.5)
  figures.storm_p99_ms = percentile(times, 0.99)
  figures.storm_refused = refused
end

local function new_sums()
  local sums = { lone_ms = {} }
  for _, each in ipairs(THROUGHPUT) do
    sums[each[1]] = { count = 0, ms = 0, bytes = 0 }
  end
  return sums
end

local function figures_of(contestant, sums)
  local figures = {
    alone_p50_ms = percentile(sums.lone_ms, 0.5),
    alone_p99_ms = percentile(sums.lone_ms, 0.99),
    wire_bytes = sums.calls.bytes / sums.calls.count,
    stored_bytes = contestant.stored_bytes,
  }
  for _, each in ipairs(THROUGHPUT) do
    local sum = sums[each[1]]
    figures[each[1] .. "_per_s"] = sum.count / sum.ms * 1000
  end
  return figures
end

local function measure(contestants, work)
  local sums, all_figures = {}, {}
  for i = 1, #contestants do sums[i] = new_sums() end
  for slice = 1, SLICES do
    for turn = 1, #contestants do
      local i = (slice + turn) % #contestants + 1
      contestants.current = contestants[i]
      collectgarbage()
      measure_slice(contestants[i], work, sums[i])
    end
  end
  for i, contestant in ipairs(contestants) do
    local figures = figures_of(contestant, sums[i])
    contestants.current = contestant
    measure_storm(contestant, figures)
    figures.memory_bytes = contestant.store:stats().memory_bytes
    all_figures[i] = figures
  end
  return all_figures
end

--- Measures contestants beside each other: in slices so small that what else the machine
-- does meets all of them.
-- @param contestants list of { name, ... }, loaded
-- @param work see `prepare`
-- @return list of { [name of a figure] = number }; or nil and a sentence
function contest.measure(contestants, work)
  local figures, message = attempt(measure, contestants, work)
  if figures then return figures end
  return nil, ("%s: %s"):format(contestants.current.name, message)
end

--- Deletes what `load` and the storm wrote.
-- @return true; or nil and a sentence
function contest.clear(contestant)
  local names = { "whole" }
  for number = 1, SESSIONS do table.insert(names, tostring(number)) end
  for number = 1, contestant.storm and STORM or 0 do
    table.insert(names, "storm." .. number)
  end
  return attempt(function()
    share_out(#names, function(number)
      expect(session_of(contestant, names[number]):delete(NO_HURRY))
    end)
    return true
  end)
end

-- ---- who wins -----------------------------------------------------------------------

local function quartiles(list)
  table.sort(list)
  local function at(share) return list[math.max(1, math.ceil(#list * share))] end
  return { q1 = at(0.25), median = at(0.5), q3 = at(0.75) }
end

--- Compares two contestants.
-- @param rounds list of { figures of the first, figures of the second }
-- @return list of { name, unit, sentence, values = { first, second } (medians), ratio =
--   quartiles of second through first, or nil, winner = 1, 2 or nil: none beyond the
--   spread of the rounds }
function contest.judge(rounds)
  local judged = {}
  for i, figure in ipairs(contest.FIGURES) do
    local first, second, ratios = {}, {}, {}
    for number, round in ipairs(rounds) do
      local a, b = round[1][figure.name], round[2][figure.name]
      first[number], second[number] = a, b
      if a > 0 and b > 0 then ratios[#ratios + 1] = b / a end
    end
    local ratio = #ratios == #rounds and quartiles(ratios) or nil
    local winner
    if ratio and ratio.q1 > 1 then winner = figure.more_is_better and 2 or 1 end
    if ratio and ratio.q3 < 1 then winner = figure.more_is_better and 1 or 2 end
    judged[i] = {
      name = figure.name, unit = figure.unit, sentence = figure.sentence,
      values = { quartiles(first).median, quartiles(second).median }, ratio = ratio,
      winner = winner,
    }
  end
  return judged
end

return contest
