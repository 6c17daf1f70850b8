-- SPDX-License-Identifier: MIT
--- The embedded default: a private redis-server on a unix socket in a data directory,
-- with its append-only file on, shared by the processes that open the directory, started
-- again when it dies, and shut down by the last one that closes it.
--
-- Three files in the directory are locked with flock:
--
--   server.lock   exclusively by who starts the server; inherited by the server, so held
--                 for as long as the server, or a child that rewrites its log, lives
--   users.lock    shared by every user; who closes and gets it exclusively is the last
--                 one, and shuts the server down while holding it
--   always.lock   shared by every user with append_fsync = "always"; a server that is
--                 started meanwhile, by whomever, forces its log to disk always

local append_only_file = require "authstate.append_only_file"
local core = require "authstate.core"
local data_directory = require "authstate.data_directory"
local failure = require "authstate.failure"
local native = require "authstate.drivers.native"
local option_rows = require "authstate.options"
local server_log = require "authstate.server_log"

local Guard = { __name = "authstate.embedded" }
Guard.__index = Guard

local embedded = {}

local POLL_MS = 2
local LONGEST_POLL_MS = 8
local MAX_STARTS = 3
-- A server that we started may live without its lock: what is called redis-server closed
-- it. So long it is awaited before another one is started.
local LOCKLESS_MS = 200
local READY_TIMEOUT_MS = 250
local LAST_USER_TRIES = 3
local SHUTDOWN_TIMEOUT_MS = 30000
local SHUTDOWN_REPLY_MS = 5
local SHUTDOWN_ASK_AGAIN_MS = 1000
local INFO_TIMEOUT_MS = 5000
local SETTLE_TIMEOUT_MS = 1500

-- In INFO persistence: what was acknowledged is not in the log yet.
local WRITE_ERROR = "aof_last_write_status:err"

-- The keeper of a driver that does not wait for a server that is gone.
local NOBODY = {}

function NOBODY.revive()
  return failure.new("unavailable", "the server is gone", { retry = false })
end

-- ---- locks --------------------------------------------------------------------------

-- Opens a file and takes its lock, waiting while somebody else has it. A descriptor, or
-- E.
local function take_shared(directory, name, deadline_ms)
  local fd, message, code, details = directory:open_lock(name, false)
  if not fd then return nil, message, code, details end
  while true do
    local is_taken
    is_taken, message, code, details = directory:try_lock(fd, name, "shared")
    if is_taken then return fd end
    local is_late = native.now_ms() >= deadline_ms
    if is_taken == nil or is_late then core.lock_close(fd) end
    if is_taken == nil then return nil, message, code, details end
    if is_late then
      return failure.new("unavailable", ("another process keeps %s locked")
        :format(directory:file(name)))
    end
    core.sleep_ms(POLL_MS)
  end
end

-- From here on no other user shuts the server down. True, or E.
local function join(self, deadline_ms)
  local message, code, details
  self.users_fd, message, code, details =
    take_shared(self.data_directory, "users.lock", deadline_ms)
  if not self.users_fd then return nil, message, code, details end
  if self.append_fsync ~= "always" then return true end
  self.always_fd, message, code, details =
    take_shared(self.data_directory, "always.lock", deadline_ms)
  if not self.always_fd then return nil, message, code, details end
  return true
end

local function release(self)
  if self.always_fd then core.lock_release(self.always_fd) end
  if self.users_fd then core.lock_release(self.users_fd) end
  self.always_fd, self.users_fd = nil, nil
end

-- What a server that is started now must do: as its strictest user asked.
local function strictest_fsync(self)
  if self.append_fsync == "always" then return "always" end
  local fd = self.data_directory:open_lock("always.lock", false)
  if not fd then return "always" end
  local has_none = core.lock_try(fd, "exclusive")
  core.lock_release(fd)
  return has_none and self.append_fsync or "always"
end

-- ---- starting -----------------------------------------------------------------------

-- Starts a server that inherits the lock. True, or E.
local function start_server(self, lock_fd)
  local config_path, message, code, details =
    self.data_directory:prepare_server(strictest_fsync(self))
  if not config_path then return nil, message, code, details end
  self.log_mark = server_log.mark(self.data_directory.log_path)
  self.leftovers = self.data_directory:leftovers()
  local is_started, reason = core.start_daemon({ "redis-server", config_path },
    self.data_directory.log_path, lock_fd)
  if is_started then return true end
  return failure.new("unavailable", ("redis-server cannot be started: %s; install it "
    .. "(Debian: apt-get install redis-server) or pass the URL of a running one as redis")
    :format(reason), { retry = false })
