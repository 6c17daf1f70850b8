-- SPDX-License-Identifier: MIT
--- The directory of the private server: found fit to hold secrets, and what is written in
-- it for the server. doc/embedded.md lists the files.

local core = require "authstate.core"
local failure = require "authstate.failure"

local Directory = { __name = "authstate.data_directory" }
Directory.__index = Directory

local data_directory = {}

-- sun_path of unix(7) has 108 bytes, one of them for the NUL.
local MAX_SOCKET_PATH = 107
local MAX_LOG_BYTES = 1024 * 1024
local PROBE = ("authstate looks for space\n"):rep(2560) -- 65 KiB

local FAULTS = {
  missing = "does not exist and cannot be looked at",
  not_a_directory = "is not a directory",
  foreign = "belongs to another user",
  open_to_others = "lets other users in; run: chmod 700 ",
  not_writable = "is not writable",
}

-- strerror(3) for what only space or a working disk mends.
local DISK_WORDS = {
  ["No space left on device"] = true, ["Disk quota exceeded"] = true,
  ["File too large"] = true, ["Input/output error"] = true,
}

--- E for a file of the directory that cannot be made or written: `disk` when the disk is
-- full or broken, else `unavailable`.
function data_directory.file_failure(what, path, reason)
  return failure.new(DISK_WORDS[reason] and "disk" or "unavailable",
    ("cannot %s %s: %s"):format(what, path, reason))
end

local function default_path()
  local state = os.getenv "XDG_STATE_HOME"
  if not state or state:sub(1, 1) ~= "/" then
    local home = os.getenv "HOME"
    if not home or home:sub(1, 1) ~= "/" then return nil end
    state = home .. "/.local/state"
  end
  return state .. "/authstate"
end

-- Makes a directory and finds it fit. True, or E. In /tmp anybody can have made a link of
-- its name, and may send it elsewhere later.
local function make_private(path, what, advice, takes_no_link)
  local made, reason = core.make_directory(path)
  if not made then
    return failure.new(DISK_WORDS[reason] and "disk" or "unavailable",
      ("%s %s cannot be made: %s; %s"):format(what, path, reason, advice))
  end
  local is_fine, fault = core.check_directory(path)
  if is_fine and takes_no_link and core.is_link(path) then
    return failure.new("unavailable", ("%s %s is a symbolic link; remove it")
      :format(what, path))
  end
  if is_fine then return true end
  if fault == "open_to_others" then
    advice = FAULTS[fault] .. path
  else
    advice = FAULTS[fault] .. "; " .. advice
  end
  return failure.new("unavailable", ("%s %s %s"):format(what, path, advice))
end

-- Where the server listens. A path too long for a socket gives one of the same name
-- wherever it is asked.
local function socket_path_of(path)
  local inside = path .. "/redis.sock"
  if #inside <= MAX_SOCKET_PATH then return inside end
  local directory = ("/tmp/authstate-%d"):format(core.user_id())
  return ("%s/%s.sock"):format(directory, core.sha256_hex(path):sub(1, 32)), directory
end

--- Finds the directory, made with its parents when it is not there.
-- @param given path, or nil for the default
-- @return the directory: { path = absolute, socket_path, log_path, data_path }; or E
function data_directory.open(given)
  local path = given or default_path()
  if not path then
    return failure.new("unavailable",
      "neither XDG_STATE_HOME nor HOME is set to an absolute path; give data_dir")
  end
  local is_made, message, code, details =
    make_private(path, "data_dir", "give another data_dir")
  if not is_made then return nil, message, code, details end
  local real, reason = core.real_path(path)
  if not real then
    return failure.new("unavailable", ("data_dir %s: %s"):format(path, reason))
  end
  local socket_path, socket_directory = socket_path_of(real)
  if socket_directory then
    is_made, message, code, details = make_private(socket_directory,
      "the directory for sockets", "data_dir " .. real
        .. " is too long to hold the socket itself; give a shorter one", true)
    if not is_made then return nil, message, code, details end
  end
  return setmetatable({
    path = real, socket_path = socket_path, log_path = real .. "/server.log",
    data_path = real .. "/appendonlydir",
    has_socket_elsewhere = socket_directory ~= nil,
  }, Directory)
end

--- The path of a file in it.
function Directory:file(name)
  return self.path .. "/" .. name
end

--- Opens a file to be locked. A descriptor, or E.
function Directory:open_lock(name, is_inheritable)
  local path = self:file(name)
  local fd, reason = core.lock_open(path, is_inheritable)
  if fd then return fd end
  return data_directory.file_failure("open", path, reason)
end

--- Tries a lock. True or false, or E when locks do not work here at all.
function Directory:try_lock(fd, name, mode)
  local is_taken, reason = core.lock_try(fd, mode)
  if is_taken ~= nil then return is_taken end
  return failure.new("unavailable", ("cannot lock %s: %s; give a data_dir on a local "
    .. "disk"):format(self:file(name), reason))
end

-- redis.conf quotes like a C string.
local function quote(text)
  return '"' .. text:gsub('[\\"]', "\\%0"):gsub("%c", function(control)
    return ("\\x%02x"):format(control:byte())
  end) .. '"'
