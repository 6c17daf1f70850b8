-- SPDX-License-Identifier: MIT
--- The embedded default: a private redis-server on a unix socket in a data directory,
-- with its append-only file on, shared by the processes that open the directory and shut
-- down by the last one that closes it.
--
-- Two files in the directory are locked with flock. `server.lock` is taken exclusively by
-- who starts the server and inherited by the server, so it is held for as long as the
-- server lives. `users.lock` is held shared by every user; who closes and gets it
-- exclusively is the last one, and shuts the server down while holding it.

local core = require "authstate.core"
local failure = require "authstate.failure"
local native = require "authstate.drivers.native"
local option_rows = require "authstate.options"

local Guard = { __name = "authstate.embedded" }
Guard.__index = Guard

local embedded = {}

local MAX_SOCKET_PATH = 107
local START_TIMEOUT_MS = 30000
local POLL_MS = 5
local READY_TIMEOUT_MS = 1000
local SHUTDOWN_TIMEOUT_MS = 30000
local SHUTDOWN_REPLY_MS = 20
local SHUTDOWN_ASK_AGAIN_MS = 1000

local function default_directory()
  local state = os.getenv "XDG_STATE_HOME"
  if not state or state:sub(1, 1) ~= "/" then
    local home = os.getenv "HOME"
    if not home then return nil end
    state = home .. "/.local/state"
  end
  return state .. "/authstate"
end

local DIRECTORY_FAULTS = {
  missing = "does not exist and cannot be looked at",
  not_a_directory = "is not a directory; give another data_dir",
  foreign = "belongs to another user; give a data_dir of your own",
  open_to_others = "lets other users in; run: chmod 700 ",
  not_writable = "is not writable; give another data_dir or change its mode",
}

-- The directory, made and found fit to hold secrets; or E.
local function prepare_directory(given)
  local directory = given or default_directory()
  if not directory then
    return failure.new("unavailable",
      "neither XDG_STATE_HOME nor HOME is set; give data_dir")
  end
  local made, reason = core.make_directory(directory)
  if not made then
    return failure.new("unavailable", ("data_dir %s cannot be made: %s; give another "
      .. "data_dir"):format(directory, reason))
  end
  local is_fine, fault = core.check_directory(directory)
  if is_fine then return core.real_path(directory) end
  local words = DIRECTORY_FAULTS[fault]
  if fault == "open_to_others" then words = words .. directory end
  return failure.new("unavailable", ("data_dir %s %s"):format(directory, words))
end

local function write_file(path, text)
  local file, reason = io.open(path, "wb")
  if not file then return nil, reason end
  local is_written, write_reason = file:write(text)
  local is_closed, close_reason = file:close()
  if not is_written or not is_closed then return nil, write_reason or close_reason end
  return true
end

-- redis.conf quotes like a C string.
local function quote(text)
  return '"' .. text:gsub('[\\"]', "\\%0"):gsub("%c", function(control)
    return ("\\x%02x"):format(control:byte())
  end) .. '"'
end

local function server_config(directory, append_fsync)
  return table.concat({
    "# Written anew each time authstate starts this server.",
    "port 0",
    "unixsocket " .. quote(directory .. "/redis.sock"),
    "unixsocketperm 700",
    "dir " .. quote(directory),
    "appendonly yes",
    "appendfsync " .. append_fsync,
    'save ""',
    "maxmemory 0",
    "maxmemory-policy noeviction",
    "daemonize no",
    "logfile " .. quote(directory .. "/server.log"),
    "loglevel notice",
    "",
  }, "\n")
end

local function start_server(directory, options, lock_fd)
  local config_path = directory .. "/redis.conf"
  local is_written, reason =
    write_file(config_path, server_config(directory, options.append_fsync))
  if not is_written then
    return failure.new("disk", ("cannot write %s: %s"):format(config_path, reason))
  end
  local started
  started, reason = core.start_daemon({ "redis-server", config_path },
    directory .. "/server.log", lock_fd)
  if not started then
    return failure.new("unavailable", ("redis-server cannot be started: %s; install it "
      .. "(Debian: apt-get install redis-server) or pass the URL of a running one as "
      .. "redis"):format(reason))
  end
  return true
end

-- The last lines of the server's log, for the message about a server that did not come
-- up.
local function log_tail(directory)
  local file = io.open(directory .. "/server.log", "rb")
  if not file then return "" end
  local size = file:seek "end"
  file:seek("set", math.max(0, size - 400))
  local text = file:read "*a"
  file:close()
  return "; its log ends: " .. text:gsub("%s+$", ""):gsub("\n", " | ")
end

-- Connects once and asks. A server that another process started less strict is made as
-- strict as we were told; one that is stricter stays so.
local function is_ready(socket_path, append_fsync)
  local commands = { { "PING" } }
  if append_fsync == "always" then
    commands[2] = { "CONFIG", "SET", "appendfsync", "always" }
  end
  local driver = native.new {
    server = { path = socket_path, database = 0, socket = option_rows.default_socket() },
    scripts = {}, max_operations = 1, max_queued_bytes = 4096, max_value_bytes = 4096,
  }
  local replies = driver:perform {
    commands = commands, deadline_ms = native.now_ms() + READY_TIMEOUT_MS,
  }
  driver:close()
  return replies ~= nil
