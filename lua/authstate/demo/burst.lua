-- SPDX-License-Identifier: MIT
--- The second half of the demo: a process that writes to many sessions at once, while the
-- server, and then that process itself, are killed without a word.
--
-- The writer (writer.lua) writes the same steps to each session, so each session is known
-- from the number of steps that took effect. Each step makes one version: a write that
-- took effect twice, or was lost, shows in the version of its session.

local batch = require "authstate.batch"
local core = require "authstate.core"
local reference_model = require "authstate.reference_model"
local session_file = require "authstate.session_file"
local shell = require "authstate.demo.shell"
local trace = require "authstate.demo.trace"
local writer = require "authstate.demo.writer"

local burst = {}

local SESSIONS = 32
local STEPS = 150
local LEAST_UNACKNOWLEDGED = 20
local TIMEOUT = { timeout_ms = 30000 }

local Burst = { __name = "authstate.demo.burst" }
Burst.__index = Burst

-- ---- the sessions -------------------------------------------------------------------

local function import_sessions(self)
  for number, state in ipairs(self.sessions) do
    local session = self.store:session(writer.session_id(number))
    local filled = batch.new(session:batch_context())
    local is_put, message = filled:set_session(self.run.split, function() end)
    if not is_put then return nil, message end
    local call = self.store:begin(session.id, TIMEOUT, 1)
    local result
    result, message = session:commit_batch(call, filled, { creates = true })
    if not result then return nil, message end
    if result.exists then
      return nil, "the data directory has a session " .. session.id .. " already"
    end
    state.first_version = result.version
    self.context.report:progress("sessions", number, SESSIONS)
  end
  return true
end

-- ---- the writer ---------------------------------------------------------------------

-- Each kind of line that the writer prints, and what it tells.
local LINES = {}

function LINES.pid(self, words)
  self.writer_pid = tonumber(words[2])
end

function LINES.begin(self, words)
  local state = self.sessions[tonumber(words[2])]
  state.begun, state.begun_ms = tonumber(words[3]), tonumber(words[4])
end

-- Notes an acknowledgement that came after the server was killed: of a write that was
-- begun before, or by the next server.
local function note_late(kill, state, done_ms)
  if done_ms <= kill.at_ms then return end
  if state.begun_ms <= kill.at_ms then
    kill.acknowledged = kill.acknowledged + 1
  elseif not kill.back_ms then
    kill.back_ms = done_ms - kill.at_ms
  end
end

function LINES.done(self, words)
  local state, step = self.sessions[tonumber(words[2])], tonumber(words[3])
  if self.server_kill then note_late(self.server_kill, state, tonumber(words[5])) end
  state.done = step
  self.done = self.done + 1
  self.context.report:progress("burst", self.done, SESSIONS * STEPS)
end

function LINES.finished(self)
  self.is_finished = true
end

