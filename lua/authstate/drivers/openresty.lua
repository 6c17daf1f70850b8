-- SPDX-License-Identifier: MIT
--- The driver of nginx: an engine of a store, whose sockets are cosockets.
--
-- A cosocket belongs to the request that made it, so each connection lives in a timer,
-- which is a request of its own, with two light threads: one reads, one writes. Another
-- timer has the pump, which sees to times and to what the engine wants done. A request
-- that waits for an answer waits for a semaphore of its own:
--
--     request ---submit, ring---> pump ---bell---> writer ---> Redis
--       ^                                                        |
--       +---bell--- hand_out <---------- reader <----------------+
--
-- nginx handles what a semaphore wakes after all sockets of its turn, so what the
-- requests of one turn submit leaves together.
--
-- A request can vanish wherever it waits: its client is gone, or another of its light
-- threads has called ngx.exit. Its operation then ends as ever, and nobody is told. What
-- must not be left half done is the crew's (openresty/crew.lua).
--
-- Nothing here happens before the first use in a worker: stores are made in init_by_lua
-- too, before workers are forked.

local clock = require "authstate.clock"
local core_ffi = require "authstate.core_ffi"
local here = require "authstate.openresty.here"
local log = require "authstate.log"
local new_table = require "table.new"
local operations = require "authstate.drivers.operations"
local process = require "authstate.process"
local scheduler = require "authstate.scheduler"

local ngx = rawget(_G, "ngx") -- nil in a plain LuaJIT

local openresty = { is_here = here.is_here }

if not ngx then return openresty end

local bell = require "authstate.openresty.bell"
local connections = require "authstate.openresty.connection"
local lifetime = require "authstate.openresty.lifetime"
local lookouts = require "authstate.openresty.lookout"
local phases = require "authstate.openresty.phases"
local prompt_timer = require "authstate.openresty.prompt_timer"
local threads = require "authstate.openresty.threads"

for name, fn in pairs(threads) do scheduler[name] = fn end

-- In the error log, with the time and the request.
local LEVELS = {
  error = ngx.ERR, warn = ngx.WARN, info = ngx.INFO, debug = ngx.NOTICE,
  verbose = ngx.NOTICE,
}

function log.write(level, message)
  ngx.log(LEVELS[level], "authstate: ", message)
end

local library = core_ffi.library

local Driver = { __name = "authstate.openresty" }
Driver.__index = Driver
for name, method in pairs(operations.methods) do Driver[name] = method end

-- Many requests wait for a server that comes back, and another attempt to connect costs
-- little beside them.
Driver.longest_backoff_ms = 50

local WEAK = { __mode = "v" }

-- How many completions the engine hands out at once.
local DRAINED = 256

-- How often the pump looks for requests that have vanished.
local SWEEP_MS = 1000

-- How often requests look that wait while there is no pump yet.
local WATCH_S = 0.05

local MAX_IDLE = 1024

-- Waiters that can be used again: { bell, result }.
local idle, idle_count = {}, 0

local function new_waiter()
  local waiter = idle[idle_count]
  if not waiter then
    return {
      bell = bell.new(), result = nil, is_told = false, sweeps = 0, stands_in = false,
    }
  end
  idle[idle_count], idle_count = nil, idle_count - 1
  return waiter
end

-- Whether the one who waits has not vanished.
local function is_there(waiter)
  return waiter.stands_in or bell.is_waited_for(waiter.bell)
end

-- The one who waited has its answer.
local function reuse(waiter)
  waiter.result, waiter.is_told, waiter.sweeps = nil, false, 0
  if idle_count < MAX_IDLE then
    idle_count = idle_count + 1
    idle[idle_count] = waiter
  end
end

-- ---- beginning ------------------------------------------------------------------------

