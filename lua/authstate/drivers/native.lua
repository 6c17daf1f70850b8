-- SPDX-License-Identifier: MIT
--- The driver of plain LuaJIT: an engine of a store, whose sockets the loop of the Lua
-- state holds. In a task a call waits by yielding; elsewhere it blocks.

local clock = require "authstate.clock"
local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local entropy = require "authstate.entropy"
local new_table = require "table.new"
local observer = require "authstate.observer"
local scheduler = require "authstate.scheduler"

local library = core_ffi.library

local Native = { __name = "authstate.native" }
Native.__index = Native

local native = {}

-- How many completions the engine hands out at once.
local DRAINED = 256

-- A number for the engine's dice.
local function seed()
  local number = 0
  for _, byte in ipairs { entropy.bytes(6):byte(1, 6) } do
    number = number * 256 + byte
  end
  return number
end

-- A Redis without TLS waits in silence for the end of what it takes for a command.
local CONNECT_HINT = "; perhaps the port is one without TLS (redis://)"

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
  local config, server = self.config, self.server
  local max_age_ms = server.socket.max_age_ms
  self.engine = assert(core.engine {
    pool_size = config.pool_size or 1,
    batch_size = config.batch_size or 1,
    batch_window_ms = config.batch_window_ms or 0,
    max_operations = config.max_operations,
    max_queued_bytes = config.max_queued_bytes,
    max_value_bytes = config.max_value_bytes,
    max_age_ms = max_age_ms and max_age_ms > 0 and max_age_ms or math.huge,
    connect_timeout_ms = server.socket.connect_timeout_ms,
    connect_hint = self.config.tls and CONNECT_HINT,
    health_timeout_ms = server.socket.health_timeout_ms,
    retries = not config.is_apart,
    quarantine_ms = server.socket.quarantine_ms,
    seed = seed(),
    database = server.database,
    user = server.username,
    password = server.password,
    scripts = config.scripts,
    check_ms = config.check_ms,
    probe_prefix = config.probe_prefix,
  })
  self.engine:measure(config.measured)
  self.pointer = core_ffi.engine(self.engine:address())
  self.unfinished = self.engine:address()
  self.losses = 0
  self.waiters = {}  -- by slot: the task that waits, what `block` waits for, or false
  self.requests = {} -- by slot: those of `perform`
  self.verdicts = {} -- by slot: what those get that wait in vain
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
  if self.near then self.near:turn(engine) end
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
local function await(self, slot)
  local task = scheduler.running()
  if not task or self.config.is_apart then return block(self, slot) end
  self.waiters[slot] = task
  task.driver, task.slot = self, slot
  return scheduler.park(task, cancel_operation)
end

-- What an operation gets that was given up. A write that was sent may have taken effect.
local function judge(verdict, facts, is_write)
  local code, is_sent = verdict.code, facts.attempts > 0
  facts.is_unknown = is_write and is_sent
  if code == "unavailable" and is_sent then code = "timeout" end
  return nil, verdict.message, code, facts
end

-- The outcome of a slot whose operation failed, or must be taken.
-- @return true and facts; or nil, message, code, facts, and the slot is released
local function ask_outcome(self, slot, is_write)
  local code, message, attempts, elapsed_ms, was_put_off = self.engine:outcome(slot)
  local facts = { attempts = attempts, elapsed_ms = elapsed_ms, retry = was_put_off }
  local verdict = self.verdicts[slot]
  self.verdicts[slot] = nil
  if not code then return true, facts end
  self.engine:release(slot)
  if verdict then return judge(verdict, facts, is_write) end
  if is_write then
    -- It may have taken effect the first time, whatever the server says the second time.
    local is_given_up = code == "cancelled" or code == "timeout"
    facts.is_unknown = attempts > (is_given_up and 0 or 1)
  end
  return nil, message, code, facts
end

-- ---- operations -----------------------------------------------------------------------

local CLOSED = "the store is closed"

-- The store was closed under a call that had submitted something.
local function lost_by_closing(is_write)
  return nil, CLOSED, "closed", { attempts = 1, is_unknown = is_write }
end

