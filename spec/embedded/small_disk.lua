-- SPDX-License-Identifier: MIT

--- A disk that can be full: a small tmpfs in a mount namespace of its own or, where that
-- is not allowed, a limit on the size of files. Both are seen only by the program that
-- asked for it, so that program also fills it and makes space.
-- @module spec.embedded.small_disk

local ffi = require "ffi"
local lfs = require "lfs"
local process = require "spec.support.process"
local servers = require "spec.embedded.servers"

ffi.cdef [[
struct spec_limit { unsigned long soft, hard; };
int prlimit(int pid, int resource, const struct spec_limit *limit,
            struct spec_limit *old);
]]

local RLIMIT_FSIZE = 1

local small_disk = {}

-- A mount and what runs on it end together.
local MOUNT = [[mount -t tmpfs -o size=4m,mode=700 tmpfs "$0" && exec "$@"]]

-- Sets the limit of a process, 0 for this one; nil: none.
local function limit(pid, bytes)
  local value = ffi.new "struct spec_limit"
  ffi.fill(value, ffi.sizeof(value), 0xff) -- RLIM_INFINITY
  if bytes then value.soft = bytes end
  assert(ffi.C.prlimit(pid, RLIMIT_FSIZE, value, nil) == 0)
end

local function limit_all(directory, bytes)
  for _, pid in ipairs(servers.using(directory)) do limit(pid, bytes) end
  limit(0, bytes)
end

local function newest_size(directory)
  local largest = 0
  local logs = directory .. "/appendonlydir"
  if not lfs.attributes(logs) then return 0 end
  for name in lfs.dir(logs) do
    if name:find "%.incr%.aof$" then
      largest = math.max(largest, lfs.attributes(logs .. "/" .. name, "size"))
    end
  end
  return largest
end

-- Writes to a file until the disk takes nothing more.
local function fill(path)
  local file = assert(io.open(path, "ab"))
  file:setvbuf "no"
  for _, size in ipairs { 65536, 4096, 1 } do
    local block = ("x"):rep(size)
    repeat local is_written = file:write(block) until not is_written
  end
  file:close()
end

--- The kinds of disks: name; reason (strerror of a write to a full one); before(mount)
-- gives the words in front of a program for which the directory `mount` is that disk;
-- fill(mount, data directory) and make_space are for that program.
small_disk.kinds = {
  {
    name = "a small file system", reason = "No space left on device",
    before = function(mount)
      return { "unshare", "-rm", "sh", "-c", MOUNT, mount }
    end,
    fill = function(mount) fill(mount .. "/filler") end,
    make_space = function(mount) assert(os.remove(mount .. "/filler")) end,
  },
  {
    name = "a limit on the size of files", reason = "File too large",
    before = function() return { "env", "--ignore-signal=XFSZ" } end,
    fill = function(_, directory) limit_all(directory, newest_size(directory)) end,
    make_space = function(_, directory) limit_all(directory, nil) end,
  },
}

--- Whether a kind is possible here.
function small_disk.is_possible(kind)
  local words = kind.before "/proc/self/cwd"
  words.cwd = servers.directory()
  words[#words + 1] = "true"
  return process.run(words) == 0
end

return small_disk
