-- SPDX-License-Identifier: MIT
--- A loop for the scheduler in which no time passes: it drives the real engines against
-- a network that is a model, and its clock leaps to what happens next. It has the methods
-- of the loop of sockets (core/io/loop.h) and asks the engines what that one asks them.

local events = require "authstate.sim.events"

local Loop = { __name = "authstate.sim.loop" }
Loop.__index = Loop

local loop = {}

-- Times are whole multiples of this, so that sums and differences of them are exact.
local TICKS_PER_MS = 1024

--- @param began_ms what time it is
-- @param on_stuck function, called when nothing can happen any more
function loop.new(began_ms, on_stuck)
  return setmetatable({
    now_ms = began_ms, events = events.new(), members = {}, network = nil,
    on_stuck = on_stuck, is_stuck = false,
  }, Loop)
end

--- Lets something happen.
-- @param delay_ms how long from now on
-- @param happen function(...)
-- @param ... at most five arguments
function Loop:after(delay_ms, happen, ...)
  self.events:add(math.ceil((self.now_ms + delay_ms) * TICKS_PER_MS) / TICKS_PER_MS,
    happen, ...)
end

-- ---- the engines -------------------------------------------------------------------

--- An engine takes part.
-- @param engine the engine
-- @param address where its server is, for the network
-- @return true
function Loop:attach(engine, address)
  engine:set_now(self.now_ms)
  local member = { engine = engine, address = address, losses = 0 }
  self.members[#self.members + 1] = member
  self.network:open(member)
  return true
end

local function is_closed(member)
  return not pcall(member.engine.has_completions, member.engine)
end

-- Engines that were closed have left their sockets.
local function drop_closed(self)
  for i = #self.members, 1, -1 do
    if is_closed(self.members[i]) then
      self.network:leave(self.members[i])
      table.remove(self.members, i)
    end
  end
end

-- Does all that an engine asks for now.
local function obey(self, member)
  local engine, network = member.engine, self.network
  network:send(member)
  local kind, connection = engine:next_action()
  while kind do
    if kind == "connect" then
      network:connect(member, connection)
    else
      network:close(member, connection)
      member.losses = member.losses + 1
      engine:on_closed(connection, "closed", self.now_ms)
    end
    network:send(member)
    kind, connection = engine:next_action()
  end
end

--- Tells an engine that a connection is gone.
function Loop:lose(member, connection, reason)
  member.losses = member.losses + 1
  member.engine:on_closed(connection, reason, self.now_ms)
end

local function send_members(self)
  local has_completions = false
  for _, member in ipairs(self.members) do
    member.engine:flush(self.now_ms)
    obey(self, member)
    has_completions = has_completions or member.engine:has_completions()
  end
  return has_completions
end

--- When `step` has something to do at the latest.
function Loop:deadline_ms()
  local deadline_ms = self.events:first_ms()
  for _, member in ipairs(self.members) do
    if not is_closed(member) then
      deadline_ms = math.min(deadline_ms, member.engine:deadline_ms())
    end
  end
  return deadline_ms
end

local function set_now(self, at_ms)
  local ticks = math.ceil(at_ms * TICKS_PER_MS)
  self.now_ms = math.max(self.now_ms, ticks / TICKS_PER_MS)
  for _, member in ipairs(self.members) do member.engine:set_now(self.now_ms) end
end

--- One turn: what was submitted leaves, the time comes at which something happens, and it
-- does. When that would never be, `on_stuck` is called; the next time it raises.
-- @param timeout_ms how long to wait at most
-- @return true
function Loop:step(timeout_ms)
  drop_closed(self)
  if send_members(self) then timeout_ms = 0 end
  local at_ms = math.min(self.now_ms + math.max(timeout_ms, 0), self:deadline_ms())
  if at_ms == math.huge then
    if self.is_stuck then error("all wait, and nothing will ever happen", 0) end
    self.is_stuck = true
    self.on_stuck()
    return true
  end
  set_now(self, at_ms)
  self.events:happen(self.now_ms)
  for _, member in ipairs(self.members) do
    member.engine:on_time(self.now_ms)
    obey(self, member)
  end
  return true
end

--- A turn for a lone caller.
function Loop:wait_one(_, timeout_ms)
  return self:step(timeout_ms)
end

--- How many connections of an engine were lost or could not be made.
function Loop:losses(engine)
  for _, member in ipairs(self.members) do
    if member.engine == engine then return member.losses end
  end
  return 0
end

--- When all that has come was looked at.
function Loop:looked_ms()
  return self.now_ms
end

--- There is no descriptor to wait for.
function Loop.fd()
  return -1
end

--- Ends all connections.
function Loop:close()
  for _, member in ipairs(self.members) do self.network:leave(member) end
  self.members = {}
end

return loop
