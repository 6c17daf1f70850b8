-- SPDX-License-Identifier: MIT
--- Measures what profiles do with the calls of a trace: the same calls for each, in turns
-- that alternate, on the same server.
--
--     reads    the trace's reads, by a thousand tasks, as they are stored: what moves the
--              bytes, without the cache and without making values
--     writes   its writes, by a task for each session
--     alone    its calls, one after the other
--     storm    ten thousand writes to as many sessions at once: what becomes of those
--              that are not refused
--
-- What is written is made up: for each id that the trace names a record of its type.

local core = require "authstate.core"
local scheduler = require "authstate.scheduler"

local contest = {}

local SESSIONS = 16
local READERS = 1000

-- Of each slice, and how many slices a round has.
local READS, WRITES, ALONE = 3000, 200, 30
local SLICES = 12

local STORM = 10000
local DELETERS = 100

-- The calls of a measurement end, however slow the machine is; those of a storm have the
-- deadline of the profile.
local NO_HURRY = { timeout_ms = 600000 }

--- What is measured: { name, unit, whether more is better, sentence }.
contest.FIGURES = {
  { name = "reads_per_s", unit = "/s", more_is_better = true,
    sentence = "reads from the server by 1,000 tasks" },
  { name = "writes_per_s", unit = "/s", more_is_better = true,
    sentence = "writes by 16 tasks" },
  { name = "calls_per_s", unit = "/s", more_is_better = true,
    sentence = "both, fifteen reads for a write" },
  { name = "alone_p50_ms", unit = "ms", sentence = "one call alone, half of them" },
  { name = "alone_p99_ms", unit = "ms", sentence = "one call alone, 99 of 100" },
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

--- What a trace asks for.
-- @param calls list, see replay.read
-- @param split a session whose records are used, see session_file.lua
-- @return { creds = text, keys = { [type] = { [id] = text } }, reads = list of { type,
--   ids }, writes = list of changes, records }; or nil and a sentence
function contest.prepare(calls, split)
  local work = { creds = split.creds, keys = {}, reads = {}, writes = {}, records = 0 }
  local pools = pools_of(split)
  for _, call in ipairs(calls) do
    add_records(work.keys, split, pools, call)
    if call.kind == "get" and call.ids[1] then
      table.insert(work.reads, { call.type, call.ids })
    elseif call.kind == "set" then
      work.writes[#work.writes + 1] = changes_of(work.keys, call)
    end
  end
  for _, records in pairs(work.keys) do
    for _ in pairs(records) do work.records = work.records + 1 end
  end
  if #work.reads == 0 or #work.writes == 0 then
    return nil, "the trace has no reads, or no writes"
  end
  return work
end

-- ---- one profile --------------------------------------------------------------------

local function session_of(contestant, number)
  return contestant.store:session(("%s.%d"):format(contestant.prefix, number))
end

--- Writes the sessions of a contestant and counts their bytes.
-- @param contestant { store, prefix }
-- @param work see `prepare`
-- @param on_session function(number, of how many)
-- @return true; or E
function contest.load(contestant, work, on_session)
  contestant.sessions = {}
  for number = 1, SESSIONS do
    local session = session_of(contestant, number)
    local version, message, code, details =
      session:commit_json(('{"creds":%s}'):format(work.creds), NO_HURRY)
    if version then
      version, message, code, details = session.keys:set_json(work.keys, NO_HURRY)
    end
    if not version then return nil, message, code, details end
    contestant.sessions[number] = session
    on_session(number, SESSIONS)
  end
  local bytes = 0
  for kind, records in pairs(work.keys) do
    local found, message, code, details =
      contestant.sessions[1].keys:get_raw(kind, sorted(records), NO_HURRY)
    if not found then return nil, message, code, details end
    for _, stored in pairs(found) do bytes = bytes + #stored end
  end
  contestant.stored_bytes = bytes
  return true
end

local function percentile(times, share)
  if #times == 0 then return 0 end
  table.sort(times)
  return times[math.max(1, math.ceil(#times * share))]
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

-- What a call that may not fail gave.
local function expect(value, message)
  if value == nil then error({ message = message }) end
  return value
end

-- Each slice goes on where the last one of the contestant ended.
local function read_slice(contestant, work)
  local sessions, reads = contestant.sessions, work.reads
  local first, done = contestant.reads or 0, 0
  in_tasks(READERS, function(number)
    local keys = sessions[number % SESSIONS + 1].keys
    while done < READS do
      done = done + 1
      local read = reads[(first + done) % #reads + 1]
      expect(keys:get_raw(read[1], read[2]))
    end
  end)
  contestant.reads = first + done
end

local function write_slice(contestant, work)
  local sessions, writes = contestant.sessions, work.writes
  local first, done = contestant.writes or 0, 0
  in_tasks(SESSIONS, function(number)
    local keys = sessions[number].keys
    while done < WRITES do
      done = done + 1
      expect(keys:set_json(writes[(first + done) % #writes + 1]))
    end
  end)
  contestant.writes = first + done
end

-- Two reads, a write, and so on, each timed.
local function lone_slice(contestant, work, times)
  local keys, first = contestant.sessions[1].keys, contestant.alone or 0
  contestant.alone = first + ALONE
  in_tasks(1, function()
    for number = first + 1, first + ALONE do
      local read = work.reads[number % #work.reads + 1]
      local started_ms = core.now_ms()
      if number % 3 == 0 then
        expect(keys:set_json(work.writes[number % #work.writes + 1]))
      else
        expect(keys:get(read[1], read[2]))
      end
      times[#times + 1] = core.now_ms() - started_ms
    end
  end)
end

local function wire_bytes(contestant)
  local wire = contestant.store:stats().wire
  return wire.bytes_in + wire.bytes_out
end

-- A slice of each thing that is measured in slices.
local function measure_slice(contestant, work, sums)
  local bytes, started_ms = wire_bytes(contestant), core.now_ms()
  read_slice(contestant, work)
  sums.read_ms = sums.read_ms + core.now_ms() - started_ms
  sums.read_bytes = sums.read_bytes + wire_bytes(contestant) - bytes
  started_ms = core.now_ms()
  write_slice(contestant, work)
  sums.write_ms = sums.write_ms + core.now_ms() - started_ms
  lone_slice(contestant, work, sums.lone_ms)
end

-- Sessions for a storm, with one record each: pinned, so that a write is one request.
local function prepare_storm(contestant)
  contestant.storm = {}
  for number = 1, STORM do
    contestant.storm[number] =
      contestant.store:session(("%s.storm.%d"):format(contestant.prefix, number)).keys
  end
  in_tasks(100, function(first)
    for number = first, STORM, 100 do
      expect(contestant.storm[number]:set_json({ t = { a = "0" } }, NO_HURRY))
    end
  end)
end

local function measure_storm(contestant, figures)
  if not contestant.storm then prepare_storm(contestant) end
  local times, refused = {}, 0
  collectgarbage()
  local started_ms = core.now_ms()
  in_tasks(STORM, function(number)
    local version, message, code =
      contestant.storm[number]:set_json { t = { a = "1" } }
    if version then
      times[#times + 1] = core.now_ms() - started_ms
    elseif code == "overloaded" or code == "timeout" or code == "unavailable" then
      refused = refused + 1
    else
      error({ message = message })
    end
  end)
  figures.storm_p50_ms = percentile(times, 0.5)
  figures.storm_p99_ms = percentile(times, 0.99)
  figures.storm_refused = refused
end

local function figures_of(contestant, sums)
  return {
    reads_per_s = SLICES * READS / sums.read_ms * 1000,
    writes_per_s = SLICES * WRITES / sums.write_ms * 1000,
    calls_per_s = SLICES * (READS + WRITES) / (sums.read_ms + sums.write_ms) * 1000,
    alone_p50_ms = percentile(sums.lone_ms, 0.5),
    alone_p99_ms = percentile(sums.lone_ms, 0.99),
    wire_bytes = sums.read_bytes / (SLICES * READS),
    stored_bytes = contestant.stored_bytes,
  }
end

local function measure(contestants, work)
  local sums, all_figures = {}, {}
  for i = 1, #contestants do
    sums[i] = { read_ms = 0, read_bytes = 0, write_ms = 0, lone_ms = {} }
  end
  for slice = 1, SLICES do
    for turn = 1, #contestants do
      local i = (slice + turn) % #contestants + 1
      collectgarbage()
      measure_slice(contestants[i], work, sums[i])
    end
  end
  for i, contestant in ipairs(contestants) do
    local figures = figures_of(contestant, sums[i])
    measure_storm(contestant, figures)
    figures.memory_bytes = contestant.store:stats().memory_bytes
    all_figures[i] = figures
  end
  return all_figures
end

--- Measures contestants beside each other: in slices so small that what else the machine
-- does meets all of them.
-- @param contestants list, loaded
-- @param work see `prepare`
-- @return list of { [name of a figure] = number }; or nil and a sentence
function contest.measure(contestants, work)
  local is_whole, result = pcall(measure, contestants, work)
  if is_whole then return result end
  if type(result) == "table" then return nil, result.message end
  error(result, 0)
end

--- Deletes what `load` and the storm wrote.
-- @return true; or nil and a sentence
function contest.clear(contestant)
  local names = {}
  for number = 1, contestant.sessions and SESSIONS or 0 do
    names[number] = ("%s.%d"):format(contestant.prefix, number)
  end
  for number = 1, contestant.storm and STORM or 0 do
    names[#names + 1] = ("%s.storm.%d"):format(contestant.prefix, number)
  end
  local is_whole, raised = pcall(in_tasks, DELETERS, function(first)
    for number = first, #names, DELETERS do
      expect(contestant.store:session(names[number]):delete(NO_HURRY))
    end
  end)
  if is_whole then return true end
  if type(raised) == "table" then return nil, raised.message end
  error(raised, 0)
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
