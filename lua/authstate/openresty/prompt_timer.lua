-- SPDX-License-Identifier: MIT
--- A timer that begins at once; or never: nginx drops timers for which it has no room
-- (lua_max_running_timers, worker_connections), and tells its error log alone.

local clock = require "authstate.clock"

local PromptTimer = { __name = "authstate.prompt_timer" }
PromptTimer.__index = PromptTimer

local prompt_timer = {}

--- How long one may take to begin, in ms. Others are served long before.
prompt_timer.BEGIN_MS = 500

--- What is to be said of one that was dropped.
prompt_timer.DROPPED = "nginx did not run a timer; perhaps lua_max_running_timers or "
  .. "worker_connections is too small"

--- As ngx.timer.at, which raises where there is no room for another connection.
-- @return true; or nil and the reason
function prompt_timer.at(delay_s, fn, ...)
  local is_fine, is_made, reason = pcall(ngx.timer.at, delay_s, fn, ...)
  if is_fine and is_made then return true end
  reason = tostring(is_fine and reason or is_made)
  if reason:find "no memory" then reason = prompt_timer.DROPPED end
  return nil, "ngx.timer.at: " .. reason
end

local function begin(_, self, fn, ...)
  if self.is_given_up then return end
  self.has_begun = true
  return fn(...)
end

--- Calls a function in a timer.
-- @param fn function
-- @param ... its arguments
-- @return timer; `has_begun` may be read. Or nil and the reason
function prompt_timer.start(fn, ...)
  local self = setmetatable({
    has_begun = false, is_given_up = false, made_ms = clock.now_ms(),
  }, PromptTimer)
  local is_made, reason = prompt_timer.at(0, begin, self, fn, ...)
  if not is_made then return nil, reason end
  return self
end

--- The function is not called any more, if it was not yet.
function PromptTimer:give_up()
  self.is_given_up = true
end

--- Whether nginx has dropped it. Then its function is never called.
function PromptTimer:is_dropped(now_ms)
  if self.has_begun then return false end
  if now_ms - self.made_ms >= prompt_timer.BEGIN_MS then self.is_given_up = true end
  return self.is_given_up
end

return prompt_timer
