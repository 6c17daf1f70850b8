-- SPDX-License-Identifier: MIT

-- Hits of the cache under the policy that is named, once LuaJIT has compiled them: prints
-- how often a trace was left, how many were begun, and how often the interpreter did a
-- thousand instructions, which is where a count hook fires.

local cache = require "authstate.cache"

local ENTRIES, HITS = 200, 200000

local near = assert(cache.new { max_bytes = 1e6, policy = arg[1] })
local number, ids = near:type_number "session", {}
for i = 1, ENTRIES do
  ids[i] = ("55119%d.0"):format(i)
  near:admit(1, number, ids[i], "value", 1, 0)
end

local function hit()
  local found = 0
  for i = 1, HITS do
    if near:find(1, number, ids[i % ENTRIES + 1], i) then found = found + 1 end
  end
  return found
end

local exits, starts, interpreted = 0, 0, 0

local function on_exit() exits = exits + 1 end

local function on_trace(what)
  if what == "start" then starts = starts + 1 end
end

if arg[2] == "interpreted" then jit.off() else hit() end
jit.attach(on_exit, "texit")
jit.attach(on_trace, "trace")
debug.sethook(function() interpreted = interpreted + 1 end, "", 1000)
local found = hit()
debug.sethook()
jit.attach(on_exit)
jit.attach(on_trace)
print(found, exits, starts, interpreted)