-- What is to be said when the queue is full.
local function overload(self)
  local now, config = self.engine:statistics(), self.config
  return ("the queue is full: %.0f operations and %.0f bytes wait; queue_max_operations "
    .. "is %.0f, queue_max_bytes %.0f"):format(now.queued_operations, now.queued_bytes,
    config.max_operations, config.max_queued_bytes)
end

--- What is to be said of a session that refuses writes.
-- @param lane of the session, or nil
-- @return a sentence, with how much longer
function Native:refusal(lane)
  local left_ms = lane and lane:quarantine_ms(clock.now_ms()) or
    self.server.socket.quarantine_ms
  return ("a connection was lost amid writes of this session, and the server does not "
    .. "let us end it (CLIENT KILL): for %.0f ms more, writes are not sent")
    :format(left_ms)
end

-- Submits by `submit(self, request)`. A lone caller looks first whether replies that
-- nobody waits for have made room.
-- @return slot; or nil, message, code
local function submit_or_make_room(self, submit, request)
  local slot, message, code = submit(self, request)
  if slot then return slot end
  if code == "overloaded" and not scheduler.has_tasks() then
    self.latest_ms = request.deadline_ms
    self.loop:step(0)
    self:deliver()
    self.latest_ms = nil
    slot, message, code = submit(self, request)
  end
  if code == "overloaded" then message = overload(self) end
  if code == "unavailable" then message = self:refusal(request.lane) end
  return slot, message, code
end

-- Whether the server was not there yet, nothing was sent, and somebody brings it back.
local function may_begin_again(self, request, code, facts)
  local is_away = code == "unavailable" or code == "loading"
  return is_away and self.keeper and not self.trouble and facts.attempts == 0 and
    clock.now_ms() < request.deadline_ms
end

-- A call in a task that was cancelled, or of a store that is closed, or that cannot be
-- begun. True; or nil, message, code, facts.
local function begin_call(self)
  if not self.engine or self.is_closing then
    return nil, CLOSED, "closed", { attempts = 0 }
  end
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

-- As `take`; the time is noted for who observes the request.
local function take_observed(self, slot, request, take)
  if not request.operation then return take(self, slot, request) end
  local started_ms = clock.now_ms()
  local result, reason, reply, element = take(self, slot, request)
  observer.add_decoding(request.operation, clock.now_ms() - started_ms)
  return result, reason, reply, element
end

-- As ask_outcome; what is known of times is noted for who observes the request.
local function ask_observed_outcome(self, slot, request)
  if not request.operation then return ask_outcome(self, slot, request.is_write) end
  local wait_ms, bytes = self.engine:details(slot)
  local is_fine, message, code, facts = ask_outcome(self, slot, request.is_write)
  local elapsed_ms = (facts or message).elapsed_ms
  observer.add_request(request.operation, request, elapsed_ms, wait_ms, bytes)
  return is_fine, message, code, facts
end

-- Does an operation, again when nothing was sent and the server is brought back.
-- @param submit function(self, request) -> slot; or nil, message, code
-- @param take function(self, slot, request) -> result; or nil, message, reply, element
-- @return result, nil, nil, facts; or nil, message, code, facts
local function perform(self, request, submit, take)
  local is_begun, message, code, facts = begin_call(self)
  if not is_begun then return nil, message, code, facts end
  repeat
    local slot
    slot, message, code = submit_or_make_room(self, submit, request)
    if not slot then return nil, message, code, { attempts = 0 } end
    self.requests[slot] = request
    await(self, slot)
    self.requests[slot] = nil
    local is_fine
    if not self.engine then return lost_by_closing(request.is_write) end
    is_fine, message, code, facts = ask_observed_outcome(self, slot, request)
    if is_fine then
      facts = message
      local result, reason, reply, element = take_observed(self, slot, request, take)
      if result then return result, nil, nil, facts end
      facts.reply, facts.element = reply, element
      return nil, reason, "corrupt", facts
    end
  until not may_begin_again(self, request, code, facts)
  local trouble = self.trouble
  if code == "unavailable" and trouble and facts.attempts == 0 then
    message, code = trouble.message, trouble.code
  end
  return nil, message, code, facts
end

local function submit_commands(self, request)
  return self.engine:submit(clock.now_ms(), request.deadline_ms, request.atomic or false,
    request.commands, request.lane, request.is_write)
end

