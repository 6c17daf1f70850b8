-- SPDX-License-Identifier: MIT
--- Replays the calls that a library made to its key store against the near cache, with
-- any policy and preload rule: which reads would have been served, and how many round
-- trips the others took.
--
-- A trace has a call a line: ["get",type,[ids]], ["set",{type:[ids]}]; a set of "-id" or
-- of a negative number deletes that record. Lines of other forms are no calls to keys,
-- such as ["creds"].

local belady = require "authstate.belady"
local cache = require "authstate.cache"
local core = require "authstate.core"
local preload = require "authstate.preload"
local session_file = require "authstate.session_file"

local replay = {}

local SESSION, SEED = 1, 1

-- Bytes that a record of each type takes as it is stored, the median of a real session.
local VALUE_BYTES = {
  ["app-state-sync-key"] = 61, ["app-state-sync-version"] = 2300, ["device-list"] = 4,
  ["identity-key"] = 36, ["lid-mapping"] = 9, ["pre-key"] = 68, ["sender-key"] = 77,
  ["sender-key-memory"] = 232, session = 329, tctoken = 23,
}
local OTHER_BYTES = 64

-- What a record takes in the cache besides.
local ENTRY_BYTES = 160

-- ---- reading a trace ----------------------------------------------------------------

local function is_list(value)
  return type(value) == "table" and getmetatable(value) == core.array_mt
end

-- An id as text; nil when it is none.
local function id_text(value)
  if type(value) == "string" then return value end
  if type(value) ~= "number" or value % 1 ~= 0 then return nil end
  return ("%.0f"):format(value)
end

local function read_get(call)
  if type(call[2]) ~= "string" then return nil, "a get names no type" end
  if not is_list(call[3]) then return nil, "a get has no list of ids" end
  local ids = {}
  for i, value in ipairs(call[3]) do
    ids[i] = id_text(value)
    if not ids[i] then
      return nil, ("id %d of a get is neither a text nor a whole number"):format(i)
    end
  end
  return { kind = "get", type = call[2], ids = ids }
end

local function add_change(changes, type_name, value)
  local id = id_text(value)
  if not id then return nil, "an id of a set is neither a text nor a whole number" end
  local rest = id:match "^%-(.*)$"
  changes[#changes + 1] = {
    kind = rest and "remove" or "set", type = type_name, id = rest or id,
  }
  return true
end

local function read_set(call)
  if type(call[2]) ~= "table" or is_list(call[2]) then
    return nil, "a set has no object of types"
  end
  local changes = {}
  for _, type_name in ipairs(session_file.sorted_names(call[2])) do
    if not is_list(call[2][type_name]) then
      return nil, ("a set has no list of ids for %s"):format(type_name)
    end
    for _, value in ipairs(call[2][type_name]) do
      local is_added, message = add_change(changes, type_name, value)
      if not is_added then return nil, message end
    end
  end
  return { kind = "set", changes = changes }
end

local READERS = { get = read_get, set = read_set }

-- The call of a line; false when it is none of keys; nil and a sentence when it is wrong.
local function read_line(line)
  local call, message = core.from_json(line)
  if call == nil then return nil, message end
  if not is_list(call) then
    return nil, 'is no list; accepted: ["get",...] or ["set",...]'
  end
  local read = READERS[call[1]]
  if not read then return false end
  return read(call)
end