--- A driver for one server. Does nothing before its first use in a worker. Its timers
-- would keep it for ever: when it is given an `owner`, a weak list of one, they let go of
-- its connections after the owner was collected.
-- @param config see native.new
function openresty.new(config)
  return setmetatable({
    config = config, server = config.server,
    near = nil, -- see coherence.lua; until the first use, then
    view = {},  -- it alone, if there is one
  }, Driver)
end

--- Forgets what was before a fork. The engine is made at the first use.
function Driver:begin()
  self.connections = nil -- the sockets are the parent's
  if self.engine then self.engine:close() end
  if self.lookout then self.lookout:close() end
  self.engine, self.pointer, self.process, self.lookout = nil, nil, nil, nil
  self.bell, self.pump_timer, self.is_pumping = nil, nil, false
end

-- What a near cache needs to be served. Without it there is none, which is said. (Nor is
-- there for a single request.)
local function begin_lookout(self)
  local near = self.view[1]
  if not near then return end
  local reason
  self.lookout, reason = lookouts.new()
  if not self.lookout then near:give_up(reason) end
end

-- An engine of this process. False when the store is closed.
local function ensure_engine(self)
  if self.is_closing then return false end
  if self.process == process.number() then return true end
  self:begin()
  if not lifetime.note_state() then self.near, self.config.check_ms = nil, nil end
  -- Timers keep this for ever, and the near cache knows the store, which must not be.
  if self.near then self.view, self.near = setmetatable({ self.near }, WEAK), nil end
  operations.begin(self, true)
  self.process = process.number()
  self.connections = {}      -- by number
  self.handed = {}           -- by slot: those that were told to ask for their answer
  self.awaited = 0           -- how many wait
  self.is_rung = false
  self.looks_ms = 0          -- when the pump will look; 0: as soon as it can
  self.swept_ms = 0
  self.used_ms = clock.now_ms()
  self.pool_size = self.config.pool_size or 1
  self.drained = new_table(2 * DRAINED, 0)
  begin_lookout(self)
  return true
end

-- ---- handing out ----------------------------------------------------------------------

-- Tells the one who waits for a slot. Whose request has vanished needs no answer.
local function tell(self, slot, waiter, result)
  local is_whole = result ~= self.unfinished
  if not is_there(waiter) then
    if not is_whole and self.engine then self.engine:release(slot) end
    return
  end
  waiter.result, waiter.is_told = result, true
  if not waiter.stands_in then waiter.bell:post(1) end
  if not is_whole then self.handed[slot] = waiter end
end

-- Hands out what has ended.
local function hand_out(self)
  local engine, out, waiters = self.engine, self.drained, self.waiters
  local near = self.view[1]
  if near then near:turn(engine) end
  if not engine:has_completions() then return end
  repeat
    -- It raises where a value cannot be made; see native.lua.
    local is_whole, count = pcall(engine.drain, engine, out)
    if not is_whole then count = engine:drained() end
    for i = 1, 2 * count, 2 do
      local slot, result = out[i], out[i + 1]
      local waiter = waiters[slot]
      waiters[slot], out[i + 1] = false, false
      if waiter then
        self.awaited = self.awaited - 1
        tell(self, slot, waiter, result)
      elseif result == self.unfinished then
        engine:release(slot)
      end
    end
  until is_whole and count < DRAINED
end

-- Frees the slots of requests that have vanished. Who was told goes on in the same turn
-- of nginx, so long before the third sweep.
local function sweep(self, now_ms)
  self.swept_ms = now_ms
  for slot, waiter in pairs(self.handed) do
    waiter.sweeps = waiter.sweeps + 1
    if waiter.sweeps == 3 then
      self.handed[slot] = nil
      self.engine:release(slot)
    end
  end
  for slot, waiter in pairs(self.waiters) do
    if waiter and not is_there(waiter) then
      self.waiters[slot] = false
      self.awaited = self.awaited - 1
      self.engine:cancel(slot, now_ms)
    end
  end
end

-- ---- what the engine wants done -------------------------------------------------------

