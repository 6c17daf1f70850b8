-- SPDX-License-Identifier: MIT

--- The clock that all processes of a machine share and nobody sets (CLOCK_MONOTONIC), for
-- times that are compared between processes. Not authstate's: what is checked by it must
-- not be measured by it.
-- @module spec.coherence.monotonic

local ffi = require "ffi"

ffi.cdef "int clock_gettime(int, long *)"

local CLOCK_MONOTONIC = 1

local time = ffi.new "long[2]"

--- Milliseconds, with fractions.
local function now_ms()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, time)
  return tonumber(time[0]) * 1e3 + tonumber(time[1]) / 1e6
end

return { now_ms = now_ms }
