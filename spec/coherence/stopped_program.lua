-- SPDX-License-Identifier: MIT

-- A task that waits, then reads a record that is cached, again and again:
--
--    luajit stopped_program.lua URL ROUNDS WAIT_MS
--
-- It prints "ready" when it begins to wait, and then when it began to read, on the clock
-- of monotonic.lua, and what.

local monotonic = require "spec.coherence.monotonic"
local authstate = require "authstate"

local url, rounds, wait_ms = arg[1], tonumber(arg[2]), tonumber(arg[3])
local store = assert(authstate.open { redis = url, enable_cache = true })
local session = store:session "s"
assert(session.keys:set { ["pre-key"] = { a = "0" } })

local function read()
  return assert(session.keys:get("pre-key", { "a" })).a
end

local function is_hit()
  local before = store:stats().cache.hits
  read()
  return store:stats().cache.hits > before
end

local function say(...)
  print(...)
  io.flush()
end

authstate.run(function()
  for _ = 1, rounds do
    while not is_hit() do authstate.sleep(1) end
    say "ready"
    authstate.sleep(wait_ms)
    local began_ms = monotonic.now_ms()
    say(("%.3f"):format(began_ms), read())
  end
end)
store:close()
