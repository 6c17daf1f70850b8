-- SPDX-License-Identifier: MIT

--- A real redis-server of the spec's own, in its own temporary directory. It dies with
-- the spec process.
-- @module spec.support.redis_server

local socket = require "socket"

local clock = require "spec.support.clock"
local process = require "spec.support.process"
local resp_client = require "spec.support.resp_client"
local temporary = require "spec.support.temporary"

local START_TIMEOUT_MS = 60000
local ATTEMPTS = 5

-- Below the range the kernel takes ports from (32768 on), and low enough for a cluster
-- bus port, which is 10000 higher.
local LOWEST_PORT, HIGHEST_PORT = 12000, 30000

-- hz: TERM and expiry are looked at 100 times a second instead of ten times.
local DEFAULTS = {
  appendonly = "no",
  bind = "127.0.0.1",
  daemonize = "no",
  hz = "100",
  logfile = '""',
  save = '""',
}

local started = {}

local Server = { __name = "redis_server" }
Server.__index = Server

local redis_server = {}

--- A TCP port on 127.0.0.1 that nobody listens on at this moment.
-- @treturn number
function redis_server.free_port()
  for _ = 1, 1000 do
    -- The fraction of the clock: math.random may be seeded alike in two processes.
    local fraction = (socket.gettime() * 1e6 + math.random(0, 1e6)) % 1e6 / 1e6
    local port = LOWEST_PORT + math.floor(fraction * (HIGHEST_PORT - LOWEST_PORT))
    local listener = socket.bind("127.0.0.1", port)
    if listener then
      listener:close()
      return port
    end
  end
  error("no free TCP port")
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

local function quote(text)
  return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

local function settings_of(self)
  local settings = {
    dir = quote(self.directory),
    port = self.port or 0,
    requirepass = self.password and quote(self.password),
    unixsocket = self.socket and quote(self.socket),
  }
  for _, source in ipairs { DEFAULTS, self.options.config or {} } do
    for name, value in pairs(source) do
      settings[name] = value
    end
  end
  return settings
end

local function write_config(self)
  local settings = settings_of(self)
  local lines = {}
  for _, name in ipairs(sorted_keys(settings)) do
    local value = settings[name]
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      lines[#lines + 1] = name .. " " .. tostring(one)
    end
  end
  local file = assert(io.open(self.config_path, "w"))
  assert(file:write(table.concat(lines, "\n"), "\n"))
  file:close()
end

--- Whether the server takes commands: not still loading its file. A refusal for want of
-- a password or a right is an answer too.
local function answers(self)
  local client = resp_client.connect(self)
  if not client then
    return false
  end
  local ok, reply, message = pcall(client.command, client, "PING")
  client:close()
  return ok and (reply == "PONG" or (message or ""):find("^NO") ~= nil)
end

local function launch(self)
  self.process = process.start {
    os.getenv("REDIS_SERVER") or "redis-server", self.config_path,
    stdout = self.log_path, stderr = self.log_path, env = { LD_PRELOAD = false },
  }
  clock.wait_for(function()
    return not self.process:alive() or answers(self)
  end, START_TIMEOUT_MS)
  return self.process:alive() and answers(self)
end

--- What the server has logged in its present life.
-- @treturn string
function Server:log()
  return self.process:output()
end

local function start_once(options)
  local directory = temporary.directory()
  local self = setmetatable({
    options = options,
    directory = directory,
    config_path = directory .. "/redis.conf",
    log_path = directory .. "/log",
    password = options.password,
    port = options.tcp and redis_server.free_port() or nil,
    socket = options.unix ~= false and directory .. "/redis.sock" or nil,
  }, Server)
  self.url = self.socket and "unix://" .. self.socket
    or "redis://127.0.0.1:" .. self.port
  write_config(self)
  if launch(self) then
    started[self] = true
    return self
  end
  self.process:kill()
  return nil, self:log()
end

--- Starts a server and waits until it answers.
--
-- `url` names the unix socket when there is one, else the port; it holds no password.
-- The fields `url`, `socket`, `port`, `directory`, `password` may be read.
-- @tparam[opt] table options `tcp` (default false: also listen on a free port of
-- 127.0.0.1), `unix` (default true: listen on a unix socket), `password`, `config`: name
-- to value as in redis.conf (a list of values gives several lines). Nothing is persisted
-- unless `config` says so, for example `{ appendonly = "yes" }`
-- @treturn Server
function redis_server.start(options)
  options = options or {}
  assert(options.tcp or options.unix ~= false, "a server needs a socket or a port")
  local log
  for _ = 1, ATTEMPTS do
    local server
    server, log = start_once(options)
    if server then
      return server
    end
    if not log:find("Address already in use", 1, true) then
      break
    end
  end
  error("redis-server did not start:\n" .. log, 2)
end

--- Kills every server that was started.
function redis_server.stop_all()
  for server in pairs(started) do
    server:kill()
    started[server] = nil
  end
end

local function drop_client(self)
  if self.client then
    self.client:close()
    self.client = nil
  end
end

--- Shuts the server down, as TERM does: what it persists is on disk afterwards.
-- @treturn number exit status
function Server:stop()
  drop_client(self)
  return self.process:stop()
end

--- Kills the server with KILL, as a crash would, and waits until it is gone.
function Server:kill()
  drop_client(self)
  return self.process:kill()
end

--- Starts the server again with the same addresses, directory and configuration; stops
-- it before when it runs. Returns when it has loaded its data and answers.
function Server:restart()
  self:stop()
  self.process:kill()
  if not launch(self) then
    error("redis-server did not start again:\n" .. self:log(), 2)
  end
  started[self] = true
end

--- Stops the server's process in its tracks: connections stay, nothing is answered.
function Server:pause()
  self.process:signal("STOP")
end

--- Lets a paused server go on.
function Server:resume()
  self.process:signal("CONT")
end

--- @treturn boolean
function Server:alive()
  return self.process:alive()
end

--- A new connection of its own, see `spec.support.resp_client`: for MULTI, SUBSCRIBE,
-- MONITOR. The caller closes it.
-- @treturn Client
function Server:connect()
  return assert(resp_client.connect(self))
end

--- The kept connection, a new one when the old one was closed.
local function client_of(self)
  if self.client and not self.client:is_open() then
    drop_client(self)
  end
  if not self.client then
    self.client = self:connect()
  end
  return self.client
end

--- Sends one command on a connection apart from the code under test.
-- @param ... strings of any bytes, numbers
-- @return the reply as `spec.support.resp_client` describes (null is false), or nil and
-- the server's words after an error reply
function Server:command(...)
  return client_of(self):command(...)
end

--- Sends commands together.
-- @tparam table commands list of lists of arguments
-- @treturn table list of replies, errors as `{ err = message }`
function Server:pipeline(commands)
  return client_of(self):pipeline(commands)
end

return redis_server
