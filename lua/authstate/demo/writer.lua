-- SPDX-License-Identifier: MIT
--- The writer process of the demo: writes to many sessions at once, and says on standard
-- output what it begins and what it was told, so that its parent knows what was
-- acknowledged when it is killed.
--
-- Lines: "pid N"; "begin SESSION STEP MS"; "done SESSION STEP VERSION MS"; "finished" or
-- "failed MESSAGE". MS is the monotonic clock, which parent and child share.

local authstate = require "authstate"
local core = require "authstate.core"
local reference_model = require "authstate.reference_model"
local session_file = require "authstate.session_file"
local trace = require "authstate.demo.trace"

local writer = {}

local TIMEOUT = { timeout_ms = 30000 }

--- The id of a session of the burst.
function writer.session_id(number)
  return ("burst-%d"):format(number)
end

-- One write call for good.
local function say(...)
  assert(io.stdout:write(...))
end

local function begin_line(number, step)
  return ("begin %d %d %.3f\n"):format(number, step, core.now_ms())
end

-- The writes of one session, one after the other, from a step on. With the fault
-- "repeat", the last one is written twice, without a word.
local function write_steps(session, number, model, writes, first, fault)
  for step = 1, first - 1 do trace.advance(model, writes[step]) end
  if first <= #writes then say(begin_line(number, first)) end
  for step = first, #writes do
    local change = trace.advance(model, writes[step])
    local version = assert(trace.write(session, writes[step], change, TIMEOUT))
    if step == #writes and fault == "repeat" then
      assert(trace.write(session, writes[step], change, TIMEOUT))
    end
    local line = ("done %d %d %d %.3f\n"):format(number, step, version, core.now_ms())
    say(line .. (step < #writes and begin_line(number, step + 1) or ""))
  end
end

local function write_all(words)
  local split = assert(session_file.read(words[2]))
  local writes = trace.writes(assert(trace.read(words[3])), tonumber(words[4]))
  local store = assert(authstate.open { data_dir = words[1], append_fsync = "always" })
  say(("pid %d\n"):format(core.process_id()))
  authstate.run(function()
    for number = 1, #words - 5 do
      local first = tonumber(words[5 + number])
      authstate.spawn(write_steps, store:session(writer.session_id(number)), number,
        reference_model.new(split), writes, first, number == 1 and words[5])
    end
  end)
  assert(store:close())
end

--- Runs the process.
-- @param words { data directory, session file, trace file, writes for each session,
--   fault of session 1 or "", first step of session 1, of session 2, ... }
function writer.main(words)
  io.stdout:setvbuf "no"
  local is_done, message = pcall(write_all, words)
  if not is_done then say(("failed %s\n"):format(tostring(message):match "[^\n]+")) end
  if is_done then say "finished\n" end
  os.exit(is_done and 0 or 1)
end

return writer
