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
--   max_operations, max_queued_bytes, max_value_bytes }
function native.new(config)
  local server = config.server
  local engine = assert(core.engine {
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
  return setmetatable({ engine = engine, server = server }, Native)
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

local function turn(self, timeout_ms)
  local turned, reason = self.loop:step(timeout_ms)
  if not turned then error("authstate: epoll_wait failed: " .. reason) end
end

-- Turns the loop until the operation of `slot` has ended.
local function wait(self, slot)
  while true do
    local done, code, message, attempts, elapsed_ms = self.engine:next_completion()
    if done == slot then
      return code, message, { attempts = attempts, elapsed_ms = elapsed_ms }
    elseif not done then
      turn(self, math.huge)
    end
  end
end

--- Sends commands as one operation and waits for all their replies.
-- @param request { commands = list of lists of strings, atomic = boolean (MULTI and EXEC
--   around them), shapes = list (see core/binding/engine.h), deadline_ms = number }
-- @return list of replies; or nil, message, code, facts with `attempts` (0: never sent),
--   `elapsed_ms`, and for a value that cannot be opened `reply` and `element`
function Native:perform(request)
  if not self.engine then
    return nil, "the store is closed", "closed", { attempts = 0 }
  end
  local now_ms = core.now_ms()
  if not self.loop then
    local loop, message, code = open_loop(self)
    if not loop then return nil, message, code, { attempts = 0 } end
  end
  local slot, message, code = self.engine:submit(now_ms, request.deadline_ms,
    request.atomic or false, request.commands)
  if code == "overloaded" then
    -- Replies that nobody waits for may be there by now and make room.
    turn(self, 0)
    slot, message, code = self.engine:submit(now_ms, request.deadline_ms,
      request.atomic or false, request.commands)
  end
  if not slot then return nil, message, code, { attempts = 0 } end
  local facts
  code, message, facts = wait(self, slot)
  if code then
    self.engine:release(slot)
    return nil, message, code, facts
  end
  local replies, reason, reply, element =
    self.engine:take(slot, unpack(request.shapes or {}))
  if replies then return replies, nil, nil, facts end
  facts.reply, facts.element = reply, element
  return nil, reason, "corrupt", facts
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
