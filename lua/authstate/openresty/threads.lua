-- SPDX-License-Identifier: MIT
--- What light threads have in the place of what scheduler.lua has for tasks. Its other
-- functions serve tasks only, of which there are none.

local bell = require "authstate.openresty.bell"
local crew = require "authstate.openresty.crew"
local phases = require "authstate.openresty.phases"
local scheduler = require "authstate.scheduler"

local threads = { hold = crew.hold, is_deaf = true }

--- Something that waits, for `park` and `wake`; nil where nothing can.
function threads.running()
  if not phases.can_wait() then return nil end
  return { bell = bell.new(), is_parked = false, woken = nil }
end

-- By request, as ngx.ctx names it, and by coroutine: what `caller` gives.
local callers = setmetatable({}, { __mode = "k" })

--- As scheduler.caller. nginx uses the coroutines of requests again, also of those that
-- have vanished, so their coroutine alone does not name them.
function threads.caller()
  local coroutine_of_caller = coroutine.running()
  if not coroutine_of_caller or not phases.can_wait() then return coroutine_of_caller end
  local request = ngx.ctx
  local own = callers[request]
  if not own then
    own = setmetatable({}, { __mode = "k" })
    callers[request] = own
  end
  if not own[coroutine_of_caller] then own[coroutine_of_caller] = {} end
  return own[coroutine_of_caller]
end

--- As scheduler.park.
function threads.park(thread, _, timeout_ms)
  thread.is_parked = true
  thread.bell:wait(math.max(timeout_ms, 1) / 1000)
  thread.is_parked = false
  if thread.woken == nil then return scheduler.TIMED_OUT end
  return thread.woken
end

--- As scheduler.wake.
function threads.wake(thread, result)
  if not thread.is_parked or thread.woken ~= nil then return end
  thread.woken = result
  thread.bell:post(1)
end

--- As scheduler.sleep: the light thread waits.
function threads.sleep(ms)
  if type(ms) ~= "number" or ms ~= ms or ms < 0 then
    error("sleep: accepted: a number of ms from 0 on", 2)
  end
  local reason = phases.complaint()
  if reason then error("sleep: " .. reason, 2) end
  ngx.sleep(ms / 1000)
  return true
end

local function call_later(_, fn, ...)
  fn(...)
end

--- As scheduler.tell: in a timer. Where none can be made nothing can yield.
function threads.tell(fn, ...)
  local is_allowed, is_made = pcall(ngx.timer.at, 0, call_later, fn, ...)
  if not (is_allowed and is_made) then fn(...) end
end

-- What nginx has of its own.
local function refuse(name, instead, level)
  return function()
    error(("%s: is not there inside nginx, %s"):format(name, instead), level)
  end
end

threads.run = refuse("run", "where each request is a task already; accepted: to call the "
  .. "function, and ngx.thread.spawn for what is to be done beside it", 2)
threads.spawn = refuse("spawn", "where light threads take the place of tasks; accepted: "
  .. "ngx.thread.spawn", 2)
threads.step = refuse("step", "which turns the loop itself", 3)
threads.deadline_ms = refuse("deadline_ms", "which turns the loop itself", 3)
threads.loop = refuse("fd", "which turns the loop itself", 3)

return threads
