-- SPDX-License-Identifier: MIT
--- What light threads wait for: a semaphore that is rung.
--
-- Who was rung for goes on after all sockets of this turn of nginx were seen to.

local semaphore = require "ngx.semaphore"

local bell = {}

--- Longer than any call may last. Whoever waits that long looks again.
bell.LONG_S = 3700

--- A bell: a semaphore of nginx, `bell:wait(seconds)` and `bell:post(1)`.
function bell.new()
  return assert(semaphore.new(0))
end

--- Waits until it is rung, or for so long that one must look again.
-- @param one bell
-- @param seconds nil: LONG_S
function bell.wait(one, seconds)
  local is_rung, reason = one:wait(seconds or bell.LONG_S)
  if not is_rung and reason ~= "timeout" then
    error("authstate: ngx.semaphore: " .. tostring(reason), 0)
  end
end

--- Whether a light thread waits. One whose request has vanished does not.
function bell.is_waited_for(one)
  return one:count() < 0
end

--- Rings unless it has been rung already.
function bell.ring_once(one)
  if one:count() <= 0 then one:post(1) end
end

return bell