end

local function damage_failure(self, words)
  local data_path = self.data_directory.data_path
  return failure.new("corrupt", ("the log of the private redis-server in %s is damaged: "
    .. "%s; put a copy of %s back, or make one and try: redis-check-aof --fix "
    .. "%s/appendonly.aof.manifest"):format(self.directory, words, data_path, data_path))
end

-- redis found no end in a file: cuts off the beginning of a write that a crash left
-- there. Nothing; or E.
local function cut_off(self, name)
  local data_path = self.data_directory.data_path
  local path = data_path .. "/" .. name
  local length, rest
  if name == append_only_file.last(data_path) then
    length, rest = append_only_file.find_cut(path)
  end
  if not length then return damage_failure(self, name .. " ends unexpectedly") end
  local is_cut, reason = core.truncate_file(path, length)
  if not is_cut then return data_directory.file_failure("write", path, reason) end
  self.tell("warn", ("the log of the private redis-server in %s ended in the middle of a "
    .. "write: its last %d bytes were cut off"):format(self.directory, rest),
    { directory = self.directory })
end

local function disk_failure(self, words)
  return failure.new("disk", ("the private redis-server in %s cannot write its log: %s")
    :format(self.directory, words))
end

-- A driver that asks the server something, however far it has come: without scripts,
-- which are refused while the server loads its log.
local function new_asker(self)
  return native.new {
    server = {
      path = self.socket_path, database = 0, socket = option_rows.default_socket(),
    },
    scripts = {}, max_operations = 1, max_queued_bytes = 4096, max_value_bytes = 4096,
    keeper = NOBODY, is_apart = true,
  }
end

-- Connects once and asks whether the server serves. Not with PING, which is refused when
-- the log cannot be written, nor with ECHO, which is answered while the log is loaded. A
-- server that another process started less strict is made as strict as we were told.
local function ask(self, deadline_ms)
  local asker = new_asker(self)
  local ready_ms = math.min(native.now_ms() + READY_TIMEOUT_MS, deadline_ms)
  local replies, message, code = asker:perform {
    commands = {
      { "EXISTS", "authstate" }, { "INFO", "persistence" },
      { "CONFIG", "GET", "appendfsync" },
    },
    deadline_ms = ready_ms,
  }
  local is_strict = replies and replies[3][2] == "always"
  if replies and self.append_fsync == "always" and not is_strict then
    if replies[2]:find(WRITE_ERROR, 1, true) then
      -- It would end at once, with what it has not written yet.
      replies, message, code = nil, nil, "disk"
    else
      replies, message, code = asker:perform {
        commands = { { "CONFIG", "SET", "appendfsync", "always" } },
        deadline_ms = ready_ms,
      }
    end
  end
  asker:close()
  if replies then return true end
  return nil, message, code
end

-- A server that we started is no more: mends what can be mended. E when starting another
-- one would not help, else nothing.
local function mend(self, starts)
  local log_path = self.data_directory.log_path
  local code, words = server_log.cause(log_path, self.log_mark)
  if code == "disk" then return disk_failure(self, words) end
  if code == "corrupt" then return damage_failure(self, words) end
  if code == "base" then
    local name = append_only_file.base(self.data_directory.data_path)
    return damage_failure(self, ("%s: %s"):format(words, name or "no base file"))
  end
  if code == "cut" then return cut_off(self, words) end
  if code == "memory" then
    return failure.new("unavailable", ("the private redis-server in %s has too little "
      .. "memory to load its log: %s"):format(self.directory, words), { retry = false })
  end
  local deadline_ms = native.now_ms() + LOCKLESS_MS
  repeat
    core.sleep_ms(LONGEST_POLL_MS)
    local is_up, _, answer = ask(self, deadline_ms)
    if is_up or answer ~= "unavailable" then return nil end
  until native.now_ms() >= deadline_ms
  -- One that was killed would have come up: goes on until the deadline.
  local was_killed = server_log.is_cut_short(log_path, self.log_mark)
  if starts < MAX_STARTS or was_killed then return nil end
  return failure.new("unavailable", ("the private redis-server in %s ended at once%s")
    :format(self.directory, server_log.tail(log_path)), { retry = false })
