-- SPDX-License-Identifier: MIT
--- The driver of plain LuaJIT: the engine behind an epoll loop in C. A call blocks until
-- its reply is there or its deadline is over.

local core = require "authstate.core"

local Native = { __name = "authstate.native" }
Native.__index = Native

local native = {}

-- No byte from the server for this long, while replies are owed: the connection is dead.
local HEALTH_TIMEOUT_MS = 10000

--- A driver for one server. Does no I/O; the first `perform` connects.
-- @param config { server (see options.check), scripts = list of sources,
--   max_operations, max_queued_bytes, max_value_bytes,
--   keeper = who brings the server back when it is dead (see embedded.lua), or nil }
function native.new(config)
  local self = setmetatable({
    config = config, server = config.server, keeper = config.keeper,
  }, Native)
  self:begin()
  return self
end

--- Begins with an engine of its own and no connection; what the old one had is closed
-- here, without a word to the server. After a fork the child must not share the parent's.
function Native:begin()
  if self.loop then self.loop:close() end
  if self.engine then self.engine:close() end
  local config, server = self.config, self.server
  self.loop = nil
  self.engine = assert(core.engine {
    pool_size = 1,
    max_operations = config.max_operations,
    max_queued_bytes = config.max_queued_bytes,
    max_value_bytes = config.max_value_bytes,
    connect_timeout_ms = server.socket.connect_timeout_ms,
    health_timeout_ms = HEALTH_TIMEOUT_MS,
    database = server.database,
    user = server.username,
    password = server.password,
    scripts = config.scripts,
  })
  self.requests = {} -- by slot: those that wait
  self.verdicts = {} -- by slot: what those get that wait in vain
  self.tasks = {}    -- coroutines of `together`
  self.sleepers = {} -- by slot: the one of them that waits
  self.early = {}    -- by slot: what ended while another call held the loop
end

--- Milliseconds of a monotonic clock.
native.now_ms = core.now_ms

local function open_loop(self)
  local server = self.server
  local loop, message, code = core.loop(self.engine, {
    path = server.path,
    host = server.host,
    port = server.port and tostring(server.port),
    no_delay = server.socket.no_delay,
    keep_alive = server.socket.keep_alive,
  })
  if not loop then return nil, message, code end
  self.loop = loop
  return loop
end

-- Ends a request that waits, with another verdict than the engine's.
local function give_up(self, slot, message, code)
  self.verdicts[slot] = { message = message, code = code }
  self.engine:cancel(slot, core.now_ms())
end

-- Whether a request cannot be saved by waiting. A write that died with the server's disk
-- has one more chance, since what made the server die may be over, or the write of
-- another process.
local function is_hopeless(request, code, details)
  if code ~= "disk" then return not details.retry end
  if not request.is_write then return false end
  request.disk_deaths = (request.disk_deaths or 0) + 1
  return details.is_full or request.disk_deaths > 1
end

-- A connection was lost or could not be made: brings the server back when it is dead, and
-- ends the requests that this does not help.
local function revive(self)
  local deadline_ms = self.latest_ms or math.huge
  for _, request in pairs(self.requests) do
    deadline_ms = math.min(deadline_ms, request.deadline_ms)
  end
  local is_up, message, code, details = self.keeper:revive(deadline_ms)
  self.trouble = nil
  if is_up then return end
  if not details.retry then self.trouble = { message = message, code = code } end
  for slot, request in pairs(self.requests) do
    if is_hopeless(request, code, details) then give_up(self, slot, message, code) end
  end
end

local function turn(self, timeout_ms)
  local losses, reason = self.loop:step(timeout_ms)
  if not losses then error("authstate: epoll_wait failed: " .. reason) end
  if losses > 0 and self.keeper then revive(self) end
end

-- Turns the loop until some operation has ended.
-- @return its slot, its code and message when it failed, facts
local function next_completion(self)
  while true do
    local slot, code, message, attempts, elapsed_ms = self.engine:next_completion()
    if slot then
      return slot, code, message, { attempts = attempts, elapsed_ms = elapsed_ms }
    end
    turn(self, math.huge)
  end
end

-- Waits until the operation of `slot` has ended. Among tasks, another one goes on
-- meanwhile.
local function wait(self, slot)
  local task = coroutine.running()
  if task and self.tasks[task] then
    self.sleepers[slot] = task
    return coroutine.yield()
  end
  while true do
    local done, code, message, facts = next_completion(self)
    if done == slot then return code, message, facts end
    if self.sleepers[done] then self.early[done] = { code, message, facts } end
  end
