-- SPDX-License-Identifier: MIT
--- Bytes that nobody can guess, for the names of writers; or, in their place, those of a
-- simulation, which come again with its seed.

local core = require "authstate.core"

local entropy = {}

--- A string of `count` random bytes.
-- @function entropy.bytes
entropy.bytes = core.random

--- Puts another source in the place of the one that is there.
-- @param bytes function(count) that returns a string; nil: that of the system
function entropy.replace(bytes)
  entropy.bytes = bytes or core.random
end

return entropy
