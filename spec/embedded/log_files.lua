-- SPDX-License-Identifier: MIT

--- The files of a data directory, read, written and compared as bytes.
-- @module spec.embedded.log_files

local lfs = require "lfs"

local log_files = {}

--- The whole content of a file, nil when it cannot be read.
function log_files.read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then file:close() end
  return text
end

--- Writes a file whole.
function log_files.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

-- Adds every file below a directory to a table, by its path in it.
local function collect(directory, prefix, files)
  for name in lfs.dir(directory) do
    local path = directory .. "/" .. name
    local mode = lfs.symlinkattributes(path, "mode")
    if mode == "directory" and name ~= "." and name ~= ".." then
      collect(path, prefix .. name .. "/", files)
    elseif mode == "file" then
      files[prefix .. name] = log_files.read(path)
    end
  end
  return files
end

--- All files of a data directory but the server's log of events: path in it to content.
function log_files.snapshot(directory)
  local files = collect(directory, "", {})
  files["server.log"] = nil
  return files
end

--- Puts the append-only files of a data directory as they are in a snapshot.
function log_files.restore(directory, files)
  local logs = directory .. "/appendonlydir"
  if lfs.attributes(logs) then
    for name in lfs.dir(logs) do
      if name ~= "." and name ~= ".." then os.remove(logs .. "/" .. name) end
    end
  else
    lfs.mkdir(directory)
    os.execute("chmod 700 '" .. directory .. "'")
    assert(lfs.mkdir(logs))
  end
  for name, text in pairs(files) do
    if name:find "^appendonlydir/" then
      log_files.write(directory .. "/" .. name, text)
    end
  end
end

--- The path in the data directory of the newest file that writes are appended to.
function log_files.newest(directory)
  local newest, number = nil, -1
  for name in lfs.dir(directory .. "/appendonlydir") do
    local each = tonumber(name:match "%.(%d+)%.incr%.aof$")
    if each and each > number then newest, number = name, each end
  end
  return "appendonlydir/" .. newest
end

--- How many bytes it has.
function log_files.size(directory)
  return lfs.attributes(directory .. "/" .. log_files.newest(directory), "size")
end

return log_files