--- Reads a trace, compressed by gzip or not.
-- @return list of calls; or nil and a sentence with path and line
function replay.read(path)
  local text, message = session_file.read_text(path)
  if not text then return nil, message end
  local calls, number = {}, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    local call = false
    if line:find "%S" then call, message = read_line(line) end
    if call == nil then return nil, ("%s: line %d: %s"):format(path, number, message) end
    if call then calls[#calls + 1] = call end
  end
  return calls
end

-- ---- what it is about ---------------------------------------------------------------

--- What happens to each record, in order.
-- @return list of { kind, type, id, key, size_bytes }, and how many keys there are
function replay.events(calls)
  local events, keys, count = {}, {}, 0
  local function add(kind, type_name, id)
    local ids = keys[type_name] or {}
    keys[type_name] = ids
    if not ids[id] then count, ids[id] = count + 1, count + 1 end
    events[#events + 1] = {
      kind = kind, type = type_name, id = id, key = ids[id],
      size_bytes = ENTRY_BYTES + #id + (VALUE_BYTES[type_name] or OTHER_BYTES),
    }
  end
  for _, call in ipairs(calls) do
    if call.kind == "get" then
      for _, id in ipairs(call.ids) do add("get", call.type, id) end
    else
      for _, change in ipairs(call.changes) do
        add(change.kind, change.type, change.id)
      end
    end
  end
  return events, count
end

-- ---- running ------------------------------------------------------------------------

local Run = {}
Run.__index = Run

local function new_run(settings)
  local self = setmetatable({
    now = 0, asked = 0, hits = 0, round_trips = 0, stored = {},
  }, Run)
  local function log(_, said) self.failure = self.failure or said end
  local near, message = cache.new {
    max_bytes = settings.bytes or settings.entries, unit_bytes = settings.entries and 1,
    policy = settings.policy, log = log, seed = SEED,
    now_ms = function() return self.now end,
  }
  if not near then return nil, message end
  self.near = near
  if not settings.preload then return self end
  self.rule, message = preload.new(settings.preload, { log = log })
  if not self.rule then return nil, message end
  function near.on_fate(...) self.rule:note_fate(...) end
  return self
end

function Run:has(type_name, id)
  return self.near:has(SESSION, self.near:type_number(type_name), id, self.now)
end

function Run:admit(type_name, id, source)
  local number = self.near:type_number(type_name)
  local stored = self.stored[number]
  local bytes = stored and stored[id]
  self.near:admit(SESSION, number, id, bytes, 1, self.now, source)
end

function Run:get(call)
  local near, missing = self.near, {}
  local number = near:type_number(call.type)
  for _, id in ipairs(call.ids) do
    self.asked = self.asked + 1
    if near:find(SESSION, number, id, self.now) then
      self.hits = self.hits + 1
    else
      missing[#missing + 1] = id
    end
  end
  if #missing == 0 then return end
  self.round_trips = self.round_trips + 1
  local extra = self.rule and self.rule:extra(call.type, missing, SESSION,
    function(type_name, id) return not self:has(type_name, id) end) or {}
  for _, record in ipairs(extra) do self:admit(record[1], record[2], "preload") end
  for _, id in ipairs(missing) do self:admit(call.type, id, "read") end
end

function Run:set(call)
  for _, change in ipairs(call.changes) do
    local number = self.near:type_number(change.type)
    local stored = self.stored[number] or {}
    self.stored[number] = stored
    if change.kind == "remove" then
      stored[change.id] = nil
      self.near:remove(SESSION, number, change.id, "deleted")
    else
      stored[change.id] = ("\0"):rep(VALUE_BYTES[change.type] or OTHER_BYTES)
      self:admit(change.type, change.id, "write")
    end
  end
end

function Run:play(calls)
  for _, call in ipairs(calls) do
    self.now = self.now + 1
    self[call.kind](self, call)
  end
end

local function ratio(part, whole)
  return whole > 0 and part / whole or 0
end

--- Replays a trace.
-- @param calls from `read`
-- @param settings `policy`; `preload`, a rule or nil; `entries` or `bytes`, what the
--   cache holds
-- @return settings and
--   `hit_ratio`, of the ids asked for those that took no round trip of their own;
--   `demand_hit_ratio`, without first reads of what was preloaded;
--   `round_trips` of reads; `evictions`; `refused`; `useful` and `wasted`, of the records
--   that were preloaded. Or nil and a sentence
function replay.run(calls, settings)
  local run, message = new_run(settings)
  if not run then return nil, message end
  run:play(calls)
  local stats = run.near:stats()
  run.near:close()
  if run.failure then return nil, run.failure end
  return {
    policy = settings.policy, preload = settings.preload, entries = settings.entries,
    bytes = settings.bytes, hit_ratio = ratio(run.hits, run.asked),
    demand_hit_ratio = ratio(run.hits - stats.preload.useful, run.asked),
    round_trips = run.round_trips, evictions = stats.evictions, refused = stats.refused,
    useful = stats.preload.useful, wasted = stats.preload.wasted,
  }
end

--- What no policy can pass without preload, as a hit ratio.
-- @param events from `events`
-- @param settings `entries`, or `bytes`, for which it is a bound that may be out of reach
function replay.optimum(events, settings)
  local asked = 0
  for _, event in ipairs(events) do
    if event.kind == "get" then asked = asked + 1 end
  end
  if settings.entries then
    return ratio(belady.count_hits(events, settings.entries), asked)
  end
  return ratio(belady.bound_hits(events, settings.bytes), asked)
end

return replay
