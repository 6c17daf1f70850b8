-- SPDX-License-Identifier: MIT

--- Other processes that use a store: several at once, or one that is blocked in a call
-- while the spec does something else.
-- @module spec.api.actor

local assert = require "luassert"
local clock = require "spec.support.clock"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local HEAD = [[
local authstate = require "authstate"
local core = require "authstate.core"
local store = assert(authstate.open { redis = arg[1] })
local session = store:session "s"
local function report(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
  io.write(table.concat(words, "\t"), "\n")
  io.flush()
end
-- Says that it is ready, and goes on when the file is there.
local function await(path)
  report "ready"
  local file
  repeat
    file = io.open(path)
    if not file then core.sleep_ms(0.2) end
  until file
  file:close()
end
]]

local Actor = { __name = "actor" }
Actor.__index = Actor

local actor = {}

--- Starts one. Its text sees `authstate`, `store`, `session` (named "s"), `core`,
-- `report(...)`, `await(path)` and `arg` (from 2 on: what was given here).
-- @param url of the server or proxy
-- @param text of the program
-- @param ... strings
function actor.start(url, text, ...)
  local command = {
    os.getenv("LUAJIT") or "luajit", temporary.file(HEAD .. text, "actor.lua"), url, ...
  }
  command.env = { LUA_PATH = package.path, LUA_CPATH = package.cpath }
  return setmetatable({ process = process.start(command) }, Actor)
end

--- Waits until it has written a line that begins so.
function Actor:await(word)
  local is_there = clock.wait_for(function()
    return ("\n" .. self.process:output()):find("\n" .. word, 1, true)
      or not self.process:alive()
  end)
  if not is_there or not self.process:alive() then error(self.process:errors(), 2) end
end

--- Waits for its end.
-- @return the words of its last line
function Actor:finish()
  local status = self.process:wait(20000)
  self.process:kill()
  assert.equal(0, status, self.process:errors())
  local words = {}
  local line = self.process:output():match("([^\n]*)\n$") or ""
  for word in (line .. "\t"):gmatch("([^\t]*)\t") do words[#words + 1] = word end
  return words
end

return actor