end

-- Waits until the server answers. Whoever holds server.lock has a server that runs or
-- comes up; when nobody does, it died.
local function await_server(directory, socket_path, options, lock_fd)
  local deadline_ms = native.now_ms() + START_TIMEOUT_MS
  local has_started = false
  repeat
    if core.lock_try(lock_fd, "exclusive") then
      if has_started then
        core.lock_close(lock_fd)
        return failure.new("unavailable", "the private redis-server in " .. directory
          .. " ended at once" .. log_tail(directory))
      end
      local started, message, code, details = start_server(directory, options, lock_fd)
      -- A server that runs has inherited the lock; our descriptor must not keep it alive.
      core.lock_close(lock_fd)
      if not started then return nil, message, code, details end
      has_started = true
      lock_fd = assert(core.lock_open(directory .. "/server.lock", true))
    elseif is_ready(socket_path, options.append_fsync) then
      return lock_fd
    end
    core.sleep_ms(POLL_MS)
  until native.now_ms() > deadline_ms
  core.lock_close(lock_fd)
  return failure.new("unavailable", ("the private redis-server in %s did not answer "
    .. "within %d ms%s"):format(directory, START_TIMEOUT_MS, log_tail(directory)))
end

-- A shared lock on users.lock: from here on no other user shuts the server down. One who
-- is doing so holds it exclusively.
local function join_users(directory)
  local path = directory .. "/users.lock"
  local fd, reason = core.lock_open(path, false)
  if not fd then
    return failure.new("unavailable", ("cannot open %s: %s"):format(path, reason))
  end
  local deadline_ms = native.now_ms() + START_TIMEOUT_MS
  while not core.lock_try(fd, "shared") do
    if native.now_ms() > deadline_ms then
      core.lock_close(fd)
      return failure.new("unavailable", path .. " is held by another process")
    end
    core.sleep_ms(POLL_MS)
  end
  return fd
end

--- Starts the server of a data directory, or joins the one that runs there.
-- @param options { data_dir, append_fsync }
-- @return { directory, socket_path }; or E
function embedded.start(options)
  local directory, message, code, details = prepare_directory(options.data_dir)
  if not directory then return nil, message, code, details end
  local socket_path = directory .. "/redis.sock"
  if #socket_path > MAX_SOCKET_PATH then
    return failure.new("unavailable", ("data_dir %s is too long for a unix socket: at "
      .. "most %d bytes"):format(directory, MAX_SOCKET_PATH - #"/redis.sock"))
  end
  local users_fd
  users_fd, message, code, details = join_users(directory)
  if not users_fd then return nil, message, code, details end
  local lock_fd, reason = core.lock_open(directory .. "/server.lock", true)
  if not lock_fd then
    core.lock_close(users_fd)
    return failure.new("unavailable", ("cannot open %s/server.lock: %s"):format(directory,
      reason))
  end
  lock_fd, message, code, details = await_server(directory, socket_path, options, lock_fd)
  if not lock_fd then
    core.lock_close(users_fd)
    return nil, message, code, details
  end
  core.lock_close(lock_fd)
  return setmetatable({
    directory = directory, socket_path = socket_path, users_fd = users_fd,
  }, Guard)
end

-- Waits until the server is gone: its lock can be taken.
local function await_end(lock_fd, timeout_ms)
  local deadline_ms = native.now_ms() + timeout_ms
  while not core.lock_try(lock_fd, "exclusive") do
    if native.now_ms() > deadline_ms then return false end
    core.sleep_ms(POLL_MS)
  end
  return true
end

-- Asks the server to end until it has. It does not answer: its connections close.
local function shut_down(directory, driver)
  local lock_fd, reason = core.lock_open(directory .. "/server.lock", true)
  if not lock_fd then
    return failure.new("unavailable", ("cannot open %s/server.lock: %s"):format(directory,
      reason))
  end
  local deadline_ms = native.now_ms() + SHUTDOWN_TIMEOUT_MS
  local is_gone
  repeat
    driver:perform {
      commands = { { "SHUTDOWN" } }, deadline_ms = native.now_ms() + SHUTDOWN_REPLY_MS,
    }
    is_gone = await_end(lock_fd, SHUTDOWN_ASK_AGAIN_MS)
  until is_gone or native.now_ms() > deadline_ms
  core.lock_close(lock_fd)
  if is_gone then return true end
  return failure.new("unavailable", ("the private redis-server in %s did not shut down "
    .. "within %d ms"):format(directory, SHUTDOWN_TIMEOUT_MS))
end

--- Leaves the directory; the last one shuts the server down and waits until it is gone.
-- @param driver of the store that is closed; closed here
-- @return true; or E
function Guard:leave(driver)
  local is_last = core.lock_try(self.users_fd, "exclusive")
  local is_down, message, code, details = true, nil, nil, nil
  if is_last then
    is_down, message, code, details = shut_down(self.directory, driver)
  end
  driver:close()
  core.lock_close(self.users_fd)
  if not is_down then return nil, message, code, details end
  return true
end

return embedded