-- Wakes the light threads that have something to write.
local function wake_writers(self)
  local engine = self.engine
  for number, connection in pairs(self.connections) do
    if connection.is_resting and #engine:next_write(number, 1) > 0 then
      connection:wake()
    end
  end
end

local function obey(self)
  local engine = self.engine
  local kind, number = engine:next_action()
  while kind do
    local connection, reason = self.connections[number], "closed"
    if kind == "connect" then
      connection, reason = connections.open(self, number)
      self.connections[number] = connection
    elseif connection and not connection:lose(reason) then
      self.connections[number], connection = nil, nil
    end
    if not connection then engine:on_closed(number, reason, clock.now_ms()) end
    kind, number = engine:next_action()
  end
end

--- Something has happened: does what the engine wants done, but with the sockets, which
-- are others'. The pump may have to look sooner than it meant to.
function Driver:attend()
  if not self.engine then return end
  obey(self)
  wake_writers(self)
  hand_out(self)
  if self.is_rung or not self.bell or not self.engine then return end
  if self.engine:deadline_ms() < self.looks_ms then
    self.is_rung = true
    self.bell:post(1)
  end
end

--- A connection is open: where something may come that a near cache must know, it is
-- looked at. Messages come to the subscriber, behind those of the pool; what was read
-- over one of the pool is not watched any more when that ends.
function Driver:on_open(connection)
  if not self.lookout then return end
  local is_added, reason =
    self.lookout:add(connection, connection.number < self.pool_size and "end" or "bytes")
  local near = self.view[1]
  if not is_added and near then near:give_up(reason) end
end

--- A connection is closed. No effect when the engine was told, or is another one.
function Driver:on_lost(connection)
  local number = connection.number
  if self.engine ~= connection.engine or self.connections[number] ~= connection then
    return
  end
  self.connections[number] = nil
  if self.lookout then self.lookout:remove(connection) end
  self.engine:on_closed(number, connection.reason, clock.now_ms())
  self:attend()
end

-- Those that nginx will never begin are closed.
local function close_dropped(self, now_ms)
  for number, connection in pairs(self.connections) do
    if connection:is_dropped(now_ms) then
      self.connections[number] = nil
      self.engine:on_closed(number, prompt_timer.DROPPED, now_ms)
    end
  end
end

-- Lets the connections go, whatever they do.
local function drop_connections(self, reason)
  for number, connection in pairs(self.connections) do
    self.connections[number] = nil
    if self.lookout then self.lookout:remove(connection) end
    connection:lose(reason)
    self.engine:on_closed(number, reason, clock.now_ms())
  end
end

-- ---- the pump -------------------------------------------------------------------------

-- Whether nobody waits, or has called for a while, and what nobody uses must go, or
-- nobody can use it any more.
local function may_rest(self, now_ms)
  local is_forgotten = self.owner and self.owner[1] == nil
  return (is_forgotten or lifetime.must_go()) and self.awaited == 0 and
    now_ms - self.used_ms >= lifetime.LINGER_MS
end

-- How long the pump may wait. It notes until when.
local function patience_s(self, now_ms)
  local until_ms = math.min(self.engine:deadline_ms(), now_ms + lifetime.LOOK_MS)
  if self.awaited > 0 or next(self.handed) then
    until_ms = math.min(until_ms, self.swept_ms + SWEEP_MS)
  end
  if lifetime.must_go() then
    until_ms = math.min(until_ms, now_ms + lifetime.LINGER_MS)
  end
  for _, connection in pairs(self.connections) do
    if not connection:has_begun() then
      until_ms = math.min(until_ms, now_ms + prompt_timer.BEGIN_MS)
    end
  end
  self.looks_ms = until_ms
  return math.min(math.max((until_ms - now_ms) / 1000, 0.001), bell.LONG_S)
end

