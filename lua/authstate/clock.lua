-- SPDX-License-Identifier: MIT
--- What time it is to tasks and calls: the monotonic clock, or another one in its place,
-- by which a simulation lets time pass.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"

local clock = {}

--- Milliseconds from some beginning.
clock.now_ms = core.now_ms

--- A time that is not earlier, by at most 4 ms: cheap, for what the JIT compiles.
clock.latest_ms = core_ffi.library.authstate_latest_ms

--- Puts another clock in the place of the one that is there.
-- @param now_ms function that returns ms; nil: the monotonic clock
function clock.replace(now_ms)
  clock.now_ms = now_ms or core.now_ms
  clock.latest_ms = now_ms or core_ffi.library.authstate_latest_ms
end

return clock
