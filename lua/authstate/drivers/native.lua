-- SPDX-License-Identifier: MIT
--- The driver of plain LuaJIT: an engine of a store, whose sockets the loop of the Lua
-- state holds. In a task a call waits by yielding; elsewhere it blocks. What it does with
-- the engine besides is in operations.lua.

local clock = require "authstate.clock"
local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local new_table = require "table.new"
local operations = require "authstate.drivers.operations"
local scheduler = require "authstate.scheduler"

local library = core_ffi.library

local Native = { __name = "authstate.native" }
Native.__index = Native
for name, method in pairs(operations.methods) do Native[name] = method end

local native = {}

-- How many completions the engine hands out at once.
local DRAINED = 256

--- A driver for one server. Does no I/O; the first operation connects.
-- @param config { server (see options.check), tls (see tls.lua), scripts = list of
--   sources, pool_size, batch_size, batch_window_ms, max_operations, max_queued_bytes,
--   max_value_bytes, check_ms and probe_prefix (see core/engine/tracking.h; nil: nothing
--   is watched), measured = histograms for the engine (core.histograms), or nil,
--   keeper = who brings the server back when it is dead (see embedded.lua), or nil,
--   is_apart = true: has a loop of its own and always blocks }
function native.new(config)
  local self = setmetatable({
    config = config, server = config.server, keeper = config.keeper,
  }, Native)
  self:begin()
  return self
end

-- Closes the engine and its sockets, without a word to the server.
local function drop_engine(self)
  if self.loop then scheduler.remove(self) end
  if self.engine then self.engine:close() end
  if self.loop and self.config.is_apart then self.loop:close() end
  self.engine, self.loop, self.pointer = nil, nil, nil
end

--- Begins with an engine of its own and no connection. After a fork the child must not
-- share the parent's.
function Native:begin()
  drop_engine(self)
  operations.begin(self, not self.config.is_apart)
  self.losses = 0
  self.drained = new_table(2 * DRAINED, 0) -- used again by each `deliver`
end

--- Milliseconds of a monotonic clock.
function native.now_ms()
  return clock.now_ms()
end

-- Takes part in the turns of the loop. True; or E without details.
local function attach(self)
  local loop, message, code
  if self.config.is_apart then
    loop, message, code = core.loop()
  else
    loop, message, code = scheduler.loop()
  end
  if not loop then return nil, message, code end
  local server = self.server
  local is_attached
  is_attached, message, code = loop:attach(self.engine, {
    path = server.path,
    host = server.host,
    port = server.port and tostring(server.port),
    tls = self.config.tls,
    no_delay = server.socket.no_delay,
    keep_alive = server.socket.keep_alive,
  })
  if not is_attached then return nil, message, code end
  self.loop = loop
  if not self.config.is_apart then scheduler.add(self) end
  return true
end

-- ---- a server that is dead ------------------------------------------------------------

-- Ends an operation that waits, with another verdict than the engine's.
local function give_up(self, slot, message, code)
  self.verdicts[slot] = { message = message, code = code }
  self.engine:cancel(slot, clock.now_ms())
end

-- Whether an operation cannot be saved by waiting. A write that died with the server's
-- disk has one more chance, since what made the server die may be over, or the write of
-- another process.
local function is_hopeless(request, code, details)
  if code ~= "disk" then return not details.retry end
  if not (request and request.is_write) then return false end
  request.disk_deaths = (request.disk_deaths or 0) + 1
  return details.is_full or request.disk_deaths > 1
end

-- When the first of those who wait must be answered. Their operations may have ended.
local function first_deadline_ms(self)
  local first_ms = math.min(self.latest_ms or math.huge, self.engine:first_deadline_ms())
  for _, request in pairs(self.requests) do
    first_ms = math.min(first_ms, request.deadline_ms)
  end
  return first_ms
end

-- A connection was lost or could not be made: brings the server back when it is dead, and
-- ends the operations that this does not help.
local function revive(self, deadline_ms)
  local is_up, message, code, details = self.keeper:revive(deadline_ms)
  self.trouble = nil
  if is_up then return end
  if not details.retry then self.trouble = { message = message, code = code } end
  for slot, waiter in pairs(self.waiters) do
    if waiter and is_hopeless(self.requests[slot], code, details) then
      give_up(self, slot, message, code)
    end
  end
end

-- ---- waiting --------------------------------------------------------------------------

local function tell(waiter, result)
  if waiter.is_blocked then
    waiter.result, waiter.is_answered = result, true
  else
    scheduler.wake(waiter, result)
  end
end

--- After a turn of the loop: hands out what has ended. For the scheduler.
function Native:deliver()
  local engine, out, waiters = self.engine, self.drained, self.waiters
  if self.near then self.near:turn(engine, self.loop:looked_ms()) end
  if self.keeper then
    local losses = self.loop:losses(engine)
    local deadline_ms = losses > self.losses and first_deadline_ms(self) or math.huge
    -- When nobody waits, there is time until somebody does.
    if deadline_ms < math.huge then
      self.losses = losses
      revive(self, deadline_ms)
    end
  end
  repeat
    -- It raises where a value cannot be made: without memory, or when a finalizer of the
    -- program's raises. What was put out before is told; who waits for that value asks.
    local is_whole, count = pcall(engine.drain, engine, out)
    if not is_whole then count = engine:drained() end
    for i = 1, 2 * count, 2 do
      local slot, result = out[i], out[i + 1]
      local waiter = waiters[slot]
      waiters[slot] = false
      if waiter then
        tell(waiter, result)
      elseif result == self.unfinished then
        engine:release(slot)
      end
    end
  until is_whole and count < DRAINED
