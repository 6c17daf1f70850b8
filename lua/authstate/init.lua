-- SPDX-License-Identifier: MIT
--- authstate keeps the auth state of WhatsApp sessions (credentials and Signal keys) in
-- Redis, safely: all-or-nothing writes that take effect exactly once, and never a guess
-- about what is there.
--
--     local authstate = require "authstate"
--     local store   = assert(authstate.open { redis = "redis://127.0.0.1:6379" })
--     local session = store:session "5511999999999"
--     local creds, created = session:load_or_create(mint)
--     if not creds then error(created) end
--
-- A call has three outcomes: found; absent (`nil` alone, because Redis said so); an error
-- (`nil, message, code, details`, see failure.lua). A mistake of the caller is raised.
--
-- Besides what is listed here, everything in `authstate.values` is here too:
-- `authstate.bytes`, `authstate.null`, `authstate.to_json`, ...
-- @module authstate

local platform = require "authstate.platform"

local is_right, complaint = platform.check()
if not is_right then
  -- Or the next `require` would only say that there was an error before.
  package.loaded["authstate"] = nil
  error(complaint, 0)
end

local scheduler = require "authstate.scheduler"
local store = require "authstate.store"
local values = require "authstate.values"
local version = require "authstate.version"

local authstate = {}

--- The version, such as "1.0.0".
authstate._VERSION = version

--- Opens a store.
-- @function open
-- @param options table, see doc/interfaces.md
-- @return the store; or E
-- @see authstate.store
authstate.open = store.open

--- Runs a function as a task: within it and the tasks that it spawns, a call of a store
-- lets the others go on while it waits. Returns when all have ended. An error in one does
-- not stop the others; at the end `run` raises the function's own, or the first one of a
-- task that nobody has waited for.
-- @function run
-- @param fn function
-- @param ... its arguments
-- @return the results of fn
-- @raise when it is called in a task
authstate.run = scheduler.run

--- Starts a task beside the one that runs; it begins when that one waits.
-- @function spawn
-- @param fn function
-- @param ... its arguments
-- @return task
-- @see authstate.scheduler
authstate.spawn = scheduler.spawn

--- Waits; in a task the others go on meanwhile.
-- @function sleep
-- @param ms number from 0 on
-- @return true; or nil, message, "cancelled"
authstate.sleep = scheduler.sleep

for name, value in pairs(values) do authstate[name] = value end

return authstate
