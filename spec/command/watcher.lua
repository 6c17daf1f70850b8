-- SPDX-License-Identifier: MIT

--- Another process that loads a session all the time and writes down what it saw, each
-- time that it is something else than the time before.
-- @module spec.command.watcher

local core = require "authstate.core"
local clock = require "spec.support.clock"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local PROGRAM = [[
local authstate = require "authstate"
local core = require "authstate.core"
local session_file = require "authstate.session_file"
local store = assert(authstate.open { redis = arg[1] })
local session, last, loads = store:session(arg[2]), nil, 0
repeat
  local loaded, message = session:load_json()
  if message then error(message) end
  local text = loaded and assert(session_file.compose(loaded))
  local seen = text and core.sha256_hex(text) or "nothing"
  loads = loads + 1
  if seen ~= last then
    io.write(seen, "\n")
    io.flush()
    last = seen
  end
  local file = io.open(arg[3])
until file
io.write("loads ", loads, "\n")
]]

local Watcher = { __name = "watcher" }
Watcher.__index = Watcher

local watcher = {}

--- Starts one and waits until it has seen the session for the first time.
function watcher.start(url, session)
  local self = setmetatable({}, Watcher)
  self.stop_path = temporary.directory() .. "/stop"
  self.process = process.start {
    os.getenv("LUAJIT") or "luajit", temporary.file(PROGRAM, "watcher.lua"), url, session,
    self.stop_path, env = { LUA_PATH = package.path, LUA_CPATH = package.cpath },
  }
  self:await(1)
  return self
end

local function lines_of(self)
  local lines = {}
  for line in self.process:output():gmatch "([^\n]+)\n" do lines[#lines + 1] = line end
  return lines
end

--- Waits until it has seen `count` states.
function Watcher:await(count)
  clock.wait_for(function()
    return #lines_of(self) >= count or not self.process:alive()
  end)
  if not self.process:alive() then error(self.process:errors(), 2) end
end

--- Ends it.
-- @treturn table the states it saw, in order
-- @treturn number how often it looked
function Watcher:finish()
  io.open(self.stop_path, "w"):close()
  local status = self.process:wait()
  self.process:kill()
  if status ~= 0 then error(self.process:errors(), 2) end
  local lines = lines_of(self)
  return lines, tonumber(table.remove(lines):match "^loads (%d+)$")
end

--- What a watcher calls a session whose exported text is this.
function watcher.name(exported)
  return core.sha256_hex((exported:gsub("\n$", "")))
end

return watcher
