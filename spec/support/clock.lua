-- SPDX-License-Identifier: MIT

--- Time for specs: read it, let it pass, wait for something with a limit.
-- @module spec.support.clock

local socket = require "socket"

local POLL_MS = 2
-- Who waits in vain fails, and may take long for it: a machine with much else to do is no
-- reason.
local DEFAULT_TIMEOUT_MS = 60000

local clock = {}

--- Milliseconds since the epoch, with fractions.
function clock.now_ms()
  return socket.gettime() * 1000
end

--- Does nothing for `ms` milliseconds.
function clock.sleep(ms)
  socket.sleep(ms / 1000)
end

--- Calls `predicate` again and again until it returns something true.
-- @tparam function predicate
-- @tparam[opt=60000] number timeout_ms
-- @return what the predicate returned, or nil when the time is over
function clock.wait_for(predicate, timeout_ms)
  local deadline_ms = clock.now_ms() + (timeout_ms or DEFAULT_TIMEOUT_MS)
  repeat
    local result = predicate()
    if result then
      return result
    end
    clock.sleep(POLL_MS)
  until clock.now_ms() >= deadline_ms
  return predicate() or nil
end

return clock
