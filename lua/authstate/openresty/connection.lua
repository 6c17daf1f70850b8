-- SPDX-License-Identifier: MIT
--- One connection of an engine over a cosocket. It lives in a timer, since a cosocket
-- belongs to the request that made it, with light threads that read and write.

local bell = require "authstate.openresty.bell"
local clock = require "authstate.clock"
local prompt_timer = require "authstate.openresty.prompt_timer"
local tls_socket = require "authstate.drivers.tls_socket"

local Connection = { __name = "authstate.connection" }
Connection.__index = Connection

local connections = {}

-- A socket is never silent for too long: the engine knows better. (nginx would log it.)
local NEVER_MS = 2 ^ 31 - 1

-- How much is given to a cosocket at once. It keeps a buffer of that size.
local CHUNK_BYTES = 65536

--- The stream is gone, or must go; its timer will tell the driver.
-- @param reason sentence
-- @return whether it will: not when it has not begun, and then it never does
function Connection:lose(reason)
  if self.is_over then return true end
  self.is_over, self.reason = true, reason
  if not self.timer.has_begun then
    self.timer:give_up()
    return false
  end
  self.over:post(1)
  return true
end

--- Whether nginx has dropped the timer that it was to live in.
function Connection:is_dropped(now_ms)
  return self.timer:is_dropped(now_ms)
end

--- Whether it lives: nginx runs its timer.
function Connection:has_begun()
  return self.timer.has_begun
end

--- The engine has something to write. No effect while it is writing, or connecting.
function Connection:wake()
  if not self.is_resting then return end
  self.is_resting = false
  self.bell:post(1)
end

-- Sends what the engine wants sent. What a cosocket was given may leave at any time, so
-- it counts as sent before.
local function write(self)
  local engine, number, stream = self.engine, self.number, self.stream
  while not self.is_over do
    local bytes = engine:next_write(number, CHUNK_BYTES)
    if #bytes > 0 then
      engine:on_written(number, #bytes, clock.now_ms())
      local is_sent, reason = stream:send(bytes)
      if not is_sent then self:lose(reason) end
    else
      self.is_resting = true
      bell.wait(self.bell)
    end
  end
end

-- A port with TLS takes a connection, and closes it at the first byte of another sort.
local function describe_loss(self, reason)
  local driver = self.driver
  local is_doubtful =
    driver.server.port and not driver.config.tls and not self.is_heard
  if reason == "closed" then reason = "the server closed the connection" end
  if not is_doubtful then return reason end
  return reason .. "; perhaps the port is one with TLS (rediss://)"
end

--- What the lookout has received, before what nginx reads next.
-- @param bytes not empty
-- @return what the server has said; or nil and the reason: the stream has ended
function Connection:open(bytes)
  self.is_heard = true
  if self.stream == self.socket then return bytes end
  return self.stream:open(bytes)
end

local function read(self)
  local stream = self.stream
  while not self.is_over do
    local bytes, reason = stream:receiveany(CHUNK_BYTES)
    if self.is_over then return end
    if bytes then
      self.is_heard = true
      self.engine:on_bytes(self.number, bytes, clock.now_ms())
      self.driver:attend()
    elseif reason ~= "timeout" then
      self:lose(describe_loss(self, reason))
    end
  end
end

-- Where a cosocket connects: a place, and for TCP a port.
local function place_of(server)
  if server.path then return "unix:" .. server.path end
  local host = server.host
  return host:find(":", 1, true) and "[" .. host .. "]" or host, tonumber(server.port)
end

local RESOLVER = "; host names need the directive `resolver`, or write an address"

-- Connects. True; or nil and the reason.
local function connect(self)
  local socket, server = ngx.socket.tcp(), self.driver.server
  local tls = self.driver.config.tls
  self.socket, self.stream = socket, socket
  socket:settimeouts(server.socket.connect_timeout_ms, NEVER_MS, NEVER_MS)
  local place, port = place_of(server)
  local is_connected, reason
  if port then
    is_connected, reason = socket:connect(place, port)
  else
    is_connected, reason = socket:connect(place)
  end
  if not is_connected then
    return nil, reason .. (reason:find("resolver", 1, true) and RESOLVER or "")
  end
  if not port then return true end
  socket:setoption("keepalive", server.socket.keep_alive and true or false)
  socket:setoption("tcp-nodelay", server.socket.no_delay and true or false)
  if not tls then return true end
  self.stream, reason = tls_socket.wrap(socket, tls, server.host, CHUNK_BYTES)
  if not self.stream then return nil, reason end
  return true
end

local function serve(self)
  local is_connected, reason = connect(self)
  if self.is_over then return end
  if not is_connected then
    self:lose(reason)
    return
  end
  self.is_open = true
  self.driver:on_open(self)
  self.engine:on_connected(self.number, clock.now_ms())
  self.over:post(1) -- the writer begins
  read(self)
end

-- A light thread that raises would end unnoticed.
local function safely(fn, self)
  local is_fine, message = pcall(fn, self)
  if not is_fine then self:lose("authstate: " .. tostring(message)) end
end

-- The timer. Only who has spawned a light thread can kill it.
local function live(self)
  local server = ngx.thread.spawn(safely, serve, self)
  local writer
  while not self.is_over do
    if self.is_open and not writer then
      writer = ngx.thread.spawn(safely, write, self)
    else
      bell.wait(self.over)
    end
  end
  ngx.thread.kill(server)
  if writer then ngx.thread.kill(writer) end
  if self.socket then self.socket:close() end
  self.driver:on_lost(self)
end

--- Begins a connection, in a timer of its own.
-- @param driver with `server` and `config.tls`; `on_open` tells it that the socket is
--   connected, `attend` that its engine has heard of something, `on_lost` that the socket
--   is closed
-- @param number of the connection in the driver's engine
-- @return connection; or nil and the reason
function connections.open(driver, number)
  local self = setmetatable({
    driver = driver, engine = driver.engine, number = number,
    bell = bell.new(),  -- of the one who writes
    over = bell.new(),  -- of the timer
    timer = nil,
    is_over = false, is_open = false, is_resting = false, is_heard = false,
    reason = nil,       -- why it is over
    descriptor = nil,   -- see lookout.lua
    socket = nil, stream = nil, -- the cosocket, and what goes through TLS to it
  }, Connection)
  local reason
  self.timer, reason = prompt_timer.start(live, self)
  if not self.timer then return nil, reason end
  return self
end

return connections
