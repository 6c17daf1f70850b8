-- SPDX-License-Identifier: MIT

--- The redis-servers of a data directory, as the kernel sees them: found in /proc by the
-- files that they have open, whatever sockets, locks or logs say.
-- @module spec.embedded.servers

local clock = require "spec.support.clock"
local core = require "authstate.core"
local lfs = require "lfs"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local END_TIMEOUT_MS = 20000

-- Kills every server that has a file in a directory open when the pipe closes, that is,
-- when this process ends in whatever way. Placeholder: the directory.
local GUARD = [[
exec >/dev/null 2>&1
trap "" HUP INT TERM
while read -r line; do :; done
for process in /proc/[0-9]*; do
  [ "$(cat "$process/comm")" = redis-server ] || continue
  ls -l "$process/fd" | grep -qF -e "-> "%s/ && kill -KILL "${process#/proc/}"
done
]]

local servers = {}

local function read(path)
  local file = io.open(path)
  local text = file and file:read "*a"
  if file then file:close() end
  return text
end

-- State and parent of a process, nil when there is none.
local function status_of(pid)
  local text = read(("/proc/%d/stat"):format(pid))
  if not text then return nil end
  local state, parent = text:match "^.*%) (%a) (%d+)"
  return state, tonumber(parent)
end

--- Whether a process is there and not just waiting to be reaped.
function servers.is_running(pid)
  local state = status_of(pid)
  return state ~= nil and state ~= "Z" and state ~= "X"
end

-- Whether it has a file open whose path begins so.
local function has_open(pid, prefix)
  local directory, has = ("/proc/%d/fd"):format(pid), false
  -- lfs.dir raises for a process that has ended; read to its end, it closes.
  pcall(function()
    for fd in lfs.dir(directory) do
      local target = lfs.symlinkattributes(directory .. "/" .. fd, "target")
      has = has or target and target:sub(1, #prefix) == prefix
    end
  end)
  return has
end

local function pids_with_open(prefix)
  local pids = {}
  for name in lfs.dir "/proc" do
    local pid = tonumber(name)
    if pid and read("/proc/" .. name .. "/comm") == "redis-server\n" and
       has_open(pid, prefix) then
      pids[#pids + 1] = pid
    end
  end
  return pids
end

-- Those that are no children of another one: a fork writes a new file, never the log.
local function without_children(pids)
  local is_found, parents = {}, {}
  for _, pid in ipairs(pids) do is_found[pid] = true end
  for _, pid in ipairs(pids) do
    local _, parent = status_of(pid)
    if not is_found[parent] then parents[#parents + 1] = pid end
  end
  return parents
end

--- The servers that have an append-only file of the directory open, all of them at one
-- moment: when there seem to be several, only those are told that still have it open
-- after the last one was seen.
-- @param directory its real path
-- @treturn {number,...} process ids
function servers.of(directory)
  local prefix = directory .. "/appendonlydir/"
  local pids = without_children(pids_with_open(prefix))
  if #pids < 2 then return pids end
  local still = {}
  for _, pid in ipairs(pids) do
    if has_open(pid, prefix) then still[#still + 1] = pid end
  end
  return still
end

--- The servers, and their children, that have any file of the directory open.
function servers.using(directory)
  return pids_with_open(directory .. "/")
end

--- Kills a process without a word.
-- @return whether it was there
function servers.kill(pid)
  return core.kill_process(pid)
end

--- Kills a process and waits until it is gone.
function servers.end_process(pid)
  servers.kill(pid)
  assert(clock.wait_for(function()
    return not servers.is_running(pid)
  end, END_TIMEOUT_MS))
end

--- Kills whatever runs in a directory: for after a spec, failed or not.
function servers.end_all(directory)
  assert(clock.wait_for(function()
    local pids = servers.using(directory)
    for _, pid in ipairs(pids) do servers.kill(pid) end
    return #pids == 0
  end, END_TIMEOUT_MS))
end

local guards = {}

--- Makes a temporary directory; no server that runs in it outlives this process. (The
-- private server is no child of the program that started it.)
-- @treturn string its path
function servers.directory()
  local directory = temporary.directory()
  local root = directory:match "^(.*)/[^/]+$"
  if not guards[root] then
    -- "e": see spec/support/temporary.lua. The pipe lives as long as this module.
    guards[root] = assert(io.popen(GUARD:format(process.quote(root)), "we"))
  end
  return directory
end

return servers
