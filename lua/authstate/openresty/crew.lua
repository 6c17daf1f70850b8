-- SPDX-License-Identifier: MIT
--- Light threads that carry out what must not be left half done. A request can vanish
-- wherever it waits, and what it holds, such as the turn of a session, would be held for
-- ever. So the crew, which lives in a timer, does it, and the request waits for it.

local bell = require "authstate.openresty.bell"
local lifetime = require "authstate.openresty.lifetime"

-- More jobs than that wait.
local MAX_MEMBERS = 512

-- Jobs wait in `jobs` from `first` to `last`.
local crew = {
  jobs = {}, first = 1, last = 0, size = 0, wanted = 0, busy = 0,
  bell = nil,  -- of the one who takes on members; nil: nobody does
  calls = nil, -- members that rest wait for it
  members = setmetatable({}, { __mode = "k" }), -- their coroutines
}

local function next_job()
  local job = crew.jobs[crew.first]
  if not job then return nil end
  crew.jobs[crew.first] = nil
  crew.first = crew.first + 1
  if crew.first > crew.last then crew.first, crew.last = 1, 0 end
  return job
end

local function keep(job, ...)
  job.results, job.result_count = { ... }, select("#", ...)
end

local function carry_out(job)
  keep(job, pcall(job.fn, unpack(job.arguments, 1, job.argument_count)))
  job.is_done = true
  if bell.is_waited_for(job.bell) then job.bell:post(1) end
end

local function member()
  crew.members[coroutine.running()] = true
  while true do
    local job = next_job()
    if job then
      crew.busy = crew.busy + 1
      carry_out(job)
      crew.busy = crew.busy - 1
    else
      bell.wait(crew.calls)
    end
  end
end

local function lead_crew()
  while true do
    while crew.wanted > 0 do
      crew.wanted = crew.wanted - 1
      ngx.thread.spawn(member)
    end
    local is_rung = crew.bell:wait(lifetime.must_go() and
      lifetime.LINGER_MS / 1000 or bell.LONG_S)
    local is_idle = crew.busy == 0 and crew.first > crew.last
    if not is_rung and is_idle and lifetime.must_go() then break end
  end
  lifetime.watch("crew", nil)
  crew.bell = nil
  crew.size = 0
  ngx.exit(0) -- its members go, too
end

local function call_crew()
  if crew.calls:count() < 0 then
    crew.calls:post(1)
  elseif crew.size < MAX_MEMBERS then
    crew.size, crew.wanted = crew.size + 1, crew.wanted + 1
    crew.bell:post(1)
  end
end

local function raise_crew()
  crew.bell, crew.calls = bell.new(), bell.new()
  lifetime.watch("crew", crew.bell)
  local is_made, reason = ngx.timer.at(0, lead_crew)
  if is_made then return end
  lifetime.watch("crew", nil)
  crew.bell = nil
  error("authstate: ngx.timer.at: " .. reason, 0)
end

--- As scheduler.hold: the crew calls the function.
function crew.hold(fn, ...)
  if crew.members[coroutine.running()] then return fn(...) end
  if not crew.bell then raise_crew() end
  local job = {
    fn = fn, arguments = { ... }, argument_count = select("#", ...),
    bell = bell.new(), is_done = false,
  }
  crew.last = crew.last + 1
  crew.jobs[crew.last] = job
  call_crew()
  while not job.is_done do bell.wait(job.bell) end
  local results = job.results
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, job.result_count)
end

return crew
