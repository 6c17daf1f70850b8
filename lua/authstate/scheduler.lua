-- SPDX-License-Identifier: MIT
--- Tasks: coroutines that wait for Redis, for a time, or for each other, and the one loop
-- of a Lua state that all its stores share.
--
-- A turn lets every task that can go on do so; then nothing else can join what they have
-- submitted, so it leaves together, and the loop waits for replies. Tasks change places
-- only where they wait.
--
-- A call that is made outside of a task, or inside one in a coroutine of the program's
-- own or in a function that C calls (`table.sort`, `string.gsub`), cannot let others go
-- on by yielding: it turns the loop itself until it is done.
--
-- After a fork the child has no tasks but the one that forked.
-- @module authstate.scheduler

local clock = require "authstate.clock"
local core = require "authstate.core"
local failure = require "authstate.failure"
local process = require "authstate.process"
local timers = require "authstate.timers"

local Task = { __name = "authstate.task" }
Task.__index = Task

local scheduler = {}

-- Calls outside of tasks may turn the loop within a turn of another one; deeper than this
-- they no longer let tasks go on, so that they cannot fill the stack.
local MAX_DEPTH = 16

-- How long tasks may go on before the loop is turned.
local LONGEST_RUN_MS = 10

local resume, yield, running = coroutine.resume, coroutine.yield, coroutine.running
local is_yieldable = coroutine.isyieldable

-- What a coroutine of a task yields when it waits, and when the task has ended.
local PARKED, ENDED = {}, {}

-- Coroutines whose task has ended and that can carry out another one.
local MAX_IDLE = 1024
local idle, idle_count = {}, 0

-- How long a cancelled task pauses that does not want to end.
local PAUSE_MS = 1

local CANCELLED = "the task was cancelled"

--- The result of `park` for a task that was cancelled.
-- @local
scheduler.CANCELLED = {}

--- The result of `park` for a task whose time is over.
-- @local
scheduler.TIMED_OUT = {}

--- Whether a function of the program's may yield, since no task hears it. Not here, but
-- inside nginx, where coroutines belong to a request and yields reach nginx.
-- @local
scheduler.is_deaf = false

--- Calls a function of the program's amid what must not wait; one that may yield, as
-- inside nginx, is called later.
-- @local
function scheduler.tell(fn, ...)
  fn(...)
end

local loop              -- nil: not made yet
local owner = process.number()
-- Those that are attached to it, in the order in which they came, with holes.
local drivers, driver_count = setmetatable({}, { __mode = "v" }), 0
local living = {}       -- all tasks that have not ended: nothing else may hold them
local sleepers = timers.new()
local current           -- the task that runs
local depth = 0         -- of turns within turns
local alive = 0         -- how many are living

-- Tasks belong to a group: how many are alive, and those whose error nobody has seen,
-- from number `first` to `last`, with holes behind the first.
local function empty_group(group)
  group.alive, group.failed, group.first, group.last = 0, {}, 1, 0
  return group
end

-- Those that were spawned outside of any `run`, for a loop of the program's own.
local free_group = empty_group {}

-- Those that can go on: a queue of task and what it is resumed with.
local ready, ready_first, ready_last = {}, 1, 0

scheduler.living = living

-- ---- the loop -------------------------------------------------------------------------

--- The loop, made at the first call.
-- @return loop; or E
-- @local
function scheduler.loop()
  scheduler.note_process()
  if loop then return loop end
  local made, message, code = core.loop()
  if not made then return failure.new(code, message) end
  loop = made
  return loop
end

--- Puts another loop in the place of the one of sockets: an object with its methods. For
-- simulations, between runs.
-- @param another loop; nil: one of sockets, made at the next call
-- @return the one before, nil for none
-- @local
function scheduler.use_loop(another)
  local before = loop
  loop = another
  return before
end

--- A driver takes part in the turns: after each one it is asked to `deliver`.
-- @local
function scheduler.add(driver)
  local kept = 0
  for i = 1, driver_count do
    local each = drivers[i]
    drivers[i] = nil
    if each then
      kept = kept + 1
      drivers[kept] = each
    end
  end
  driver_count = kept + 1
  drivers[driver_count] = driver
end

--- A driver takes part no more.
-- @local
function scheduler.remove(driver)
  for i = 1, driver_count do
    if drivers[i] == driver then drivers[i] = nil end
  end
