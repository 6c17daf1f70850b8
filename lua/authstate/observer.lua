-- SPDX-License-Identifier: MIT
--- What is done about each call of a store beside the call: it is counted
-- (`enable_metrics`), told to the program (`on_operation`), logged (`debug`, `slow_ms`)
-- and recorded (`record_trace`). A store that does none of it has no observer, and its
-- calls pay nothing.
--
-- Counting alone leaves calls as they are. Whoever wants to know more makes a call an
-- operation: a table that its requests add their times to.

local core_ffi = require "authstate.core_ffi"
local metrics = require "authstate.metrics"
local scheduler = require "authstate.scheduler"

local now_ms = core_ffi.library.authstate_now_ms

local Observer = { __name = "authstate.observer" }
Observer.__index = Observer

local observer = {}

local DONE = {}

-- A function that makes calls in coroutines of its own, which it is told of, ends here.
local MAX_DEPTH = 8

--- The level of the caller's line for who raises a mistake of his: between the two stands
-- who observes a call.
observer.LEVEL, observer.OBSERVED_LEVEL = 2, 3

-- ---- on_operation ---------------------------------------------------------------------

-- Tells one operation after the other. In a coroutine of its own, used again and again:
-- what the function yields must not reach the task whose call it is told of.
local function tell_all(hook)
  return coroutine.create(function(operation)
    while true do
      hook(operation)
      operation = coroutine.yield(DONE)
    end
  end)
end

local function complain_once(self, what)
  if self.has_complained then return end
  self.has_complained = true
  self.store.log("error", "on_operation " .. what .. "; this is told once", {})
end

-- Where yields harm nobody.
local function tell_directly(self, operation, asker)
  self.tellers[asker] = true
  local is_fine, raised = pcall(self.hook, operation)
  self.tellers[asker] = nil
  if not is_fine then complain_once(self, "raised: " .. tostring(raised)) end
end

-- A call that the function itself makes is not told of: it would never end. Those of
-- other tasks that end while it makes one are.
local function tell(self, operation)
  local asker = scheduler.caller()
  if self.tellers[asker or 0] or self.depth == MAX_DEPTH then return end
  if scheduler.is_deaf then
    tell_directly(self, operation, asker)
    return
  end
  local teller = self.idle_teller or tell_all(self.hook)
  self.idle_teller, self.tellers[teller], self.depth = nil, true, self.depth + 1
  local is_fine, marker = coroutine.resume(teller, operation)
  self.depth = self.depth - 1
  if is_fine and marker == DONE then
    self.idle_teller = teller
    return
  end
  complain_once(self, is_fine and "called coroutine.yield, and was not finished"
    or "raised: " .. tostring(marker))
end

-- ---- logging --------------------------------------------------------------------------