local function pump_once(self, now_ms)
  close_dropped(self, now_ms) -- before deadlines: it tells why
  self.engine:flush(now_ms)
  self.engine:on_time(now_ms)
  self:attend()
  if now_ms - self.swept_ms >= SWEEP_MS then sweep(self, now_ms) end
end

-- The next call begins another one.
local function stop_pump(self)
  lifetime.watch(self, nil)
  self.bell, self.pump_timer, self.is_pumping, self.is_rung = nil, nil, false, false
end

-- The timer that sees to everything but sockets.
local function pump(self)
  local own_bell = self.bell
  self.is_pumping = true
  while self.engine and self.bell == own_bell do
    local now_ms = clock.now_ms()
    self.looks_ms = 0
    local is_fine, message = pcall(pump_once, self, now_ms)
    if not is_fine then ngx.log(ngx.ERR, "authstate: ", message) end
    if not self.engine then break end
    if may_rest(self, now_ms) then
      drop_connections(self, "") -- no failure; the next call opens them again
      break
    end
    self.is_rung = false
    own_bell:wait(patience_s(self, now_ms))
  end
  if self.bell == own_bell then stop_pump(self) end
end

-- Something was submitted, or is to be looked at.
local function ring(self)
  if self.is_rung then return true end
  if not self.bell then
    local timer, reason = prompt_timer.start(pump, self)
    if not timer then return nil, reason end
    self.bell, self.pump_timer = bell.new(), timer
    lifetime.watch(self, self.bell)
  end
  self.is_rung = true
  self.bell:post(1)
  return true
end

-- What a request does that waits while there is no pump yet: it sees to its deadline.
local function stand_in(self, waiter)
  if self.is_pumping or not self.engine then return end
  local now_ms = clock.now_ms()
  waiter.stands_in = true
  local is_fine, message = pcall(pump_once, self, now_ms)
  waiter.stands_in = false
  if not is_fine then ngx.log(ngx.ERR, "authstate: ", message) end
  if self.pump_timer and not self.pump_timer:is_dropped(now_ms) then return end
  stop_pump(self)
  ring(self)
end

-- ---- what operations.lua asks of a driver ---------------------------------------------

--- Why nothing can be asked here; nil when it can.
function Driver.complaint()
  return phases.complaint()
end

--- A call begins. True; or nil, message, code, facts.
function Driver:enter()
  if not ensure_engine(self) then return operations.closed() end
  lifetime.note_use()
  local is_pumping, reason = ring(self)
  if not is_pumping then return nil, reason, "unavailable", { attempts = 0 } end
  return true
end

--- Waits for the operation of a slot.
-- @return the value of a field that was read, nil when it is absent; or self.unfinished
function Driver:await(slot)
  local waiter = new_waiter()
  self.waiters[slot], self.awaited = waiter, self.awaited + 1
  self.used_ms = clock.now_ms()
  ring(self)
  repeat
    bell.wait(waiter.bell, not self.is_pumping and WATCH_S or nil)
    if not waiter.is_told then stand_in(self, waiter) end
  until waiter.is_told
  local result = waiter.result
  if result == self.unfinished then self.handed[slot] = nil end
  reuse(waiter)
  return result
end

Driver.block = Driver.await

--- Nothing that was answered waits in a socket: others see to that.
function Driver.make_room()
  return false
end

--- Nobody brings a server back.
function Driver.may_begin_again()
  return false
end

--- As the one of native.lua; the task is always nil.
function Driver:submit_read(hash, field, generation, shape, timeout_ms)
  if not self.bell or self.is_closing or not phases.can_wait() then return nil end
  local slot = library.authstate_read(self.pointer, hash, field, #field, generation,
    shape, timeout_ms)
  if slot < 0 then return nil end
  return slot
end

--- As the one of native.lua; the task is always nil.
function Driver:submit_set(hash, field, value, timeout_ms)
  if not self.bell or self.is_closing or not phases.can_wait() then return nil end
  local slot = library.authstate_set(self.pointer, hash, field, #field, value, #value,
    timeout_ms)
  if slot < 0 then return nil end
  return slot