end

--- To be called when this may be a child that was forked: what the parent does is not the
-- child's.
-- @local
function scheduler.note_process()
  if owner == process.number() then return end
  owner = process.number()
  if loop then loop:close() end
  loop, sleepers = nil, timers.new()
  for i = 1, driver_count do drivers[i] = nil end
  ready, ready_first, ready_last = {}, 1, 0
  for task in pairs(living) do living[task] = nil end
  alive = 0
  empty_group(free_group)
  if current then
    living[current], alive = true, 1
    empty_group(current.group)
    current.group.alive = 1
  end
end

-- ---- tasks ----------------------------------------------------------------------------

-- The error of a task that nobody waits for; somebody may still do so.
local function note_unseen(task)
  local group = task.group
  group.last = group.last + 1
  group.failed[group.last], task.failed_as = task, group.last
end

-- Somebody was told how the task ended. What is not to be told any more is not kept: a
-- `run` may go on for months.
local function note_seen(task)
  local group, number = task.group, task.failed_as
  task.was_seen = true
  if not number then return end
  group.failed[number], task.failed_as = nil, nil
  while group.first <= group.last and not group.failed[group.first] do
    group.first = group.first + 1
  end
  if group.first > group.last then group.first, group.last = 1, 0 end
end

local function enqueue(task, result)
  ready_last = ready_last + 2
  ready[ready_last - 1], ready[ready_last] = task, result
end

--- Lets a task that waits go on in this turn or the next one. No effect on one that was
-- woken already: of two that wake it in one turn, the first decides.
-- @param task that waits
-- @param result what its `park` returns
-- @local
function scheduler.wake(task, result)
  if not task.cancel_wait then return end
  if task.timer then
    sleepers:remove(task.timer)
    task.timer = nil
  end
  task.cancel_wait = nil
  enqueue(task, result)
end

local function finish(task, is_fine)
  task.is_done, task.is_fine = true, is_fine
  local group = task.group
  living[task], alive = nil, alive - 1
  group.alive = group.alive - 1
  for _, waiter in ipairs(task.waiters or {}) do
    if waiter.awaits == task then
      waiter.awaits, task.was_seen = nil, true
      scheduler.wake(waiter)
    end
  end
  task.waiters = nil
  if not (is_fine or task.is_cancelled or task.was_seen) then note_unseen(task) end
end

local function fail(task, message)
  task.results, task.result_count = { message }, 1
  if type(message) == "string" and task.coroutine then
    task.trace = debug.traceback(task.coroutine, message)
  end
  finish(task, false)
end

-- A task did not park: it has ended, or has yielded to nobody.
local function settle(task, is_fine, marker)
  scheduler.note_process() -- it may have forked
  if not is_fine then
    fail(task, marker)
  elseif marker == ENDED then
    if idle_count < MAX_IDLE then
      idle_count = idle_count + 1
      idle[idle_count] = task.coroutine
    end
    task.coroutine = nil
    finish(task, true)
  else
    fail(task, "a task has called coroutine.yield; only calls of authstate may wait in "
      .. "it")
  end
end

local function record(task, ...)
  task.results, task.result_count = { ... }, select("#", ...)
end

local function call(task)
  local fn, arguments = task.fn, task.arguments
  task.fn, task.arguments = nil, nil
  return fn(unpack(arguments, 1, task.argument_count))
end

-- What a coroutine does: one task after the other. Between two it holds nothing.
local function carry_out(task)
  while true do
    record(task, call(task))
    task = nil -- luacheck: ignore
    task = yield(ENDED)
  end
end

local function start(task)
  local worker = idle[idle_count]
  if worker then
    idle[idle_count], idle_count = nil, idle_count - 1
  else
    worker = coroutine.create(carry_out)
  end
  task.is_started, task.coroutine = true, worker
  return resume(worker, task)
end

-- Lets those go on that are ready, and those that they make ready, so that what they
-- submit leaves together; but replies and times must not wait for ever.
local function run_ready()
  local began_ms, count, before = clock.now_ms(), 0, current
  while ready_first <= ready_last do
    count = count + 1
    if count % 256 == 0 and clock.now_ms() - began_ms > LONGEST_RUN_MS then break end
    local task, result = ready[ready_first], ready[ready_first + 1]
    ready[ready_first], ready[ready_first + 1] = nil, nil
    ready_first = ready_first + 2
    current = task
    local is_fine, marker = true, PARKED
    if task and task.is_started then
      is_fine, marker = resume(task.coroutine, result)
    elseif task and not task.is_done then
      is_fine, marker = start(task)
    end
    if marker ~= PARKED then settle(task, is_fine, marker) end
    current = before
  end
  if ready_first > ready_last then ready_first, ready_last = 1, 0 end