local function take_replies(self, slot, request)
  return self.engine:take(slot, unpack(request.shapes or {}))
end

--- Sends commands as one operation and waits for all their replies.
-- @param request { commands = list of lists of strings, atomic = boolean (MULTI and EXEC
--   around them), shapes = list (see core/binding/engine.h), deadline_ms = number,
--   is_write = boolean, lane = see `lane`, or nil, operation = who observes it (see
--   observer.lua), or nil }
-- @return list of replies, nil, nil, facts; or nil, message, code, facts with `attempts`
--   (0: never sent), `elapsed_ms`, `is_unknown` (a write that may have taken effect),
--   `retry` (the server said that it may do it later), and for a value that cannot be
--   opened `reply` and `element`
function Native:perform(request)
  return perform(self, request, submit_commands, take_replies)
end

local function submit_fields(self, request)
  return self.engine:read(request.lane, request.key, request.fields, request.generation,
    core.shapes[request.shape], request.deadline_ms)
end

local function take_fields(self, slot)
  local replies, message, reply, element = self.engine:take(slot)
  if replies then return replies[1] end
  return nil, message, reply, element
end

--- Reads fields of a hash in one step, joined with other reads of this turn.
-- @param request { lane, key, fields = list, generation = number (`fenced` when the
--   session has another one), shape = "raw", "value" or "json", deadline_ms }
-- @return list with a value for each field, holes for those that are absent; or nil,
--   message, code, facts
function Native:read(request)
  return perform(self, request, submit_fields, take_fields)
end

local function submit_write(self, request)
  return self.engine:write(request.lane, request.changes, request.deadline_ms)
end

local function take_version(self, slot)
  return self.engine:take(slot)
end

--- A plain write, joined with others of its lane in this turn.
-- @param request { lane, changes = { key, field, value, ... } (false: removes),
--   deadline_ms, is_write = true }
-- @return the version that it made; or nil, message, code, facts
function Native:write(request)
  return perform(self, request, submit_write, take_version)
end

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

--- What became of what was submitted the quick way and has no result.
-- @return false when it must be begun again, the other way; or nil, message, code, facts
function Native:finish_quickly(slot, timeout_ms, is_write)
  if not self.engine then return lost_by_closing(is_write) end
  local is_fine, message, code, facts = ask_outcome(self, slot, is_write)
  if not is_fine then
    local request = { deadline_ms = clock.now_ms() + timeout_ms - facts.elapsed_ms }
    if may_begin_again(self, request, code, facts) then return false end
    return nil, message, code, facts
  end
  -- A value that cannot be opened; or that could not be made then, and now can.
  local value, reason, reply, element = self.engine:take(slot)
  if value then return false end
  message.reply, message.element = reply, element
  return nil, reason, "corrupt", message
end

--- Turns the loop without waiting: what has come is known then. No effect before the
-- first operation.
function Native:pump()
  if not self.loop or self.is_closing then return end
  if self.loop:step(0) then self:deliver() end
end

--- Something that keeps the order of a session: what is submitted in it takes effect in
-- that order.
-- @param meta_key of the session, for the generation and the version
-- @return lane; or nil, message, code
function Native:lane(meta_key)
  if not self.engine then return nil, CLOSED, "closed" end
  return self.engine:lane(meta_key)
end

--- A hash for `read_field`; valid while its lane is held and the engine is the same.
function Native:hash(lane, key)
  if not self.engine then return nil, CLOSED, "closed" end
  local address, message, code = lane:hash(key)
  if not address then return nil, message, code end
  return core_ffi.hash(address)
end

--- Other histograms for the engine, from now on; nil: none.
function Native:measure(histograms)
  self.config.measured = histograms
  if self.engine then self.engine:measure(histograms) end
end

--- Other bounds, from now on: what was accepted stays, in its order.
-- @param bounds { batch_size, batch_window_ms, max_operations, max_queued_bytes }
function Native:set_bounds(bounds)
  local config = self.config
  for name, value in pairs(bounds) do config[name] = value end
  self.engine:set_bounds(config.batch_size or 1, config.batch_window_ms or 0,
    config.max_operations, config.max_queued_bytes)
end

--- Counters of the engine.
function Native:statistics()
  return self.engine:statistics()
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