function LINES.failed(self, words, line)
  self.failure = line:sub(#words[1] + 2)
end

local function server_pid(self)
  local call = self.store:begin(nil, TIMEOUT, 1)
  local replies, message =
    self.store:perform(call, { commands = { { "INFO", "server" } } })
  if not replies then return nil, message end
  return tonumber(replies[1]:match "process_id:(%d+)")
end

local function kill_server(self)
  assert(core.kill_process(self.server_pid))
  self.server_kill = { at_ms = core.now_ms(), acknowledged = 0 }
end

local function kill_writer(self)
  assert(core.kill_process(self.writer_pid))
  self.is_writer_killed = true
end

-- Hears what the writer says until it ends, and kills whom it is time to kill.
local function listen(self, pipe)
  for line in pipe:lines() do
    local words = {}
    for word in line:gmatch "%S+" do words[#words + 1] = word end
    LINES[words[1]](self, words, line)
    if not self.server_kill and self.done >= SESSIONS * STEPS / 3 then
      kill_server(self)
    elseif not self.is_writer_killed and self.done >= SESSIONS * STEPS * 2 / 3 then
      kill_writer(self)
    end
  end
end

-- Runs a writer that goes on where the sessions are.
-- @return true; or nil and a sentence
local function run_writer(self)
  local words = {
    shell.interpreter(), "-e", 'require("authstate.demo.writer").main(arg)', "/dev/null",
    self.store.guard.directory, self.run.path, self.run.trace_path, STEPS,
    self.run.fault or "",
  }
  for _, state in ipairs(self.sessions) do words[#words + 1] = state.done + 1 end
  local pipe = shell.read_from(words)
  local is_whole, raised = pcall(listen, self, pipe)
  if not is_whole and self.writer_pid then core.kill_process(self.writer_pid) end
  pipe:close()
  if not is_whole then error(raised, 0) end
  if self.failure then return nil, "the writer failed: " .. self.failure end
  return true
end

-- ---- the judgement ------------------------------------------------------------------

local function advance_to(self, state, step)
  for at = state.modelled + 1, step do trace.advance(state.model, self.writes[at]) end
  state.modelled = step
end

local function load_text(self, number)
  local session = self.store:session(writer.session_id(number))
  local loaded, message = session:load_json(TIMEOUT)
  if not loaded then return nil, message or ("session %s is gone"):format(session.id) end
  return loaded
end

local function equals_model(state, loaded)
  local expected = assert(session_file.compose(state.model:session()))
  return session_file.compose(loaded) == expected
end

-- What became of the write of one session that nobody was told of: "applied", "not", or
-- "torn" when the session is neither as before nor as after.
local function judge_session(self, number, state)
  local loaded, message = load_text(self, number)
  if not loaded then return nil, message end
  advance_to(self, state, state.done)
  local is_as_before = equals_model(state, loaded)
  if state.begun == state.done then return is_as_before and "not" or "torn" end
  if is_as_before and loaded.version == state.first_version + state.done then
    return "not"
  end
  advance_to(self, state, state.begun)
  local is_as_after = equals_model(state, loaded)
  return is_as_after and loaded.version == state.first_version + state.begun and
    "applied" or "torn"
end

-- After the writer's death: what became of the writes that it was not told of.
local function judge_unacknowledged(self)
  local counts = { applied = 0, ["not"] = 0, torn = 0, unacknowledged = 0 }
  for number, state in ipairs(self.sessions) do
    local is_open = state.begun > state.done
    local verdict, message = judge_session(self, number, state)
    if not verdict then return nil, message end
    if is_open then counts.unacknowledged = counts.unacknowledged + 1 end
    if is_open or verdict == "torn" then counts[verdict] = counts[verdict] + 1 end
    if verdict == "applied" then state.done = state.begun end
  end
  return counts
end

-- In the end: every record of every session.
local function check_all(self)
  local checked, lost, doubled = 0, 0, 0
  for number, state in ipairs(self.sessions) do
    local loaded, message = load_text(self, number)
    if not loaded then return nil, message end
    advance_to(self, state, STEPS)
    checked = checked + state.model:check_all(loaded)
    lost = lost + state.model.lost_count
    local extra = loaded.version - (state.first_version + STEPS)
    doubled, lost = doubled + math.max(extra, 0), lost + math.max(-extra, 0)
    self.context.report:progress("check", number, SESSIONS)
  end
  return { records = checked, lost = lost, doubled = doubled }
end

-- ---- the run ------------------------------------------------------------------------

local function enough(what, count)
  if count >= LEAST_UNACKNOWLEDGED then return true end
  return nil, ("only %d writes were unacknowledged when %s was killed; at least %d were "
    .. "expected"):format(count, what, LEAST_UNACKNOWLEDGED)
end

-- How many writes were open when the server was killed: those that were acknowledged
-- after it, and those that still are not.
local function count_unacknowledged(self)
  local kill = self.server_kill
  kill.unacknowledged = kill.acknowledged
  for _, state in ipairs(self.sessions) do
    if state.begun > state.done and state.begun_ms <= kill.at_ms then
      kill.unacknowledged = kill.unacknowledged + 1
    end
  end
end

local function tell_server_kill(self)
  local kill = self.server_kill
  self.context.report:line(
    "killed   redis-server, process %d, amid %d writes: %d acknowledged later, back in "
      .. "%.0f ms", self.server_pid, kill.unacknowledged, kill.acknowledged,
    kill.back_ms or 0)
end

local function tell_writer_kill(self, counts)
  self.context.report:line(
    "killed   the writer, process %d, amid %d writes: %d took effect, %d did not, %d in "
      .. "part", self.killed_pid, counts.unacknowledged, counts.applied, counts["not"],
    counts.torn)
end

-- The first writer, which sees the server die and is killed itself; then another one.
-- @return what became of the first one's unacknowledged writes; or nil and a sentence
local function write_and_kill(self)
  local is_run, message = run_writer(self)
  if not is_run then return nil, message end
  self.killed_pid = self.writer_pid
  count_unacknowledged(self)
  tell_server_kill(self)
  local counts
  counts, message = judge_unacknowledged(self)
  if not counts then return nil, message end
  tell_writer_kill(self, counts)
  self.done = 0
  for _, state in ipairs(self.sessions) do self.done = self.done + state.done end
  is_run, message = run_writer(self)
  if not is_run then return nil, message end
  if not self.is_finished then return nil, "the second writer ended early" end
  return counts
end

--- Runs it.
-- @param context of the command
-- @param run { split, path, trace_path, calls, fault }
-- @param store
-- @return figures; or nil and a sentence
function burst.run(context, run, store)
  local self = setmetatable({
    context = context, run = run, store = store, sessions = {}, done = 0,
    writes = trace.writes(run.calls, STEPS),
  }, Burst)
  for number = 1, SESSIONS do
    self.sessions[number] = {
      model = reference_model.new(run.split), modelled = 0, done = 0, begun = 0,
    }
  end
  local is_done, message = import_sessions(self)
  if not is_done then return nil, message end
  self.server_pid, message = server_pid(self)
  if not self.server_pid then return nil, message end
  local counts
  counts, message = write_and_kill(self)
  if not counts then return nil, message end
  local figures
  figures, message = check_all(self)
  if not figures then return nil, message end
  is_done, message = enough("the server", self.server_kill.unacknowledged)
  if is_done then is_done, message = enough("the writer", counts.unacknowledged) end
  if not is_done then return nil, message end
  figures.sessions, figures.writes = SESSIONS, SESSIONS * STEPS
  figures.server_kill = {
    unacknowledged = self.server_kill.unacknowledged,
    acknowledged_later = self.server_kill.acknowledged,
    back_ms = self.server_kill.back_ms,
  }
  figures.writer_kill = {
    unacknowledged = counts.unacknowledged, took_effect = counts.applied,
    did_not = counts["not"], in_part = counts.torn,
  }
  figures.lost = figures.lost + counts.torn
  return figures
end

return burst