end

-- Lets one task go on that is not in the queue.
local function go_on_with(task, go, ...)
  local before = current
  current = task
  local is_fine, marker = go(...)
  if marker ~= PARKED then settle(task, is_fine, marker) end
  current = before
end

-- The same as `run_ready` for those that hold what others wait for (see `hold`), and no
-- further.
local function run_ready_holders()
  local at = ready_first
  while at <= ready_last do
    local task, result = ready[at], ready[at + 1]
    if task and task.holds then
      ready[at], ready[at + 1] = false, nil
      go_on_with(task, resume, task.coroutine, result)
    end
    at = at + 2
  end
end

-- Wakes those whose time has come.
local function fire_timers()
  local timer = sleepers:first()
  if not timer then return end
  local now_ms = clock.now_ms()
  while timer and timer.due_ms <= now_ms do
    scheduler.wake(timer.task, scheduler.TIMED_OUT)
    timer = sleepers:first()
  end
end

local function until_next_timer_ms()
  local timer = sleepers:first()
  return timer and math.max(timer.due_ms - clock.now_ms(), 0) or math.huge
end

-- The first half of a turn: tasks go on.
local function go_on()
  depth = depth + 1
  if depth <= MAX_DEPTH then run_ready() else run_ready_holders() end
  depth = depth - 1
end

-- The second half: what they have submitted leaves, and what has come is handed out.
local function exchange(timeout_ms)
  local can_go_on = ready_first <= ready_last and depth < MAX_DEPTH
  local wait_ms = can_go_on and 0 or math.min(timeout_ms, until_next_timer_ms())
  local is_turned, message = assert(scheduler.loop()):step(wait_ms)
  if not is_turned then error("authstate: epoll_wait failed: " .. message) end
  for i = 1, driver_count do
    local driver = drivers[i]
    if driver then driver:deliver() end
  end
  fire_timers()
end

--- Turns the loop until `is_over(argument)`; for calls outside of tasks.
-- @param is_over function
-- @param argument of it
-- @param due_ms when it must be looked at again at the latest; nil: at no time
-- @local
function scheduler.drive(is_over, argument, due_ms)
  local task = current
  if task then task.drives = (task.drives or 0) + 1 end
  while true do
    go_on()
    if is_over(argument) then break end
    exchange(due_ms and math.max(due_ms - clock.now_ms(), 0) or math.huge)
  end
  if task then task.drives = task.drives - 1 end
end

--- The task whose own coroutine runs and can yield; nil outside of tasks, in a coroutine
-- that the program has made, and in a function that was called from C.
-- @local
function scheduler.running()
  if current and running() == current.coroutine and is_yieldable() then return current end
end

--- What tells the coroutine that runs from all others; nil outside of any.
-- @local
function scheduler.caller()
  return (running())
end

--- The task that runs, also when a coroutine that the program has made runs in it.
-- @local
function scheduler.current()
  return current
end

--- Whether there are tasks.
-- @local
function scheduler.has_tasks()
  return alive > 0
end

local function wake_cancelled(task)
  scheduler.wake(task, scheduler.CANCELLED)
end

--- Waits in a task until somebody wakes it.
-- @param task the one that runs
-- @param cancel function of the task that ends what it waits for, should the task be
--   cancelled, so that it is woken; nil: it is woken at once, with CANCELLED
-- @param timeout_ms after which it is woken with TIMED_OUT; nil: never
-- @return what it was woken with
-- @local
function scheduler.park(task, cancel, timeout_ms)
  scheduler.note_process()
  task.cancel_wait = cancel or wake_cancelled
  if timeout_ms then
    task.timer = { due_ms = clock.now_ms() + timeout_ms, task = task }
    sleepers:add(task.timer)
  end
  return yield(PARKED)
end

