-- SPDX-License-Identifier: MIT
--- What a person should know, through the function that the user gave as `log`.

local log = {}

local LEVELS = { error = 1, warn = 2, info = 3, debug = 4, verbose = 5 }

local function say_nothing() end

--- @param options { log = function(level, message, fields) or nil, log_level }
-- @return function(level, message, fields); calls `log` up to the level, in the same
--   order. What `log` raises goes to standard error: a call that only tells of something
--   must not end halfway because of it.
function log.new(options)
  if not options.log then return say_nothing end
  local least = LEVELS[options.log_level]
  return function(level, message, fields)
    if LEVELS[level] > least then return end
    local is_fine, raised = pcall(options.log, level, message, fields)
    if not is_fine then
      io.stderr:write("authstate: the function log raised: ", tostring(raised), "\n")
    end
  end
end

return log
