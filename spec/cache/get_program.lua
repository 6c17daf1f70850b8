-- SPDX-License-Identifier: MIT

-- keys:get of one cached record, once LuaJIT has compiled it: prints how many were found,
-- how often a trace was left meanwhile, and how often the interpreter did a thousand
-- instructions. The address of a server comes first; "interpreted" behind it turns the
-- compiler off.

local authstate = require "authstate"

if arg[2] == "interpreted" then jit.off() end

local KIND, RECORDS, READS = "lid-mapping", 100, 200000

local store = assert(authstate.open { redis = arg[1], enable_cache = true })
local session, reads = store:session "s", {}

local function read(count)
  local keys, found = session.keys, 0
  for i = 1, count do
    if keys:get(KIND, reads[i % RECORDS + 1]) then found = found + 1 end
  end
  return found
end

local function prepare()
  local changes = {}
  for i = 1, RECORDS do
    local id = tostring(5511000000000 + i)
    changes[id], reads[i] = "text " .. i, { id }
  end
  assert(session.keys:set { [KIND] = changes })
  local cache = store:stats().cache
  repeat
    local misses = cache.misses
    read(RECORDS)
    authstate.sleep(1)
    cache = store:stats().cache
  until cache.misses == misses and cache.hits > 0
end

authstate.run(function()
  prepare()
  read(READS)
  local exits, interpreted = 0, 0
  local function on_exit() exits = exits + 1 end
  jit.attach(on_exit, "texit")
  debug.sethook(function() interpreted = interpreted + 1 end, "", 1000)
  local found = read(READS)
  debug.sethook()
  jit.attach(on_exit)
  print(found, exits, interpreted)
end)
store:close()
