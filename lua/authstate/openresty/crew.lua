-- SPDX-License-Identifier: MIT
--- Light threads that carry out what must not be left half done. A request can vanish
-- wherever it waits, and what it holds, such as the turn of a session, would be held for
-- ever. So a crew, which lives in a timer, does it, and the request waits for it.
--
-- Nobody waits for a member of a crew to be free: what has no member begins with a new
-- one, at once, so that its own deadline ends it.

local bell = require "authstate.openresty.bell"
local clock = require "authstate.clock"
local failure = require "authstate.failure"
local lifetime = require "authstate.openresty.lifetime"
local prompt_timer = require "authstate.openresty.prompt_timer"

-- Of one crew: nginx looks for a light thread among all of its timer, one by one.
local MAX_MEMBERS = 512

local MAX_CREWS = 32

-- How often a request looks whether nginx runs the crew that it needs.
local WATCH_S = 0.05

-- Jobs that no member has taken yet wait in `jobs` from `first` to `last`.
local jobs, first, last = {}, 1, 0

local crews = {}  -- list of { timer, bell, size, wanted, busy }
local calls       -- members of all crews that rest wait for it
local members = setmetatable({}, { __mode = "k" }) -- their coroutines

local crew = {}

local function next_job()
  while first <= last do
    local job = jobs[first]
    jobs[first] = nil
    first = first + 1
    if first > last then first, last = 1, 0 end
    if not job.is_given_up then return job end
  end
end

local function keep(job, ...)
  job.results, job.result_count = { ... }, select("#", ...)
end

local function carry_out(job)
  job.is_begun = true
  keep(job, pcall(job.fn, unpack(job.arguments, 1, job.argument_count)))
  job.is_done = true
  if bell.is_waited_for(job.bell) then job.bell:post(1) end
end

local function member(own)
  members[coroutine.running()] = true
  while true do
    local job = next_job()
    if job then
      own.busy = own.busy + 1
      carry_out(job)
      own.busy = own.busy - 1
    else
      bell.wait(calls)
    end
  end
end

local function dismiss(own)
  for i, each in ipairs(crews) do
    if each == own then table.remove(crews, i) break end
  end
  lifetime.watch(own, nil)
end

local function lead(own)
  while true do
    while own.wanted > 0 do
      own.wanted = own.wanted - 1
      ngx.thread.spawn(member, own)
    end
    local patience_ms = lifetime.must_go() and lifetime.LINGER_MS or lifetime.LOOK_MS
    local is_rung = own.bell:wait(patience_ms / 1000)
    local is_idle = own.busy == 0 and own.wanted == 0 and first > last
    if not is_rung and is_idle and lifetime.must_go() then break end
  end
  dismiss(own)
  ngx.exit(0) -- its members go, too
end

-- A crew in which another member has room; or E.
local function find_crew()
  for _, own in ipairs(crews) do
    if own.size < MAX_MEMBERS then return own end
  end
  if #crews == MAX_CREWS then
    return failure.new("overloaded", ("%d writes, and reads behind them, are under way "
      .. "in this worker"):format(MAX_CREWS * MAX_MEMBERS))
  end
  local own = { timer = nil, bell = bell.new(), size = 0, wanted = 0, busy = 0 }
  local reason
  own.timer, reason = prompt_timer.start(lead, own)
  if not own.timer then return failure.new("unavailable", reason) end
  crews[#crews + 1] = own
  lifetime.watch(own, own.bell)
  return own
end

-- Sees to it that somebody takes one job more. The crew that has a new member for it, or
-- true when one rests; or E.
local function call_member()
  calls = calls or bell.new()
  if bell.is_waited_for(calls) then
    calls:post(1)
    return true
  end
  local own, message, code, details = find_crew()
  if not own then return nil, message, code, details end
  own.size, own.wanted = own.size + 1, own.wanted + 1
  own.bell:post(1)
  return own
end

-- Waits until the job is done. True; or nil when nobody ever begins it.
local function await(job, own)
  while not job.is_done do
    local is_safe = own == true or job.is_begun or own.timer.has_begun
    bell.wait(job.bell, is_safe and bell.LONG_S or WATCH_S)
    if not is_safe and not job.is_begun and own.timer:is_dropped(clock.now_ms()) then
      job.is_given_up = true
      dismiss(own)
      return nil
    end
  end
  return true
end

--- As scheduler.hold: a crew calls the function.
function crew.hold(fn, ...)
  if members[coroutine.running()] then return fn(...) end
  local own, message, code, details = call_member()
  if not own then return nil, message, code, details end
  local job = {
    fn = fn, arguments = { ... }, argument_count = select("#", ...), bell = bell.new(),
    is_begun = false, is_given_up = false, is_done = false,
  }
  last = last + 1
  jobs[last] = job
  if not await(job, own) then
    return failure.new("unavailable", prompt_timer.DROPPED)
  end
  local results = job.results
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, job.result_count)
end

return crew
