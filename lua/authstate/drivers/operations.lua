-- SPDX-License-Identifier: MIT
--- What every driver does with the engine of its store, whoever waits and however bytes
-- move: it submits an operation, waits, and says what became of it.
--
-- A driver takes over these methods and has of its own:
--
--     driver:enter() -> true | nil, message, code, facts
--         whether a call may begin now
--     driver:await(slot) -> result
--         waits until the operation of a slot has ended: the value of a field that was
--         read, nil when it is absent; or `driver.unfinished`
--     driver:make_room(request) -> boolean
--         the queue is full: whether it may be tried once more
--     driver:may_begin_again(request, code, facts) -> boolean
--         of a call that failed
-- @module authstate.drivers.operations

local clock = require "authstate.clock"
local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local entropy = require "authstate.entropy"
local observer = require "authstate.observer"

local Operations = {}

local operations = { methods = Operations }

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

--- Gives a driver a new engine that has no connection.
-- @param self driver with `config` (see native.new) and `server`
-- @param retries whether what the server says to do later is done again
function operations.begin(self, retries)
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
    connect_hint = config.tls and CONNECT_HINT,
    health_timeout_ms = server.socket.health_timeout_ms,
    retries = retries,
    longest_backoff_ms = self.longest_backoff_ms,
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
  self.waiters = {}  -- by slot: who waits, as the driver has it, or false
  self.requests = {} -- by slot: those of `perform`
  self.verdicts = {} -- by slot: what those get that wait in vain
end

-- ---- what became of an operation ------------------------------------------------------

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

local CLOSED = "the store is closed"

--- What a call of a closed store gets.
function operations.closed()
  return nil, CLOSED, "closed", { attempts = 0 }
end

-- The store was closed under a call that had submitted something.
local function lost_by_closing(is_write)
  return nil, CLOSED, "closed", { attempts = 1, is_unknown = is_write }
end

-- ---- operations -----------------------------------------------------------------------

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
function Operations:refusal(lane)
  local left_ms = lane and lane:quarantine_ms(clock.now_ms()) or
    self.server.socket.quarantine_ms
  return ("a connection was lost amid writes of this session, and the server does not "
    .. "let us end it (CLIENT KILL): for %.0f ms more, writes are not sent")
    :format(left_ms)
end

-- Submits by `submit(self, request)`.
-- @return slot; or nil, message, code
local function submit_or_make_room(self, submit, request)
  local slot, message, code = submit(self, request)
  if slot then return slot end
  if code == "overloaded" and self:make_room(request) then
    slot, message, code = submit(self, request)
  end
  if code == "overloaded" then message = overload(self) end
  if code == "unavailable" then message = self:refusal(request.lane) end
  return slot, message, code
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
  local is_begun, message, code, facts = self:enter()
  if not is_begun then return nil, message, code, facts end
  repeat
    local slot
    slot, message, code = submit_or_make_room(self, submit, request)
    if not slot then return nil, message, code, { attempts = 0 } end
    self.requests[slot] = request
    self:await(slot)
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
  until not self:may_begin_again(request, code, facts)
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
function Operations:perform(request)
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
function Operations:read(request)
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
function Operations:write(request)
  return perform(self, request, submit_write, take_version)
end

--- What became of what was submitted the quick way and has no result.
-- @return false when it must be begun again, the other way; or nil, message, code, facts
function Operations:finish_quickly(slot, timeout_ms, is_write)
  if not self.engine then return lost_by_closing(is_write) end
  local is_fine, message, code, facts = ask_outcome(self, slot, is_write)
  if not is_fine then
    local request = { deadline_ms = clock.now_ms() + timeout_ms - facts.elapsed_ms }
    if self:may_begin_again(request, code, facts) then return false end
    return nil, message, code, facts
  end
  -- A value that cannot be opened; or that could not be made then, and now can.
  local value, reason, reply, element = self.engine:take(slot)
  if value then return false end
  message.reply, message.element = reply, element
  return nil, reason, "corrupt", message
end

--- Something that keeps the order of a session: what is submitted in it takes effect in
-- that order.
-- @param meta_key of the session, for the generation and the version
-- @return lane; or nil, message, code
function Operations:lane(meta_key)
  if not self.engine then return nil, CLOSED, "closed" end
  return self.engine:lane(meta_key)
end

--- A hash for `read_field`; valid while its lane is held and the engine is the same.
function Operations:hash(lane, key)
  if not self.engine then return nil, CLOSED, "closed" end
  local address, message, code = lane:hash(key)
  if not address then return nil, message, code end
  return core_ffi.hash(address)
end

--- Other histograms for the engine, from now on; nil: none.
function Operations:measure(histograms)
  self.config.measured = histograms
  if self.engine then self.engine:measure(histograms) end
end

--- Other bounds, from now on: what was accepted stays, in its order.
-- @param bounds { batch_size, batch_window_ms, max_operations, max_queued_bytes }
function Operations:set_bounds(bounds)
  local config = self.config
  for name, value in pairs(bounds) do config[name] = value end
  if not self.engine then return end
  self.engine:set_bounds(config.batch_size or 1, config.batch_window_ms or 0,
    config.max_operations, config.max_queued_bytes)
end

--- Counters of the engine.
function Operations:statistics()
  return self.engine:statistics()
end

return operations
