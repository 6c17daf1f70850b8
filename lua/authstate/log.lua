-- SPDX-License-Identifier: MIT
--- What a person should know, through the function that the user gave as `log`.

local scheduler = require "authstate.scheduler"

local log = {}

local LEVELS = { error = 1, warn = 2, info = 3, debug = 4, verbose = 5 }

-- A function that calls the store, which fails and tells of it, and so on, ends here.
local MAX_DEPTH = 8

--- Tells whoever runs the program of something, when there is no `log` that could.
-- @param level one of "error" to "verbose"
-- @param message sentence
function log.write(level, message)
  io.stderr:write("authstate: ", level, ": ", message, "\n")
end

local function complain(what)
  log.write("error", "the function log " .. what)
end

-- In a coroutine of its own: what it yields must not reach the task that tells, which may
-- hold what others wait for.
local function call(tell, ...)
  if scheduler.is_deaf then
    local is_fine, raised = pcall(tell, ...)
    if not is_fine then complain("raised: " .. tostring(raised)) end
    return
  end
  local worker = coroutine.create(tell)
  local is_fine, raised = coroutine.resume(worker, ...)
  if not is_fine then
    complain("raised: " .. tostring(raised))
  elseif coroutine.status(worker) == "suspended" then
    complain("called coroutine.yield, and was not finished")
  end
end

-- What is told when there is no `log`, but somebody asked to see.
local function write_line(level, message)
  log.write(level, message)
end

-- What is logged at least, as a number.
local function least_level(options)
  local least = LEVELS[options.log_level]
  return options.debug and math.max(least, LEVELS.debug) or least
end

--- @param options { log = function(level, message, fields) or nil, log_level, debug }, as
--   they are each time
-- @return function(level, message, fields); calls `log` up to the level, in the same
--   order. What `log` raises goes to standard error: a call that only tells of something
--   must not end halfway because of it. So does what is told while `log` tells of its own
--   failures.
function log.new(options)
  local depths = setmetatable({}, { __mode = "k" }) -- nothing: 0
  return function(level, message, fields)
    local tell = options.log or options.debug and write_line
    if not tell or LEVELS[level] > least_level(options) then return end
    local teller = scheduler.is_deaf and scheduler.caller() or options
    local depth = depths[teller] or 0
    if depth == MAX_DEPTH then return complain("is called too deep: " .. message) end
    depths[teller] = depth + 1
    call(tell, level, message, fields)
    depths[teller] = depth > 0 and depth or nil
  end
end

return log
