-- SPDX-License-Identifier: MIT

--- Another process that looks all the time how many servers have the log of a data
-- directory open, and kills one now and then.
-- @module spec.embedded.watcher

local clock = require "spec.support.clock"
local program = require "spec.embedded.program"
local temporary = require "spec.support.temporary"

local TEXT = [[
local random = require "spec.support.random"
local servers = require "spec.embedded.servers"
local dice, chance = random.new(tonumber(arg[3])), tonumber(arg[4])
local looks, looks_with_one, most, kills = 0, 0, 0, 0
report "watching"
repeat
  local pids = servers.of(arg[1])
  looks = looks + 1
  if #pids == 1 then looks_with_one = looks_with_one + 1 end
  if #pids > most then
    most = #pids
    report("seen", most, table.concat(pids, " "))
  end
  if #pids > 0 and dice:chance(chance) and servers.kill(dice:pick(pids)) then
    kills = kills + 1
  end
  core.sleep_ms(2)
  local file = io.open(arg[2])
until file
report("watched", looks, looks_with_one, most, kills)
]]

local Watcher = { __name = "watcher" }
Watcher.__index = Watcher

local watcher = {}

--- Starts one and waits until it looks.
-- @param directory the real path of the data directory
-- @param seed of its choices
-- @param chance that it kills the server that it sees, at each look
function watcher.start(directory, seed, chance)
  local self = setmetatable({ stop_path = temporary.directory() .. "/stop" }, Watcher)
  self.process = program.start {
    directory, self.stop_path, ("%.0f"):format(seed or 0), tostring(chance or 0),
    text = TEXT,
  }
  program.await(self.process, "watching")
  return self
end

--- Waits until it has seen that many servers at once.
function Watcher:await(count)
  assert(clock.wait_for(function()
    return self.process:output():find("seen\t" .. count, 1, true)
  end))
end

--- Ends it.
-- @treturn table looks, looks_with_one (server), most (servers at once), kills
function Watcher:finish()
  io.open(self.stop_path, "w"):close()
  self.process:wait()
  local words = program.await(self.process, "watched")
  self.process:kill()
  return {
    looks = tonumber(words[2]), looks_with_one = tonumber(words[3]),
    most = tonumber(words[4]), kills = tonumber(words[5]),
  }
end

return watcher
