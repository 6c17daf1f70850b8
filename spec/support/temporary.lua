-- SPDX-License-Identifier: MIT

--- Directories that are gone when the run is over.
--
-- All live in one root per process. A shell holds the read end of a pipe whose write end
-- is ours: however this process ends, the shell sees the pipe close and removes the root.
-- Paths stay short, since the address of a unix socket has at most 107 bytes.
-- @module spec.support.temporary

local lfs = require "lfs"

local LONGEST_ROOT = 60
local GUARD = [[
exec >/dev/null 2>&1
trap "" HUP INT TERM
while read -r line; do :; done
rm -rf %s || { sleep 1; rm -rf %s; }
]]

local root, guard
local made = 0

local temporary = {}

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function make_root()
  local parent = os.getenv("TMPDIR") or "/tmp"
  if #parent > LONGEST_ROOT then
    parent = "/tmp"
  end
  local pipe = assert(io.popen("mktemp -d " .. quote(parent .. "/as.XXXXXX")))
  root = pipe:read("*l")
  pipe:close()
  assert(root, "no temporary directory in " .. parent)
  -- "e": the pipe must not leak into other children, or it would not close with us.
  guard = assert(io.popen(GUARD:format(quote(root), quote(root)), "we"))
end

--- Makes a new empty directory.
-- @treturn string its path, at most some 75 bytes
function temporary.directory()
  if not root then
    make_root()
  end
  made = made + 1
  local path = root .. "/" .. made
  assert(lfs.mkdir(path))
  return path
end

--- Writes `text` into a new file in a directory of its own.
-- @tparam string text
-- @tparam[opt="file"] string name
-- @treturn string its path
function temporary.file(text, name)
  local path = temporary.directory() .. "/" .. (name or "file")
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
  return path
end

--- Removes every directory made so far with all that is in it. Happens by itself when
-- the process ends.
function temporary.remove_all()
  if root then
    root = nil
    guard:close()
  end
end

return temporary