end

local function server_config(self, append_fsync)
  return table.concat({
    "# Written by authstate when it starts this server.",
    "port 0",
    "unixsocket " .. quote(self.socket_path),
    "unixsocketperm 700",
    "dir " .. quote(self.path),
    "appendonly yes",
    "appendfsync " .. append_fsync,
    "aof-load-truncated no",
    'save ""',
    -- HMGET of many fields is linear in a listpack: 2.5 times as fast, for 2 % of memory.
    "hash-max-listpack-entries 128",
    "maxmemory 0",
    "maxmemory-policy noeviction",
    "daemonize no",
    "logfile " .. quote(self.log_path),
    "loglevel notice",
    "",
  }, "\n")
end

-- Puts a text in a file unless it is there already: on a full disk a server whose files
-- are as they should be can still be started. True, or E.
local function put_text(self, name, text)
  local path = self:file(name)
  local file = io.open(path, "rb")
  local present = file and file:read "*a"
  if file then file:close() end
  if present == text then return true end
  local is_done, reason = core.write_file(path .. ".new", text)
  if is_done then is_done, reason = os.rename(path .. ".new", path) end
  if is_done then return true end
  os.remove(path .. ".new")
  return data_directory.file_failure("write", path, (reason:gsub("^.*: ", "")))
end

local function size_of(path)
  local file = io.open(path, "rb")
  if not file then return 0 end
  local bytes = file:seek "end"
  file:close()
  return bytes
end

--- What servers and users that were killed have left behind. To be listed under the
-- server's lock, when none of them lives any more.
-- @return list of names
function Directory:leftovers()
  local found = {}
  for _, name in ipairs(core.list_directory(self.path) or {}) do
    local is_rewrite = name:find "^temp%-rewriteaof%-[bg%-]*%d+%.aof$"
    if is_rewrite or name:find "^temp%-probe%-%d+$" then found[#found + 1] = name end
  end
  return found
end

function Directory:remove(names)
  for _, name in ipairs(names) do os.remove(self:file(name)) end
end

-- The sizes of the data files, { [name] = bytes }; or E when one is not ours to write.
local function measure_data_files(self)
  local names, reason = core.list_directory(self.data_path)
  if not names and reason == "No such file or directory" then return {} end
  local is_foreign = select(2, core.check_directory(self.data_path)) == "foreign"
  if not names or is_foreign then
    return data_directory.file_failure("use", self.data_path, reason or FAULTS.foreign)
  end
  local sizes = {}
  for _, name in ipairs(names) do
    local path = self.data_path .. "/" .. name
    local file
    file, reason = io.open(path, "r+b")
    if not file then
      return data_directory.file_failure("open", path, (reason:gsub("^.*: ", "")))
    end
    sizes[name] = file:seek "end"
    file:close()
  end
  return sizes
end

-- redis starts empty, over what is there, when its manifest is missing, and takes a base
-- file without content for an empty one. True, or E.
local function check_data_files(self)
  local sizes, message, code, details = measure_data_files(self)
  if not sizes then return nil, message, code, details end
  local has_manifest, written, empty = false, nil, nil
  for name, bytes in pairs(sizes) do
    if name:find "%.manifest$" then has_manifest = true end
    if name:find "%.incr%.aof$" and bytes > 0 then written = name end
    if name:find "%.base%.%l+$" and bytes == 0 then empty = name end
  end
  if written and not has_manifest then
    return failure.new("corrupt", ("%s has records in %s but no appendonly.aof.manifest; "
      .. "put it back, or the records aside"):format(self.data_path, written))
  elseif has_manifest and empty then
    return failure.new("corrupt", ("%s/%s has lost its content; put a copy back")
      :format(self.data_path, empty))
  end
  return true
end

-- Makes room in the log, which must be ours to write. True, or E.
local function prepare_log(self)
  if size_of(self.log_path) > MAX_LOG_BYTES then
    os.rename(self.log_path, self.log_path .. ".1")
  end
  local file, reason = io.open(self.log_path, "ab")
  if not file then
    return data_directory.file_failure("write", self.log_path, (reason:gsub("^.*: ", "")))
  end
  file:close()
  return true
end

--- Prepares everything for a server to be started. To be called under the server's lock.
-- @return path of its configuration; or E
function Directory:prepare_server(append_fsync)
  local is_done, message, code, details = check_data_files(self)
  if not is_done then return nil, message, code, details end
  is_done, message, code, details = prepare_log(self)
  if not is_done then return nil, message, code, details end
  if self.has_socket_elsewhere then
    is_done, message, code, details = put_text(self, "socket", self.socket_path .. "\n")
    if not is_done then return nil, message, code, details end
  end
  is_done, message, code, details =
    put_text(self, "redis.conf", server_config(self, append_fsync))
  if not is_done then return nil, message, code, details end
  return self:file "redis.conf"
end

--- Whether its disk takes anything more. True; or nil and why not.
function Directory:probe_disk()
  local path = self:file("temp-probe-" .. core.process_id())
  local is_written, reason = core.write_file(path, PROBE)
  os.remove(path)
  return is_written, reason
end

return data_directory