end

-- One look at a server that may be there. "up", "down" (lock_fd has the lock), "coming";
-- or nil and E. A server may answer without its lock: somebody removed the file, or what
-- is called redis-server closes descriptors.
local function look(self, lock_fd, deadline_ms)
  local is_taken, message, code, details =
    self.data_directory:try_lock(lock_fd, "server.lock", "exclusive")
  if is_taken == nil then return nil, message, code, details end
  local is_ready
  is_ready, message, code = ask(self, deadline_ms)
  if is_ready then return "up" end
  if code == "unsupported" then return failure.new(code, message) end
  if code == "disk" then
    return disk_failure(self, "what it acknowledged is in its memory; make space first")
  end
  local is_nobody = code == "unavailable"
  return is_taken and is_nobody and "down" or "coming"
end

-- Waits until the server answers, and starts it when nobody has. Whoever holds
-- server.lock has a server that runs, comes up, or has died and left a child that
-- rewrites its log.
local function wait_until_up(self, deadline_ms)
  local starts, pause_ms = 0, POLL_MS
  while true do
    local lock_fd, message, code, details =
      self.data_directory:open_lock("server.lock", true)
    if not lock_fd then return nil, message, code, details end
    local state
    state, message, code, details = look(self, lock_fd, deadline_ms)
    local goes_on = state ~= nil
    if state == "down" and starts > 0 then
      message, code, details = select(2, mend(self, starts))
      goes_on = code == nil
      if goes_on then state = look(self, lock_fd, deadline_ms) end
    end
    if state == "down" and goes_on then
      goes_on, message, code, details = start_server(self, lock_fd)
      starts = starts + 1
    end
    -- A server that runs has inherited the lock; our descriptor must not keep it alive.
    core.lock_close(lock_fd)
    if not goes_on then return nil, message, code, details end
    if state == "up" then return true end
    if native.now_ms() >= deadline_ms then
      return failure.new("unavailable", ("the private redis-server in %s did not answer "
        .. "in time at %s%s"):format(self.directory, self.socket_path,
        server_log.tail(self.data_directory.log_path)))
    end
    core.sleep_ms(pause_ms)
    pause_ms = math.min(1.25 * pause_ms, LONGEST_POLL_MS)
  end
end

local function bring_up(self, deadline_ms)
  local is_up, message, code, details = wait_until_up(self, deadline_ms)
  if not is_up then return nil, message, code, details end
  if self.leftovers then self.data_directory:remove(self.leftovers) end
  self.leftovers = nil
  self.log_mark = server_log.mark(self.data_directory.log_path)
  return true
end

--- Starts the server of a data directory, or joins the one that runs there.
-- @param options { data_dir, append_fsync, open_timeout_ms }
-- @param tell see log.lua
-- @return { directory, socket_path }; or E
function embedded.start(options, tell)
  local directory, message, code, details = data_directory.open(options.data_dir)
  if not directory then return nil, message, code, details end
  local self = setmetatable({
    data_directory = directory, directory = directory.path,
    socket_path = directory.socket_path, append_fsync = options.append_fsync,
    tell = tell, log_mark = 0,
  }, Guard)
  local deadline_ms = native.now_ms() + options.open_timeout_ms
  local is_up
  is_up, message, code, details = join(self, deadline_ms)
  if is_up then is_up, message, code, details = bring_up(self, deadline_ms) end
  if is_up then return self end
  release(self)
  return nil, message, code, details
end

--- Takes a place of its own among the users, in a child that was forked. What the parent
-- has locked stays the parent's.
function Guard:join_after_fork()
  for _, name in ipairs { "users_fd", "always_fd" } do
    if self[name] then core.lock_close(self[name]) end
    self[name] = nil
  end
  -- Nobody can hold it exclusively while the parent lives; else the next call finds out.
  return join(self, native.now_ms() + READY_TIMEOUT_MS)
end