end

local function is_answered(waiter)
  return waiter.is_answered
end

-- Waits outside of tasks. Its slot may be another one's before it goes on: what it waits
-- for is its own.
local function block(self, slot)
  local waiter = { is_blocked = true, is_answered = false, result = nil }
  self.waiters[slot] = waiter
  if self.config.is_apart or not scheduler.has_tasks() then
    local loop, engine = self.loop, self.engine
    repeat
      local is_turned, message = loop:wait_one(engine, math.huge)
      if not is_turned then error("authstate: epoll_wait failed: " .. message) end
      self:deliver()
    until waiter.is_answered
  else
    scheduler.drive(is_answered, waiter)
  end
  return waiter.result
end

local function cancel_operation(task)
  task.driver.engine:cancel(task.slot, clock.now_ms())
end

-- Waits until the operation of a slot has ended.
-- @return the value of a field that was read, nil when it is absent; or self.unfinished
function Native:await(slot)
  local task = scheduler.running()
  if not task or self.config.is_apart then return block(self, slot) end
  self.waiters[slot] = task
  task.driver, task.slot = self, slot
  return scheduler.park(task, cancel_operation)
end

-- ---- what operations.lua asks of a driver ---------------------------------------------

--- Why nothing can be asked here: everything can.
function Native.complaint() end

--- To connect ahead of the first call is for nginx.
function Native.warm_up()
  return true
end

--- A call begins. True; or nil, message, code, facts when its task was cancelled, or the
-- store is closed, or it cannot be begun.
function Native:enter()
  if not self.engine or self.is_closing then return operations.closed() end
  if not self.loop then
    local is_attached, message, code = attach(self)
    if not is_attached then return nil, message, code, { attempts = 0 } end
  end
  local task = scheduler.current()
  if task and not self.config.is_apart and scheduler.is_cancelled(task) then
    return nil, "the task was cancelled", "cancelled", { attempts = 0 }
  end
  return true
end

--- The queue is full. A lone caller looks whether replies that nobody waits for have made
-- room; whether it may try once more.
function Native:make_room(request)
  if scheduler.has_tasks() then return false end
  self.latest_ms = request.deadline_ms
  self.loop:step(0)
  self:deliver()
  self.latest_ms = nil
  return true
end

--- Whether the server was not there yet, nothing was sent, and somebody brings it back.
function Native:may_begin_again(request, code, facts)
  local is_away = code == "unavailable" or code == "loading"
  return is_away and self.keeper and not self.trouble and facts.attempts == 0 and
    clock.now_ms() < request.deadline_ms
end

-- ---- the quick way --------------------------------------------------------------------

-- Notes who waits for what was submitted the quick way.
local function note_waiter(self, slot, task)
  if not task then return slot end
  self.waiters[slot] = task
  task.driver, task.slot, task.cancel_wait = self, slot, cancel_operation
  return slot, task
end

-- Whether a call can go the quick way, and the task that makes it.
local function begin_quickly(self)
  if not self.loop or self.is_closing then return false end
  local task = scheduler.current()
  if task and task.is_cancelled then return false end
  return true, scheduler.running()
end

--- Submits the read of one field, the quick way: no table is made.
-- @param hash see `hash`
-- @param field string
-- @param generation number, as in `read`
-- @param shape a number of core.shapes
-- @param timeout_ms of the call
-- @return slot and the task, which must yield scheduler.PARKED to get the result; or slot
--   alone, and `block` gives it; or nil when this way does not go. The result is the
--   value, nil when it is absent, or `unfinished`: then `finish_quickly` tells
function Native:submit_read(hash, field, generation, shape, timeout_ms)
  local is_begun, task = begin_quickly(self)
  if not is_begun then return nil end
  local slot = library.authstate_read(self.pointer, hash, field, #field, generation,
    shape, timeout_ms)
  if slot < 0 then return nil end
  return note_waiter(self, slot, task)
end

--- Submits a plain write of one field, the quick way.
-- @return as `submit_read`; the result is the version
function Native:submit_set(hash, field, value, timeout_ms)
  local is_begun, task = begin_quickly(self)
  if not is_begun then return nil end
  local slot = library.authstate_set(self.pointer, hash, field, #field, value, #value,
    timeout_ms)
  if slot < 0 then return nil end
  return note_waiter(self, slot, task)
end

--- Waits outside of tasks for what was submitted.
Native.block = block

--- Turns the loop without waiting. Whether all is known then that has come; not before
-- the first operation.
function Native:pump()
  if not self.loop or self.is_closing then return false end
  if not self.loop:step(0) then return false end
  self:deliver()
  return true
end

local function has_waiters(self)
  for _, waiter in pairs(self.waiters) do
    if waiter then return true end
  end
  return false
end

local function is_drained(self)
  return not has_waiters(self)
end

--- Closes the sockets. Every later call answers `closed`; what other tasks have submitted
-- is answered first, or reaches its deadline. A task that is cancelled meanwhile does not
-- wait for that: theirs answer `closed` too, and may have taken effect.
function Native:close()
  self.is_closing = true
  local task = scheduler.running()
  if task then
    while has_waiters(self) and not task.is_cancelled and scheduler.sleep(1) do end
  elseif self.loop and scheduler.has_tasks() and not self.config.is_apart then
    scheduler.drive(is_drained, self)
  end
  local waiters = self.waiters
  drop_engine(self)
  for _, waiter in pairs(waiters) do
    if waiter then tell(waiter, self.unfinished) end
  end
end

return native