--- Lets the others go on, and the loop turn, before a task goes on that has not waited
-- for long. To be told that it was cancelled meanwhile is for the call that follows.
-- @param task the one that runs, and can yield
-- @local
function scheduler.give_way(task)
  scheduler.park(task, nil, 0)
  task.was_told = nil
end

--- What a task yields to wait for a driver that has noted it: `scheduler.running()`, with
-- `cancel_wait` set as by `park`.
-- @local
scheduler.PARKED = PARKED

--- To be called before a task waits, or would. False when it goes on; else it was
-- cancelled: the first call that is told so can tell its caller, the next ones raise,
-- once others could go on, so that a task that catches this for ever harms nobody else.
-- @local
function scheduler.is_cancelled(task)
  if not task.is_cancelled then return false end
  if task.was_told then
    if scheduler.running() then scheduler.park(task, nil, PAUSE_MS) end
    task.holds = nil
    error(CANCELLED, 0)
  end
  task.was_told = true
  return true
end

--- E for a call that was cancelled before it did anything.
-- @local
function scheduler.cancelled(details)
  details.sent, details.applied = false, details.applied or "no"
  return failure.new("cancelled", CANCELLED, details)
end

local function check_ms(name, ms, level)
  if type(ms) ~= "number" or ms ~= ms or ms < 0 then
    error(("%s: %s is no time; accepted: a number of ms from 0 on")
      :format(name, failure.show(ms)), level + 1)
  end
end

local function is_due(due_ms)
  return clock.now_ms() >= due_ms
end

--- Waits. In a task the others go on meanwhile; elsewhere the process sleeps.
-- @param ms from 0 on
-- @return true; or nil, message, "cancelled"
-- @local
function scheduler.sleep(ms)
  check_ms("sleep", ms, 2)
  local task = scheduler.running()
  if current and scheduler.is_cancelled(current) then return scheduler.cancelled {} end
  if not task then
    local due_ms = clock.now_ms() + ms
    if alive == 0 then
      core.sleep_ms(ms)
      return true
    end
    scheduler.drive(is_due, due_ms, due_ms)
    return true
  end
  local woken = scheduler.park(task, nil, ms)
  if woken == scheduler.CANCELLED then return scheduler.cancelled {} end
  return true
end

local function new_task(group, fn, ...)
  group.alive = group.alive + 1
  local task = setmetatable({
    fn = fn, group = group, arguments = { ... }, argument_count = select("#", ...),
  }, Task)
  living[task], alive = true, alive + 1
  return task
end

local function is_done(task)
  return task.is_done
end

local function after_hold(task, ...)
  task.holds = nil
  if depth > MAX_DEPTH then
    enqueue(task)
    yield(PARKED)
  end
  return ...
end

--- Calls a function that waits while it holds what others wait for, such as the turn of a
-- session. Outside of tasks, when there are some, it runs in one of its own: a call above
-- this one in the stack must be able to let it go on.
-- @param fn function that calls none of the program's own
-- @param ... its arguments
-- @return its results; raises what it raises
-- @local
function scheduler.hold(fn, ...)
  if alive == 0 then return fn(...) end
  local task = scheduler.running()
  if task then
    task.holds = true
    return after_hold(task, fn(...))
  end
  if current and scheduler.is_cancelled(current) then return scheduler.cancelled {} end
  task = new_task(current and current.group or free_group, fn, ...)
  task.holds, task.was_seen = true, true
  go_on_with(task, start, task)
  scheduler.drive(is_done, task)
  if not task.is_fine then error(task.results[1], 0) end
  return unpack(task.results, 1, task.result_count)
end

local function check_function(name, fn, level)
  if type(fn) ~= "function" then
    error(("%s: %s is no function"):format(name, failure.show(fn)), level + 1)
  end
end

--- Starts a task beside the one that runs. It begins when that one waits. In a program
-- with a loop of its own (store:step) it may be called outside of tasks too.
-- @param fn function
-- @param ... its arguments
-- @return task
-- @local
function scheduler.spawn(fn, ...)
  check_function("spawn", fn, 2)
  scheduler.note_process()
  local task = new_task(current and current.group or free_group, fn, ...)
  enqueue(task)
  return task
end

local function raise(task)
  note_seen(task)
  local message = task.results[1]
  if type(message) ~= "string" then error(message, 0) end
  error(task.trace, 0)
end

-- Raises the first error that nobody has seen; the next ones are kept.
local function raise_unseen(group)
  local task = group.failed[group.first]
  if task then raise(task) end