--- Brings back a server whose connection was lost, when it is dead; for the driver.
-- @return true; or E: `disk` when the server is up but died for want of space, with
--   details.is_full when its disk still takes nothing; `retry` in the details says
--   whether waiting may help
function Guard:revive(deadline_ms)
  local has_space, reason = self.data_directory:probe_disk()
  local cause, words = server_log.cause(self.data_directory.log_path, self.log_mark)
  local is_up, message, code, details = bring_up(self, deadline_ms)
  if not is_up then return nil, message, code, details end
  if has_space and cause ~= "disk" then return true end
  message, code, details = select(2, disk_failure(self, reason or words))
  details.is_full = not has_space
  return nil, message, code, details
end

-- ---- leaving ------------------------------------------------------------------------

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
local function ask_to_end(self, asker, lock_fd)
  local deadline_ms = native.now_ms() + SHUTDOWN_TIMEOUT_MS
  repeat
    asker:perform {
      commands = { { "SHUTDOWN" } }, deadline_ms = native.now_ms() + SHUTDOWN_REPLY_MS,
    }
    if await_end(lock_fd, SHUTDOWN_ASK_AGAIN_MS) then return true end
  until native.now_ms() > deadline_ms
  return failure.new("unavailable", ("the private redis-server in %s did not shut down "
    .. "within %d ms"):format(self.directory, SHUTDOWN_TIMEOUT_MS))
end

-- Whether the server has written all that it acknowledged: "written", "unwritten",
-- "nobody" when nobody listens, "unknown".
local function ask_what_is_written(asker)
  local replies, _, code = asker:perform {
    commands = { { "INFO", "persistence" } },
    deadline_ms = native.now_ms() + INFO_TIMEOUT_MS,
  }
  if not replies then return code == "unavailable" and "nobody" or "unknown" end
  local is_failing = replies[1]:find(WRITE_ERROR, 1, true)
  return is_failing and "unwritten" or "written"
end

-- Shuts down a server whose lock is held. One that is being started does not listen yet,
-- and one that could not write tries again within a second; a child that rewrites the log
-- of a dead one never listens. True, or E.
local function end_server(self, asker, lock_fd)
  local deadline_ms = native.now_ms() + SETTLE_TIMEOUT_MS
  while true do
    local state = ask_what_is_written(asker)
    if state == "written" or state == "unknown" then
      return ask_to_end(self, asker, lock_fd)
    elseif core.lock_try(lock_fd, "exclusive") then
      return true
    elseif native.now_ms() > deadline_ms and state == "nobody" then
      if core.file_exists(self.socket_path) then return true end
      return failure.new("unavailable", ("the private redis-server in %s cannot be shut "
        .. "down: its socket %s was removed"):format(self.directory, self.socket_path))
    elseif native.now_ms() > deadline_ms then
      return failure.new("disk", ("the private redis-server in %s cannot write its log "
        .. "and is left running, so that nothing is lost; make space, then open and "
        .. "close it again"):format(self.directory))
    end
    core.sleep_ms(LONGEST_POLL_MS)
  end
end

local function shut_down(self)
  local lock_fd, message, code, details =
    self.data_directory:open_lock("server.lock", true)
  if not lock_fd then return nil, message, code, details end
  local is_down = core.lock_try(lock_fd, "exclusive") and
    not ask(self, native.now_ms() + READY_TIMEOUT_MS)
  if not is_down then
    local asker = new_asker(self)
    is_down, message, code, details = end_server(self, asker, lock_fd)
    asker:close()
  end
  core.lock_close(lock_fd)
  if not is_down then return nil, message, code, details end
  return true
end

-- Whether nobody else uses the directory. Asking gives the shared lock up; what is in the
-- way may be gone in a moment, such as a copy of a descriptor in a process that is being
-- started.
local function is_last_user(self)
  if not self.users_fd then return false end
  for try = 1, LAST_USER_TRIES do
    if core.lock_try(self.users_fd, "exclusive") then return true end
    if try < LAST_USER_TRIES then core.sleep_ms(POLL_MS) end
  end
  return false
end

--- Leaves the directory; the last one shuts the server down and waits until it is gone.
-- @param driver of the store that is closed; closed here
-- @return true; or E
function Guard:leave(driver)
  driver:close()
  local is_down, message, code, details = true, nil, nil, nil
  if is_last_user(self) then is_down, message, code, details = shut_down(self) end
  release(self)
  if not is_down then return nil, message, code, details end
  return true
end

return embedded
