-- SPDX-License-Identifier: MIT
--- Whose turn it is in a session, when several tasks use it: calls take effect in the
-- order in which they were made. One write is under way at a time; a call waits only
-- behind a write that was made before it and is not sent yet. A plain write has no turn
-- of its own, but waits for the end of a write: it would take effect before one that the
-- server refuses for the moment.

local clock = require "authstate.clock"
local failure = require "authstate.failure"
local scheduler = require "authstate.scheduler"

local Turns = { __name = "authstate.turns" }
Turns.__index = Turns

local turns = {}

--- What waits in all sessions of a store, and how much may.
function turns.waiting(max_operations, max_bytes)
  return {
    operations = 0, bytes = 0, max_operations = max_operations, max_bytes = max_bytes,
  }
end

--- @param waiting see above
function turns.new(waiting)
  return setmetatable({
    waiting = waiting,
    is_writing = false, -- a write has its turn
    is_unsent = false,  -- and was not sent yet
    retreats = 0,       -- how often one that was sent had to be sent again
    queue = {},         -- those that wait: { kind, task, is_granted }
    granted = 0,        -- those whose turn has come, and who did not go on yet
    due = 0,            -- calls that were made and have not begun yet, see `hold`
    is_calm = false,    -- `is_open` has said so, and nothing has changed since
  }, Turns)
end

-- Whether a read that has begun can be sent now.
local function is_free(self)
  return not self.is_unsent and self.granted == 0 and self.queue[1] == nil
end

--- Whether a read that is called now can be sent now.
function Turns:is_open()
  self.is_calm = self.due == 0 and is_free(self)
  return self.is_calm
end

--- Whether a plain write that is called now can be sent now.
function Turns:is_open_to_plain()
  return not self.is_writing and self:is_open()
end

local function grant(self, waiter)
  waiter.is_granted = true
  self.granted = self.granted + 1
  if waiter.task then scheduler.wake(waiter.task, waiter) end
end

-- Lets those go on whose turn it is: reads up to the first write that must wait.
local function advance(self)
  while self.queue[1] and not self.is_unsent do
    local waiter = self.queue[1]
    if waiter.kind ~= "read" and self.is_writing then return end
    table.remove(self.queue, 1)
    if waiter.kind == "write" then self.is_writing, self.is_unsent = true, true end
    grant(self, waiter)
  end
end

local function leave_queue(self, waiter)
  for i, each in ipairs(self.queue) do
    if each == waiter then table.remove(self.queue, i) break end
  end
  advance(self)
end

-- A waiter goes on. Whether its turn has come; who has called meanwhile comes after it.
local function take_grant(self, waiter)
  if not waiter.is_granted then return false end
  self.granted = self.granted - 1
  if self.granted == 0 then advance(self) end
  return true
end

-- A waiter goes on that waits no longer; its turn may have come all the same.
local function give_up(self, waiter)
  if not take_grant(self, waiter) then
    leave_queue(self, waiter)
  elseif waiter.kind == "write" then
    self:leave_write()
  end
end