end

--- Lets tasks go on, and hands out what has come, without waiting; for calls outside of
-- tasks.
-- @local
function scheduler.turn()
  go_on()
  exchange(0)
end

--- One turn that does not wait, for a loop of the program's own. Raises the error of a
-- task that was spawned outside of `run` and that nobody waits for.
-- @local
function scheduler.step()
  go_on()
  exchange(0)
  if ready_first <= ready_last then
    go_on()
    exchange(0)
  end
  raise_unseen(free_group)
end

--- When the next step is due at the latest, in ms of clock.now_ms(); math.huge: when the
-- descriptor is readable.
-- @local
function scheduler.deadline_ms()
  local has_failed = free_group.first <= free_group.last
  if has_failed or ready_first <= ready_last then return clock.now_ms() end
  local timer = sleepers:first()
  local timer_ms = timer and timer.due_ms or math.huge
  return math.min(timer_ms, assert(scheduler.loop()):deadline_ms())
end

local function has_ended(group)
  return group.alive == 0
end

--- Runs a function as a task, and returns when it and all that it has spawned have ended.
-- An error in one task does not stop the others. At the end `run` raises the function's
-- own error, or the first one of a spawned task that nobody has waited for.
-- @param fn function
-- @param ... its arguments
-- @return its results
-- @local
function scheduler.run(fn, ...)
  check_function("run", fn, 2)
  if current then error("run: is called in a task; use spawn", 2) end
  local group = empty_group {}
  scheduler.note_process()
  local main = new_task(group, fn, ...)
  enqueue(main)
  scheduler.drive(has_ended, group)
  if not main.is_done then return end -- the child of a fork in another task
  if not main.is_fine then raise(main) end
  raise_unseen(group)
  return unpack(main.results, 1, main.result_count)
end

-- ---- task objects ---------------------------------------------------------------------

-- Who waits no longer is not kept: a task may be asked again and again.
local function await_end(task, waiter, timeout_ms)
  local waiters = task.waiters or {}
  task.waiters, waiter.awaits = waiters, task
  waiters[#waiters + 1] = waiter
  local woken = scheduler.park(waiter, nil, timeout_ms)
  waiter.awaits = nil
  for i = task.is_done and 0 or #waiters, 1, -1 do
    if waiters[i] == waiter then table.remove(waiters, i) break end
  end
  return woken
end

--- Waits until the task has ended.
-- @function task:wait
-- @param timeout_ms how long at most; nil: for ever
-- @return true and what its function returned; false and its error; or nil, message and
--   "timeout" (the task goes on) or "cancelled" (who waits was)
function Task:wait(timeout_ms)
  if timeout_ms ~= nil then check_ms("timeout_ms", timeout_ms, 2) end
  local waiter = scheduler.running()
  if current == self then error("wait: a task cannot wait for itself", 2) end
  if not waiter and (self.drives or 0) > 0 then
    error("wait: the task waits in a coroutine of its own, below this one in the stack; "
      .. "it cannot end before this one does", 2)
  end
  local due_ms = clock.now_ms() + (timeout_ms or math.huge)
  if not self.is_done and current and scheduler.is_cancelled(current) then
    return scheduler.cancelled {}
  elseif not self.is_done and not waiter then
    scheduler.drive(function()
      return self.is_done or clock.now_ms() >= due_ms
    end, nil, due_ms)
  elseif not self.is_done then
    local woken = await_end(self, waiter, timeout_ms)
    if woken == scheduler.CANCELLED then return scheduler.cancelled {} end
  end
  if not self.is_done then
    return nil, ("the task has not ended within %g ms"):format(timeout_ms), "timeout"
  end
  note_seen(self)
  return self.is_fine, unpack(self.results, 1, self.result_count)
end

--- Cancels the task: the call that it waits in answers `cancelled`, and frees what it has
-- in the queue; every later call that would wait raises. A task that has not begun never
-- does. No effect on one that has ended.
-- @function task:cancel
function Task:cancel()
  if self.is_done or self.is_cancelled then return end
  self.is_cancelled = true
  if not self.is_started then
    fail(self, CANCELLED)
    return
  end
  local cancel_wait = self.cancel_wait
  if not cancel_wait then return end
  self.was_told = true
  self.awaits = nil
  cancel_wait(self)
end

return scheduler
