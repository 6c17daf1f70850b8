-- SPDX-License-Identifier: MIT

--- An engine behind its epoll loop, for specs with real servers: submits operations and
-- turns the loop until they end.
-- @module spec.io.client

local core = require "authstate.core"

local CONFIG = {
  pool_size = 1,
  batch_size = 1000,
  batch_window_ms = 10,
  max_age_ms = math.huge,
  quarantine_ms = 0,
  seed = 0,
  max_operations = 100000,
  max_queued_bytes = 256 * 1024 * 1024,
  max_value_bytes = 64 * 1024 * 1024,
  connect_timeout_ms = 5000,
  health_timeout_ms = 10000,
  database = 0,
}

local Client = { __name = "client" }
Client.__index = Client

local client = {}

--- @param address { path } or { host, port }, see core/binding/loop.h
-- @param changes to the configuration of the engine
-- @param loop that it shares; without one it has its own
function client.open(address, changes, loop)
  local config = {}
  for _, source in ipairs { CONFIG, changes or {} } do
    for name, value in pairs(source) do config[name] = value end
  end
  local engine = assert(core.engine(config))
  local self = {
    engine = engine, ended = {}, loop = loop or assert(core.loop()), is_owner = not loop,
  }
  assert(self.loop:attach(engine, address))
  return setmetatable(self, Client)
end

--- Submits one operation; returns its slot.
-- @param options { timeout_ms = 10000, atomic, lane }
function Client:submit(commands, options)
  options = options or {}
  local now_ms = core.now_ms()
  return assert(self.engine:submit(now_ms, now_ms + (options.timeout_ms or 10000),
    options.atomic or false, commands, options.lane))
end

--- Submits a read of fields of a hash; returns its slot.
function Client:read(lane, key, fields)
  return assert(self.engine:read(lane, key, fields, -1, core.shapes.raw,
    core.now_ms() + 10000))
end

--- Submits a plain write; returns its slot.
-- @param changes { key, field, value, ... }; false as a value removes
function Client:change(lane, changes)
  return assert(self.engine:write(lane, changes, core.now_ms() + 10000))
end

--- One turn of the loop; keeps what ended.
function Client:step(timeout_ms)
  assert(self.loop:step(timeout_ms))
  self:collect()
end

--- One turn for a lone caller; keeps what ended.
function Client:step_alone(timeout_ms)
  assert(self.loop:wait_one(self.engine, timeout_ms))
  self:collect()
end

--- Keeps what ended.
function Client:collect()
  assert(self.engine:validate())
  while true do
    local slot, code, message, attempts = self.engine:next_completion()
    if not slot then return end
    local ended = { code = code, message = message, attempts = attempts }
    if code then
      self.engine:release(slot)
    else
      ended.replies = assert(self.engine:take(slot))
    end
    self.ended[slot] = ended
  end
end

local function take_ended(self, slot)
  local ended = self.ended[slot]
  self.ended[slot] = nil
  return ended
end

--- Turns the loop until an operation ended.
-- @return { code, message, attempts, replies }
function Client:wait(slot)
  while not self.ended[slot] do self:step(1000) end
  return take_ended(self, slot)
end

--- The same as a lone caller does it. Whose turn waits in the wrong place waits for long.
function Client:wait_alone(slot)
  while not self.ended[slot] do self:step_alone(9000) end
  return take_ended(self, slot)
end

--- Submits one operation and waits for its end.
function Client:perform(commands, options)
  return self:wait(self:submit(commands, options))
end

--- Sends one command and returns its reply, or nil, message, code.
function Client:command(...)
  local ended = self:perform { { ... } }
  if ended.code then return nil, ended.message, ended.code end
  return ended.replies[1]
end

function Client:close()
  self.engine:close()
  if self.is_owner then self.loop:close() end
end

return client
