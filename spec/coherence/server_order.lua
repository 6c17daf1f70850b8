-- SPDX-License-Identifier: MIT

--- In which order a server has changed records, from its append-only file, which says it
-- also across restarts. Read by itself: authstate has a reader of that file, too, but
-- what is checked must not judge.
-- @module spec.coherence.server_order

local lfs = require "lfs"

local records = require "spec.coherence.records"

local server_order = {}

-- Commands one by one. A half one at the end is not there.
local function commands_in(text)
  local at = 1
  return function()
    while text:sub(at, at) == "#" do at = text:find("\n", at, true) + 1 end
    local _, behind, count = text:find("^%*(%d+)\r\n", at)
    if not count then return nil end
    local words = {}
    for i = 1, tonumber(count) do
      local _, start, length = text:find("^%$(%d+)\r\n", behind + 1)
      if not length or start + length + 2 > #text then return nil end
      words[i] = text:sub(start + 1, start + length)
      behind = start + length + 2
    end
    at = behind + 1
    return words
  end
end

local apply = {}

function apply.HSET(self, cells, words)
  for i = 3, #words, 2 do
    local name = self.names[words[2] .. "\0" .. words[i]]
    if name then cells[name] = records.tag(words[i + 1]) end
  end
end

function apply.HDEL(self, cells, words)
  for i = 3, #words do
    local name = self.names[words[2] .. "\0" .. words[i]]
    if name then cells[name] = false end
  end
end

function apply.DEL(self, cells, words)
  for i = 2, #words do
    for _, record in ipairs(self.records) do
      if record.key == words[i] then cells[record.name] = false end
    end
  end
end

apply.UNLINK = apply.DEL

function apply.FLUSHALL(self, cells)
  for _, record in ipairs(self.records) do cells[record.name] = false end
end

-- What changes no record.
local OTHERS = {
  SELECT = true, MULTI = true, EXEC = true, SET = true, PEXPIRE = true,
  PEXPIREAT = true, PERSIST = true, HINCRBY = true, ZADD = true, ZREM = true,
}

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- The files of a server, in order. One that began from a snapshot would hide changes.
local function files_of(directory)
  local paths = {}
  for name in lfs.dir(directory .. "/appendonlydir") do
    local number = name:match "%.(%d+)%.incr%.aof$"
    if number then
      paths[#paths + 1] = { tonumber(number), directory .. "/appendonlydir/" .. name }
    end
  end
  table.sort(paths, function(a, b) return a[1] < b[1] end)
  assert(paths[1] and paths[1][1] == 1, "the first file is gone")
  return paths
end

--- The changes of records.
-- @tparam string directory of the server
-- @tparam table list of records, see `records.all`
-- @treturn table list of { cells = { [name] = tag, or false } }
function server_order.read(directory, list)
  local self, order = { records = list, names = {} }, {}
  for _, record in ipairs(list) do
    self.names[record.key .. "\0" .. record.field] = record.name
  end
  for _, path in ipairs(files_of(directory)) do
    for words in commands_in(read_file(path[2])) do
      local verb, cells = words[1]:upper(), {}
      if apply[verb] then
        apply[verb](self, cells, words)
      else
        assert(OTHERS[verb], "a command that is not known: " .. verb)
      end
      if next(cells) then order[#order + 1] = { cells = cells } end
    end
  end
  return order
end

return server_order