end

-- What a request gets that was given up. One that was sent may have taken effect.
local function judge(verdict, facts)
  local code = verdict.code
  facts.is_unknown = facts.attempts > 0
  if code == "unavailable" and facts.is_unknown then code = "timeout" end
  return nil, verdict.message, code, facts
end

local function submit(self, request)
  return self.engine:submit(core.now_ms(), request.deadline_ms, request.atomic or false,
    request.commands)
end

-- Sends a request once and waits for it; see perform.
local function perform_once(self, request)
  local slot, message, code = submit(self, request)
  if code == "overloaded" then
    -- Replies that nobody waits for may be there by now and make room.
    self.latest_ms = request.deadline_ms
    turn(self, 0)
    self.latest_ms = nil
    slot, message, code = submit(self, request)
  end
  if not slot then return nil, message, code, { attempts = 0 } end
  self.requests[slot] = request
  local facts
  code, message, facts = wait(self, slot)
  self.requests[slot] = nil
  local verdict = self.verdicts[slot]
  self.verdicts[slot] = nil
  if code then
    self.engine:release(slot)
    if verdict then return judge(verdict, facts) end
    return nil, message, code, facts
  end
  local replies, reason, reply, element =
    self.engine:take(slot, unpack(request.shapes or {}))
  if replies then return replies, nil, nil, facts end
  facts.reply, facts.element = reply, element
  return nil, reason, "corrupt", facts
end

-- Whether the server was not there yet, nothing was sent, and somebody brings it back.
local function may_begin_again(self, request, code, facts)
  local is_away = code == "unavailable" or code == "loading"
  return is_away and self.keeper and not self.trouble and facts.attempts == 0 and
    core.now_ms() < request.deadline_ms
end

--- Sends commands as one operation and waits for all their replies.
-- @param request { commands = list of lists of strings, atomic = boolean (MULTI and EXEC
--   around them), shapes = list (see core/binding/engine.h), deadline_ms = number,
--   is_write = boolean }
-- @return list of replies, nil, nil, facts; or nil, message, code, facts with `attempts`
--   (0: never sent), `elapsed_ms`, `is_unknown` (sent, and given up without a reply), and
--   for a value that cannot be opened `reply` and `element`
function Native:perform(request)
  if not self.engine then
    return nil, "the store is closed", "closed", { attempts = 0 }
  end
  if not self.loop then
    local loop, message, code = open_loop(self)
    if not loop then return nil, message, code, { attempts = 0 } end
  end
  local replies, message, code, facts
  repeat
    replies, message, code, facts = perform_once(self, request)
  until replies or not may_begin_again(self, request, code, facts)
  local trouble = self.trouble
  if code == "unavailable" and trouble and facts.attempts == 0 then
    message, code = trouble.message, trouble.code
  end
  return replies, message, code, facts
end

-- Lets a task go on. Whether it has ended, and its error if it raised one.
local function resume(self, task, ...)
  local is_fine, message = coroutine.resume(task, ...)
  if coroutine.status(task) ~= "dead" then return false end
  self.tasks[task] = nil
  return true, not is_fine and debug.traceback(task, tostring(message)) or nil
end

--- Runs functions together, each a task: while one waits for a reply, the others go on,
-- and what they send leaves together. Returns when all have ended; raises the first error
-- of one then.
function Native:together(functions)
  local running, first_error = 0, nil
  local function go_on(task, ...)
    local has_ended, message = resume(self, task, ...)
    if has_ended then running = running - 1 end
    first_error = first_error or message
  end
  for _, each in ipairs(functions) do
    local task = coroutine.create(each)
    self.tasks[task] = true
    running = running + 1
    go_on(task)
  end
  while running > 0 do
    local slot, early = next(self.early)
    local code, message, facts
    if slot then
      self.early[slot] = nil
      code, message, facts = unpack(early, 1, 3)
    else
      slot, code, message, facts = next_completion(self)
    end
    local task = self.sleepers[slot]
    self.sleepers[slot] = nil
    if task then go_on(task, code, message, facts) end
  end
  if first_error then error(first_error, 0) end
end

--- Counters of the engine.
function Native:statistics()
  return self.engine:statistics()
end

--- Closes the sockets. Every later call answers `closed`.
function Native:close()
  if self.loop then self.loop:close() end
  if self.engine then self.engine:close() end
  self.loop, self.engine = nil, nil
end

return native