local function sentence_of(operation, elapsed_ms)
  local parts = { ("%s took %.3f ms"):format(operation.name, elapsed_ms) }
  if operation.type then parts[#parts + 1] = "type " .. operation.type end
  parts[#parts + 1] = ("%d records, %d bytes; waited %.3f ms, wire %.3f ms, decoded "
    .. "%.3f ms"):format(operation.count, operation.bytes, operation.queue_ms,
    operation.wire_ms, operation.decode_ms)
  if operation.code then parts[#parts + 1] = operation.code end
  return table.concat(parts, ", ")
end

local function log(self, level, operation, elapsed_ms)
  local fields = { elapsed_ms = elapsed_ms }
  for name, value in pairs(operation) do fields[name] = value end
  self.store.log(level, sentence_of(operation, elapsed_ms), fields)
end

-- ---- one call -------------------------------------------------------------------------

--- Begins an operation; the call that is begun next belongs to it.
-- @param name of the call
-- @param session id, or nil
-- @param kind type of its records, or nil
-- @param count how many records it is about
-- @return the operation
function Observer:start(name, session, kind, count)
  local operation = {
    name = name, session = session, type = kind, count = count, bytes = 0, queue_ms = 0,
    wire_ms = 0, decode_ms = 0, cache = nil, code = nil, node = self.store.node,
  }
  local state = { operation = operation, started_ms = now_ms(), requests = 0 }
  self.store.next_operation = state
  self.store.opened_ms_of_values = 0
  return state
end

-- What the near cache did for a read; nil when it was not asked.
local function cache_outcome(state, code)
  if not state.asks_cache or code then return nil end
  return state.requests == 0 and "hit" or "miss"
end

--- Ends an operation, from the results of its call, which it gives back.
function Observer:finish(state, ...)
  local value, _, code, details = ...
  local operation, elapsed_ms = state.operation, now_ms() - state.started_ms
  if value ~= nil then code = nil end
  operation.code = code
  operation.bytes = state.written or state.read or 0
  operation.count = state.count or operation.count
  operation.decode_ms = operation.decode_ms + self.store.opened_ms_of_values
  self.store.opened_ms_of_values = 0
  operation.cache = cache_outcome(state, code)
  if code and type(details) == "table" and details.node then
    operation.node = details.node
  end
  if self.metrics then self.metrics:add(operation.name, elapsed_ms, code) end
  if self.slow_ms and elapsed_ms > self.slow_ms then
    log(self, "warn", operation, elapsed_ms)
  elseif self.is_debug then
    log(self, "debug", operation, elapsed_ms)
  end
  if self.hook then tell(self, operation) end
  return ...
end

--- Adds what one request of an operation took. For drivers.
-- @param state of the operation
-- @param request { is_write }
-- @param elapsed_ms from its submission to its end
-- @param wait_ms the part of it before it was sent
-- @param bytes of its replies
function observer.add_request(state, request, elapsed_ms, wait_ms, bytes)
  local operation = state.operation
  state.requests = state.requests + 1
  operation.queue_ms = operation.queue_ms + wait_ms
  operation.wire_ms = operation.wire_ms + elapsed_ms - wait_ms
  if not request.is_write then state.read = (state.read or 0) + bytes end
end

--- Adds the time in which replies became values. For drivers.
function observer.add_decoding(state, elapsed_ms)
  local operation = state.operation
  operation.decode_ms = operation.decode_ms + elapsed_ms
end

--- What a call writes: it is known only when its records are encoded.
function observer.note_batch(state, batch)
  state.written, state.count = batch.bytes, batch.records
end

-- ---- whole classes --------------------------------------------------------------------

local function count_records(loaded)
  local count = loaded.creds ~= nil and 1 or 0
  for _, records in pairs(loaded.keys) do
    for _ in pairs(records) do count = count + 1 end
  end
  return count
end

-- How many records a call gave, where only its result tells.
local COUNTS = {
  load = count_records,
  load_creds = function() return 1 end,
  load_or_create = function() return 1 end,
}

local function finish_counted(self, state, name, ...)
  local value = ...
  if value ~= nil and COUNTS[name] then state.count = COUNTS[name](value) end
  return self:finish(state, ...)
end

-- Calls a method under observation, and gives its results.
local function watch(store, name, session, method, self, first, second)
  if store.counts then
    return store.counts:finish(name, now_ms(), method(self, first, second))
  end
  local watching = store.observer
  return finish_counted(watching, watching:start(name, session, nil, 0), name,
    method(self, first, second))
end

--- Puts in the place of methods of a class such that are observed when the store is. They
-- have one argument or two, as the methods themselves.
-- @param class table of methods
-- @param names { [method] = name of the call }
-- @param store_of function(object) -> the store
-- @param session_of function(object, first argument) -> id, or nil
function observer.wrap(class, names, store_of, session_of)
  for method_name, name in pairs(names) do
    local method = class[method_name]
    local function with_two(self, first, second)
      local store = store_of(self)
      if not store.observer then return method(self, first, second) end
      return watch(store, name, session_of(self, first), method, self, first, second)
    end
    local function with_one(self, first) return with_two(self, first) end
    local has_two = debug.getinfo(method, "u").nparams == 3
    class[method_name] = has_two and with_two or with_one
  end
end

-- ---- making ---------------------------------------------------------------------------

-- An opener whose time is added up.
local function timed_opener(store, opener)
  local timed = {}
  function timed.open(_, ...)
    local started_ms = now_ms()
    local value, message, code = opener:open(...)
    store.opened_ms_of_values = store.opened_ms_of_values + now_ms() - started_ms
    return value, message, code
  end
  return timed
end

--- Gives a store the observer that its options ask for, and takes away the one before.
-- What was counted stays as long as it is counted.
-- @param store with `options`, `made_codec`, `driver`
function observer.set(store)
  local options, before = store.options, store.observer
  local is_detailed = options.on_operation ~= nil or options.debug or
    options.slow_ms ~= nil or store.recorder ~= nil
  local counted = options.enable_metrics and
    (before and before.metrics or metrics.new()) or nil
  store.codec = counted and counted:codec(store.made_codec) or store.made_codec
  store.opener = store.codec.opener
  if counted or before and before.metrics then
    store.driver:measure(counted and counted.histograms)
  end
  store.level, store.observer, store.counts = observer.LEVEL, nil, false
  store.is_watched = is_detailed
  if not counted and not is_detailed then return end
  store.level = observer.OBSERVED_LEVEL
  store.counts = not is_detailed and counted or false
  if is_detailed and store.opener then
    store.opener = timed_opener(store, store.opener)
  end
  store.observer = setmetatable({
    store = store, metrics = counted, is_detailed = is_detailed,
    hook = options.on_operation, slow_ms = options.slow_ms, is_debug = options.debug,
    has_complained = false, idle_teller = nil, depth = 0,
    tellers = setmetatable({}, { __mode = "k" }),
  }, Observer)
end

return observer