-- Writes that wait are not sent: who made them relied on a write before them of which
-- nobody knows whether it took effect.
local function refuse_writes(self)
  local kept = {}
  for _, waiter in ipairs(self.queue) do
    if waiter.kind ~= "read" then
      waiter.is_refused = true
      if waiter.task then scheduler.wake(waiter.task, waiter) end
    else
      kept[#kept + 1] = waiter
    end
  end
  self.queue = kept
end

local function is_over(waiter)
  return waiter.is_granted or waiter.is_refused or clock.now_ms() >= waiter.deadline_ms
end

local function refuse_when_full(waiting, call)
  local bytes = waiting.bytes + (call.bytes or 0)
  if waiting.operations < waiting.max_operations and bytes <= waiting.max_bytes then
    return true
  end
  return failure.new("overloaded", ("the queue is full: %.0f calls with %.0f bytes wait "
    .. "behind writes of their sessions; queue_max_operations is %.0f, queue_max_bytes "
    .. "%.0f"):format(waiting.operations, waiting.bytes, waiting.max_operations,
    waiting.max_bytes), { session = call.session })
end

local function wait_for_turn(self, call, kind, task)
  local waiter = { kind = kind, task = task, deadline_ms = call.deadline_ms }
  self.queue[#self.queue + 1], self.is_calm = waiter, false
  if task then
    local woken = scheduler.park(task, nil, call.deadline_ms - clock.now_ms())
    if woken == scheduler.CANCELLED then
      give_up(self, waiter)
      return scheduler.cancelled { session = call.session }
    end
  else
    scheduler.drive(is_over, waiter, call.deadline_ms)
  end
  if take_grant(self, waiter) then return true end
  if waiter.is_refused then
    return failure.new("unavailable", "nothing was sent: it is not known whether an "
      .. "earlier write of this session took effect; last_commit tells, after the next",
      { session = call.session })
  end
  leave_queue(self, waiter)
  return failure.new("unavailable", "an earlier write of this session was not sent in "
    .. "time; nothing was sent", { session = call.session })
end

-- Waits for the turn. True; or E.
local function wait(self, call, kind)
  local task = scheduler.running()
  if task and scheduler.is_cancelled(task) then
    return scheduler.cancelled { session = call.session }
  end
  local waiting, bytes = self.waiting, call.bytes or 0
  local is_accepted, message, code, details = refuse_when_full(waiting, call)
  if not is_accepted then return nil, message, code, details end
  waiting.operations, waiting.bytes = waiting.operations + 1, waiting.bytes + bytes
  local is_entered
  is_entered, message, code, details = wait_for_turn(self, call, kind, task)
  waiting.operations, waiting.bytes = waiting.operations - 1, waiting.bytes - bytes
  return is_entered, message, code, details
end

--- Begins a read. True; or E.
function Turns:enter_read(call)
  if is_free(self) then return true end
  return wait(self, call, "read")
end

--- Begins a plain write of `call.bytes`. True; or E.
function Turns:enter_plain(call)
  if not self.is_writing and is_free(self) then return true end
  return wait(self, call, "plain")
end

--- Begins a write of `call.bytes`, which must end with `leave_write`. True; or E.
function Turns:enter_write(call)
  if not self.is_writing and is_free(self) then
    self.is_writing, self.is_unsent, self.is_calm = true, true, false
    return true
  end
  return wait(self, call, "write")
end

--- The write that has its turn is being sent: reads may follow.
function Turns:note_sent()
  self.is_unsent = false
  if self.queue[1] then advance(self) end
end

--- The write that has its turn must be sent again: what comes waits for it, and what was
-- read behind it in vain must be read again.
function Turns:note_unsent()
  self.is_unsent, self.is_calm, self.retreats = true, false, self.retreats + 1
end

--- The write that has its turn has ended.
-- @param is_unknown whether nobody knows if it took effect: then writes that wait answer
--   `unavailable`
function Turns:leave_write(is_unknown)
  self.is_writing, self.is_unsent = false, false
  if is_unknown then refuse_writes(self) end
  if self.queue[1] then advance(self) end
end

-- A call that was made begins, or never will.
local function note_begun(self, call)
  if not call.is_due then return end
  call.is_due, self.due = false, self.due - 1
end

local function begin(self, call, fn, ...)
  note_begun(self, call)
  return fn(...)
end

local function end_hold(self, call, is_fine, ...)
  note_begun(self, call)
  if not is_fine then error((...), 0) end
  return ...
end

--- As scheduler.hold, for a call that takes its turn. Inside nginx somebody else carries
-- it out, in the order in which calls were made; and who calls before that must not come
-- before it.
-- @param call see Store:begin
function Turns:hold(call, fn, ...)
  if not scheduler.is_deaf then return scheduler.hold(fn, ...) end
  call.is_due, self.due, self.is_calm = true, self.due + 1, false
  return end_hold(self, call, pcall(scheduler.hold, begin, self, call, fn, ...))
end

return turns
