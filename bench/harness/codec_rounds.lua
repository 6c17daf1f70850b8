-- SPDX-License-Identifier: MIT
--- Measures codecs without a server: in each round every peer goes over the records of
-- every type, type by type and in rotating order (order.lua), so that only times that
-- were measured next to each other are compared. A type is gone over as often as makes
-- its text 4 MiB long, or OPERATIONS KiB; its time is that of one pass. The total is the
-- sum, which is one pass over the session as it is.
--
-- Nothing waits here, so what a peer takes is CPU time, which does not count when others
-- had the processor; but wall time where that is less, because threads that help (Node's
-- collector) worked at once.
--
-- Before the rounds all that a peer makes of all records is compared with the fixture
-- (canonical.lua), and in every round what it makes of one of each type, another one each
-- time.

local canonical = require "bench.harness.canonical"
local order = require "bench.harness.order"
local peer = require "bench.harness.peer"
local processor = require "bench.harness.processor"
local record_file = require "bench.harness.record_file"
local statistics = require "bench.harness.statistics"
local temporary = require "spec.support.temporary"

local PASS_KIB = 4096
local TOTAL = "total"

local codec_rounds = {
  --- Beside the types the name of their sum.
  TOTAL = TOTAL,
}

-- A file with the records of all types, each with the bytes that it has in `lists`.
local function write_records(session, lists)
  local path = temporary.directory() .. "/records"
  local file = assert(io.open(path, "wb"))
  for number, part in ipairs(session.types) do
    for i, record in ipairs(part.records) do
      record_file.write(file, record.kind, record.id, lists[number][i])
    end
  end
  assert(file:close())
  return path
end

local function texts_of(session)
  local lists = {}
  for number, part in ipairs(session.types) do
    lists[number] = {}
    for i, record in ipairs(part.records) do lists[number][i] = record.text end
  end
  return lists
end

local function start_peers(run)
  local texts = write_records(run.session, texts_of(run.session))
  local _, of_peers = processor.split(run.processors)
  for i, entry in ipairs(run.entries) do
    local told = setmetatable({ options = {
      texts = texts, collector = entry.collector,
      stored = entry.stored and write_records(run.session, entry.stored),
    } }, { __index = entry })
    local started, message = peer.start(told,
      { directory = temporary.directory(), processors = of_peers })
    if not started then return nil, message end
    run.peers[i] = started
    run.measured[i] = { entry = entry, versions = started.versions, rounds = {} }
  end
  return true
end

local function refuse(one, record, what)
  return nil, ("%s did not do the same work: %s %q %s"):format(one.name, record.kind,
    record.id, what)
end

-- Whether a peer made of records what they are.
local function check_kept(one, records)
  local kept, message = one:results()
  if not kept then return nil, message end
  local came, form = kept[0] or {}, one.entry.form
  for i, record in ipairs(records) do
    if not came[i] or came[i].id ~= record.id then
      return refuse(one, record, "is missing")
    end
    local digest
    digest, message = canonical.digest(came[i].bytes, form)
    if not digest then return refuse(one, record, "cannot be read: " .. message) end
    if digest ~= canonical.digest(record.text, form == "cjson" and form or "json") then
      return refuse(one, record, "is another value")
    end
  end
  return true
end

-- One peer goes over one type.
-- @param keep see peer.lua
local function take_turn(run, one, number, passes, keep)
  local records = run.session.types[number].records
  local answer, message = one:run(number - 1, passes, keep)
  if not answer then return nil, message end
  local kept = keep == "all" and records or { records[keep + 1] }
  local is_right
  is_right, message = check_kept(one, kept)
  if not is_right then return nil, message end
  if answer.operations ~= passes or answer.records ~= passes * #records then
    return nil, ("%s did not do the same work: %d records of %d"):format(one.name,
      answer.records, passes * #records)
  end
  return answer
end

local function check_all(run)
  for _, one in ipairs(run.peers) do
    for number in ipairs(run.session.types) do
      local answer, message = take_turn(run, one, number, 1, "all")
      if not answer then return nil, message end
    end
  end
  return true
end

local function note(rounds, round, name, answer, passes)
  local times = rounds[round] or { [TOTAL] = 0 }
  rounds[round] = times
  times[name] = math.min(answer.wall_s, answer.cpu_s) / passes
  times[TOTAL] = times[TOTAL] + times[name]
end

-- A round: for each type every peer once. Rounds below 1 warm up.
local function play(run, round)
  for number, part in ipairs(run.session.types) do
    local passes = math.max(1, math.ceil(run.pass_bytes / part.json_bytes))
    for _, i in ipairs(order.of_round(#run.peers, round)) do
      local answer, message = take_turn(run, run.peers[i], number, passes,
        round % #part.records)
      if not answer then return nil, ("round %d: %s"):format(round, message) end
      if round >= 1 then
        note(run.measured[i].rounds, round, part.name, answer, passes)
      end
    end
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

-- The time of one record and the ratio to ours, by type and in total.
local function summarize(run)
  for _, measured in ipairs(run.measured) do
    measured.record_us, measured.ratio = {}, {}
    for name in pairs(measured.rounds[1]) do
      local times = column(measured.rounds, name)
      local of_one = {}
      for i, time in ipairs(times) do of_one[i] = time / run.records[name] * 1e6 end
      measured.record_us[name] = statistics.quartiles(of_one)
      measured.ratio[name] = statistics.quartiles(statistics.ratios(times,
        column(run.measured[1].rounds, name)))
    end
  end
end

local function count_records(session)
  local counts = { [TOTAL] = 0 }
  for _, part in ipairs(session.types) do
    counts[part.name] = #part.records
    counts[TOTAL] = counts[TOTAL] + #part.records
  end
  return counts
end

--- Measures the peers of one method with one session.
-- @param entries list of { name, program, method, form, stored }, the first one ours;
--   `stored` are its stored bytes, { [number of the type] = list in the records' order }
-- @param session see sessions.lua
-- @param knobs see knobs.lua
-- @param on_round function(round), after each
-- @return list of { entry, versions, rounds = list of { [type or "total"] = seconds of a
--   pass }, record_us, ratio = { [type or "total"] = { q1, median, q3 } } }, in the order
--   of the entries; or nil and a sentence when a peer failed or did not do the same work
function codec_rounds.run(entries, session, knobs, on_round)
  local run = {
    entries = entries, session = session, peers = {}, measured = {},
    processors = knobs.PROCESSORS or "free", records = count_records(session),
    pass_bytes = (knobs.OPERATIONS or PASS_KIB) * 1024,
  }
  local is_done, message = play_all(run, knobs, on_round)
  for _, one in ipairs(run.peers) do one:stop() end
  if not is_done then return nil, ("%s: %s"):format(session.name, message) end
  summarize(run)
  return run.measured
end

return codec_rounds