end

local make_lane, count = Driver.lane, Driver.statistics

--- As the one of operations.lua.
function Driver:lane(meta_key)
  ensure_engine(self)
  return make_lane(self, meta_key)
end

--- As the one of operations.lua.
function Driver:statistics()
  ensure_engine(self)
  return count(self)
end

-- How long what a near cache knows of its connections is taken for granted, when nothing
-- comes.
local TURN_MS = 5

-- So many pieces are received at once, at most: others want to be served, too.
local PIECES = 16

-- Something has come for the near cache: to the subscriber, or the end of a connection,
-- which nginx will find. Whether all of it is known now.
local function hear(self, connection)
  if not connection or connection.number < self.pool_size then return false end
  local bytes, reason = self.lookout:receive(connection)
  if not bytes then return false end
  if #bytes > 0 then bytes, reason = connection:open(bytes) end
  if reason then
    connection:lose(reason)
    self:on_lost(connection)
  elseif #bytes > 0 then
    self.engine:on_bytes(connection.number, bytes, clock.now_ms())
  end
  return true
end

-- Takes in what has come, which nginx has not read. Whether all of it is known now.
local function listen(self, near, connection)
  local is_known, pieces = true, 0
  while connection ~= nil and is_known do
    pieces = pieces + 1
    is_known = pieces <= PIECES and hear(self, connection)
    connection = self.lookout:look()
  end
  near:turn(self.engine)
  ring(self) -- it may want something done
  return is_known
end

--- To be called before cached values are served.
-- @param now_ms by clock.latest_ms; nil: it is read
-- @return whether all is known that has come
function Driver:pump(now_ms)
  local lookout = self.lookout
  if not lookout or lookout.is_blind or not phases.may_wait() then return false end
  now_ms = now_ms or clock.latest_ms()
  self.used_ms = now_ms
  local connection = lookout:look()
  local near = self.view[1]
  if connection ~= nil then return listen(self, near, connection) end
  if now_ms - near.turned_ms >= TURN_MS then near:turn(self.engine) end
  return true
end

local function ping_all(_, self)
  for _ = 1, self.config.pool_size or 1 do
    self:perform {
      commands = { { "PING" } },
      deadline_ms = clock.now_ms() + self.server.socket.command_timeout_ms,
    }
  end
end

--- Opens the connections now, for who does not want the first request to wait for them.
-- @return true; or nil, message, code, facts
function Driver:warm_up()
  local reason = ngx.get_phase() ~= "init_worker" and phases.complaint()
  if reason then return nil, reason, "unsupported", { attempts = 0 } end
  local is_begun, message, code, facts = self:enter()
  if not is_begun then return nil, message, code, facts end
  local is_made
  is_made, reason = prompt_timer.at(0, ping_all, self)
  if not is_made then return nil, reason, "unavailable", { attempts = 0 } end
  return true
end

local function has_waiters(self)
  for _, waiter in pairs(self.waiters or {}) do
    if waiter and is_there(waiter) then return true end
  end
  return false
end

--- Closes the sockets. Every later call answers `closed`; what others have submitted is
-- answered first, or reaches its deadline, where that can be waited for.
function Driver:close()
  self.is_closing = true
  if phases.can_wait() then
    while has_waiters(self) do ngx.sleep(0.001) end
    ngx.sleep(0.001) -- who was told goes on
  end
  local waiters = self.waiters or {}
  if self.engine then
    drop_connections(self, "the store is closed")
    self.engine:close()
  end
  self.engine, self.pointer = nil, nil
  if self.lookout then self.lookout:close() end
  self.lookout = nil
  if self.bell then bell.ring_once(self.bell) end
  for slot, waiter in pairs(waiters) do
    if waiter then tell(self, slot, waiter, self.unfinished) end
  end
end

return openresty
