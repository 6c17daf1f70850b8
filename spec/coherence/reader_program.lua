-- SPDX-License-Identifier: MIT

-- A program with a store that has a near cache: it reads records, and now and then writes
-- some:
--
--    luajit reader_program.lua URL LAYOUT END_MS FIRST_TAG SEED direct|behind PLANT
--
-- until END_MS of the monotonic clock. `direct`: nothing lies between server and client,
-- so what the server has told is received; it blocks and runs tasks by turns. `behind` a
-- proxy it only runs tasks. PLANT is the name of a bug in cases.lua, "" for none. It
-- prints
--
--    r CELL TAG|- COUNT FIRST_ENDED_MS LAST_BEGAN_MS LAST_ENDED_MS SLACK_MS|-
--        for so many equal reads in a row
--    w TAG CALLED_MS ENDED_MS|- -     for each write
--    e CODE COUNT                     for the calls that failed
--    hits COUNT                       for what came from the cache

local cases = require "spec.coherence.cases"
local monotonic = require "spec.coherence.monotonic"
local planted = require "spec.coherence.planted"
local random = require "spec.support.random"
local records = require "spec.coherence.records"

local url, layout, end_ms = arg[1], arg[2], tonumber(arg[3])
local next_tag, dice = tonumber(arg[4]), random.new(tonumber(arg[5]))
local is_direct, plant = arg[6] == "direct", arg[7]

if plant ~= "" then planted.install(cases.plant(plant)) end
local authstate = require "authstate"

-- How long a task may go on without looking at its sockets: 5 ms by doc/cache.md, on a
-- clock with steps of 4 ms.
local TASK_SLACK_MS = 10

local PHASE_MS, TASKS, BURST = 300, 3, 30

-- How many bursts end with one.
local DELETES, WRITES = 0.0003, 0.05

local now_ms = monotonic.now_ms
local errors = {}
local current = {} -- by cell: the run of equal reads that goes on

local store = assert(authstate.open {
  redis = { path = url, socket = { command_timeout_ms = 400 } }, layout = layout,
  enable_cache = true, log = function() end,
})
local list = records.all(layout)
-- Those that it writes, too. An own write brings what is old up to date: the others show
-- for how long something is served.
local own = {}
for _, record in ipairs(list) do
  if record.id ~= "3" then own[#own + 1] = record end
end
local sessions = {}
for _, id in ipairs(records.SESSIONS) do sessions[id] = store:session(id) end

local function print_run(run)
  io.write(("r %s %s %d %.3f %.3f %.3f %s\n"):format(run.cell,
    run.tag and ("%d"):format(run.tag) or "-", run.count, run.first_ended_ms,
    run.last_began_ms, run.last_ended_ms, run.slack_ms or "-"))
end

local function note(cell, tag, began_ms, ended_ms, slack_ms)
  local run = current[cell]
  if not run or run.tag ~= tag or run.slack_ms ~= slack_ms then
    if run then print_run(run) end
    run = {
      cell = cell, tag = tag, slack_ms = slack_ms, count = 0, first_ended_ms = ended_ms,
      last_began_ms = began_ms, last_ended_ms = ended_ms,
    }
    current[cell] = run
  end
  run.count = run.count + 1
  run.first_ended_ms = math.min(run.first_ended_ms, ended_ms)
  run.last_began_ms = math.max(run.last_began_ms, began_ms)
  run.last_ended_ms = math.max(run.last_ended_ms, ended_ms)
end

local function note_error(session, code)
  errors[code] = (errors[code] or 0) + 1
  if code == "fenced" then session:load_creds() end
end

local function read(record, slack_ms)
  local session = sessions[record.session]
  local began_ms = now_ms()
  local found, _, code = session.keys:get(record.kind, { record.id })
  local ended_ms = now_ms()
  if not found then return note_error(session, code) end
  note(record.name, records.tag(found[record.id]), began_ms, ended_ms, slack_ms)
end

local function write(record)
  local session, tag = sessions[record.session], next_tag
  next_tag = next_tag + 1
  local change = { [record.kind] = { [record.id] = records.value(tag) } }
  local called_ms = now_ms()
  local version, _, code = session.keys:set(change)
  local ended_ms = version and now_ms()
  io.write(("w %d %.3f %s -\n"):format(tag, called_ms,
    ended_ms and ("%.3f"):format(ended_ms) or "-"))
  if not version then note_error(session, code) end
end

-- Makes a session anew: what was, must not come back.
local function delete(record)
  local session = sessions[record.session]
  local _, _, code = session:delete()
  if code then return note_error(session, code) end
  session:load_creds()
  _, _, code = session:commit { creds = { n = 1 } }
  if code then note_error(session, code) end
end

local function work(until_ms, slack_ms)
  while now_ms() < until_ms do
    for _ = 1, BURST do read(list[dice:integer(1, #list)], slack_ms) end
    local choice = dice:fraction()
    if choice < DELETES then
      delete(list[dice:integer(1, #list)])
    elseif choice < WRITES then
      write(own[dice:integer(1, #own)])
    end
    authstate.sleep(1)
  end
end

local function run_tasks(until_ms, slack_ms)
  authstate.run(function()
    for _ = 1, TASKS do authstate.spawn(work, until_ms, slack_ms) end
  end)
end

while now_ms() < end_ms do
  local until_ms = math.min(now_ms() + PHASE_MS, end_ms)
  if is_direct then
    work(until_ms, 0)
    run_tasks(until_ms + PHASE_MS, TASK_SLACK_MS)
  else
    run_tasks(until_ms, nil)
  end
end
for _, run in pairs(current) do print_run(run) end
for code, count in pairs(errors) do io.write(("e %s %d\n"):format(code, count)) end
io.write(("hits %d\n"):format(store:stats().cache.hits))
store:close()
