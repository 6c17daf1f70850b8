-- SPDX-License-Identifier: MIT
--- Judges what callers were told by what the server did. It knows neither engine nor
-- model: only calls (history.lua) and the changes of sessions (observation.lua), and
-- what authstate promises:
--
--   1  every call is answered once, at most one step after its deadline
--   2  a write that was acknowledged took effect, while the call lasted, with the version
--      that was told; one that was told as not applied, or by last_commit afterwards,
--      did not, now or later
--   3  no write takes effect twice, none in part, and nothing that nobody wrote
--   4  of one session in one store what was called first takes effect first; a read sees
--      what was written before it
--   5  a read gives what was stored at some moment of the call, all of one moment
--   6  a write with `expect` met that version; one that conflicts met another one
--   7  of the creds of a session exactly one were made where there were none
--   8  once faults have stopped, every call succeeds, and none waits in vain
--   9  in the end every store reads what is stored
--   10 what a cache gives is not older than what its store was told, nor than a write of
--      its own that was called before, nor than `cached_ms`; each record by itself
--
-- A server that has lost all (FLUSHALL) does not know what it did before: of what it
-- lost, nothing need be told, and a write that was lost may take effect again.
--
-- A position is how many changes the server had made; the state of a session at one is
-- what the entries up to it left.

local checker = {}

local Checker = {}
Checker.__index = Checker

-- A silent connection is given up after 10 s.
local RECOVERY_MS = 15000

-- How long after its deadline a call may be answered.
local STEP_MS = 1

local EMPTY = { position = 0, cells = {}, version = 0 }

local function complain(self, call, sentence, ...)
  local violation = {
    sentence = sentence:format(...), call = call, session = call and call.session,
  }
  self.violations[#self.violations + 1] = violation
end

local function name_of(call)
  return ("call %d (%s of session %s by store %d)"):format(call.number, call.operation,
    call.session, call.store)
end

-- ---- states --------------------------------------------------------------------------

-- What an entry left behind.
local function next_state(before, entry)
  if entry.is_flush then
    return { position = entry.position, cells = {}, version = 0, entry = entry }
  end
  local cells = {}
  for cell, tag in pairs(before.cells) do cells[cell] = tag end
  for cell, tag in pairs(entry.cells) do cells[cell] = tag or nil end
  local is_tombstone = entry.is_tombstone
  if is_tombstone == nil then is_tombstone = before.is_tombstone end
  return {
    position = entry.position, cells = cells, entry = entry,
    version = entry.version or before.version,
    generation = entry.generation or before.generation, is_tombstone = is_tombstone,
  }
end

-- The states of a session, from the empty one on.
local function states_of(self, session)
  local states = self.states[session]
  if not states then
    states = { EMPTY }
    self.states[session] = states
  end
  return states
end

-- The index of the state that a session had at a position.
local function index_at(states, position)
  local low, high = 1, #states
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if states[middle].position <= position then low = middle else high = middle - 1 end
  end
  return low
end

-- Whether some state of a session between two positions fits; its index.
local function find_state(states, first, last, fits, argument)
  for i = first, last do
    if fits(states[i], argument) then return i end
  end
end

-- ---- answers -------------------------------------------------------------------------

local function check_answer(self, call)
  if call.answers ~= 1 then
    complain(self, call, "%s was answered %d times", name_of(call), call.answers)
    return false
  end
  if call.outcome.code == "raised" then
    complain(self, call, "%s raised: %s", name_of(call), call.outcome.message)
  end
  local late_ms = call.ended_ms - call.deadline_ms
  if late_ms > STEP_MS then
    complain(self, call, "%s was answered %.3f ms after its deadline", name_of(call),
      late_ms)
  end
  local runs_out = call.outcome.code == "timeout" and late_ms >= 0
  if runs_out and call.deadline_ms - self.calm_ms >= self.recovery_ms then
    complain(self, call, "%s was not answered within its %g ms, the last %.0f of them "
      .. "without faults", name_of(call), call.timeout_ms,
      call.deadline_ms - self.calm_ms)
  end
  if call.must_succeed and not call.outcome.is_fine then
    complain(self, call, "%s failed when there were no faults any more: %s (%s)",
      name_of(call), call.outcome.message, call.outcome.code)
  end
  return true
end

-- What a failed call says about having been applied.
local function check_words(self, call)
  local outcome = call.outcome
  if outcome.is_fine then return end
  local details = outcome.details
  -- A delete may have deleted, and not have reached the index then.
  local is_right = details.applied == "no" or
    details.applied == "yes" and call.operation == "delete"
  if outcome.code == "unavailable" and (details.sent or not is_right) then
    complain(self, call, "%s is `unavailable`, and was sent = %s, applied = %s",
      name_of(call), tostring(details.sent), tostring(details.applied))
  end
end

-- ---- writes --------------------------------------------------------------------------

-- Which entries have the tag of a write.
local function find_writers(self)
  for _, entry in ipairs(self.entries) do
    local is_noted = {}
    for cell, tag in pairs(entry.cells) do
      if tag == 0 then
        complain(self, nil, "change %d wrote %s of session %s, and nobody did",
          entry.position, cell, entry.session)
      elseif tag and not is_noted[tag] then
        is_noted[tag] = true
        self.applied[tag] = self.applied[tag] or {}
        table.insert(self.applied[tag], entry)
      end
    end
  end
end

-- Which store has which name.
local function find_owners(self)
  for _, call in ipairs(self.calls) do
    for _, entry in ipairs(call.tag and self.applied[call.tag] or {}) do
      if entry.writer then self.owners[entry.writer] = call.store end
    end
  end
end

local function has_same_cells(call, entry)
  for cell, tag in pairs(call.cells) do
    if entry.cells[cell] == nil and tag ~= false then return false end
    if entry.cells[cell] ~= nil and entry.cells[cell] ~= tag then return false end
  end
  for cell in pairs(entry.cells) do
    if call.cells[cell] == nil then return false end
  end
  return true
end

-- Whether the server has lost all between two positions.
local function has_lost(self, first, last)
  for _, position in ipairs(self.flushes) do
    if position > first and position <= last then return true end
  end
  return false
end

-- A write that took effect.
local function check_effect(self, call, entry)
  local outcome = call.outcome
  if not has_same_cells(call, entry) then
    complain(self, call, "%s took effect in part, or beside another one, in change %d",
      name_of(call), entry.position)
  end
  if entry.session ~= call.session then
    complain(self, call, "%s took effect in session %s", name_of(call), entry.session)
  end
  if entry.position <= call.began_at then
    complain(self, call, "%s took effect before it was made", name_of(call))
  end
  if outcome.is_fine and entry.position > call.ended_at then
    complain(self, call, "%s was acknowledged before it took effect (change %d)",
      name_of(call), entry.position)
  end
  if call.expect and entry.version ~= call.expect + 1 then
    complain(self, call, "%s expected version %d and made %d", name_of(call), call.expect,
      entry.version)
  end
  if outcome.version and outcome.version ~= entry.version then
    complain(self, call, "%s was told version %s, and made %s", name_of(call),
      tostring(outcome.version), tostring(entry.version))
  end
  if has_lost(self, entry.position, math.huge) then return end
  if not outcome.is_fine and outcome.details.applied == "no" then
    complain(self, call, "%s was told `%s`, not applied, and took effect in change %d",
      name_of(call), outcome.code, entry.position)
  end
  if call.settled == "no" then
    complain(self, call, "%s was told by last_commit as not applied, and took effect in "
      .. "change %d", name_of(call), entry.position)
  end
end

local function wrote(call)
  return call.outcome.is_fine and (not call.is_composite or call.outcome.is_created)
end

local function check_write(self, call)
  local applied = self.applied[call.tag] or {}
  for i = 2, #applied do
    local first, second = applied[i - 1].position, applied[i].position
    if not has_lost(self, first, second) then
      complain(self, call, "%s took effect %d times, in changes %d and %d", name_of(call),
        #applied, first, second)
    end
  end
  if applied[1] then
    check_effect(self, call, applied[#applied])
    if call.outcome.is_fine and not wrote(call) then
      complain(self, call, "%s made creds and was told of others", name_of(call))
    end
  elseif wrote(call) then
    complain(self, call, "%s was acknowledged and never took effect", name_of(call))
  elseif not call.outcome.is_fine and
         (call.outcome.details.applied == "yes" or call.settled == "yes") then
    complain(self, call, "%s was told `%s`, then applied, and did not take effect",
      name_of(call), call.outcome.code)
  end
end

local function has_version(state, version)
  return state.version == version
end

local function check_conflict(self, call)
  local details = call.outcome.details
  if call.outcome.code ~= "conflict" or not details.version then return end
  local states = states_of(self, call.session)
  local first, last = index_at(states, call.began_at), index_at(states, call.ended_at)
  if details.version == call.expect or
     not find_state(states, first, last, has_version, details.version) then
    complain(self, call, "%s expected version %s and was told of a conflict with %s",
      name_of(call), tostring(call.expect), tostring(details.version))
  end
end

-- ---- deletes -------------------------------------------------------------------------

local function is_deleted_as(state, generation)
  if generation == 0 then return state.generation == nil end
  return state.is_tombstone and state.generation == generation
end

-- Whether a state is one that a store's own delete made, and that no other call is known
-- to have made. `which` has store, generation (nil for any), taken and owners.
local function is_own_delete(state, which)
  local entry = state.entry
  return entry and entry.is_tombstone and not which.taken[entry] and
    which.owners[entry.writer] == which.store and
    (which.generation == nil or which.generation == entry.generation)
end

-- The state that a delete which was acknowledged left: what its store has made, or what
-- it found. One that was sent twice may be told of a later generation.
local function find_delete(self, call)
  local generation, states = call.outcome.generation, states_of(self, call.session)
  local first, last = index_at(states, call.began_at), index_at(states, call.ended_at)
  local which = {
    store = call.store, generation = generation, taken = self.taken, owners = self.owners,
  }
  local found = find_state(states, first + 1, last, is_own_delete, which)
  which.generation = nil
  found = found or find_state(states, first + 1, last, is_own_delete, which) or
    find_state(states, first, last, is_deleted_as, generation)
  return found and states[found]
end

local function check_delete(self, call)
  local state = find_delete(self, call)
  if not state then
    complain(self, call, "%s was acknowledged (generation %.0f) and never took effect",
      name_of(call), call.outcome.generation)
    return
  end
  local entry = state.entry
  local owner = entry and self.owners[entry.writer]
  if entry and entry.is_tombstone and entry.position > call.began_at and
     (owner == nil or owner == call.store) and not self.taken[entry] then
    self.taken[entry], call.deleted = true, entry
  end
end

-- A delete whose outcome is unknown may have made the entry.
local function may_have_deleted(call, entry)
  if call.operation ~= "delete" or call.session ~= entry.session or call.deleted then
    return false
  end
  if call.outcome.is_fine or call.began_at >= entry.position then return false end
  return call.outcome.details.applied ~= "no"
end

-- Finds a delete that may have made the entry. Whether there is one.
local function ascribe(self, entry)
  for _, call in ipairs(self.calls) do
    if call.answers == 1 and may_have_deleted(call, entry) then
      call.deleted, call.is_ascribed = entry, true
      return true
    end
  end
  return false
end

local function check_deletes(self)
  for _, call in ipairs(self.calls) do
    if call.operation == "delete" and call.answers == 1 and call.outcome.is_fine then
      check_delete(self, call)
    end
  end
  for _, entry in ipairs(self.entries) do
    if entry.is_tombstone and not self.taken[entry] and
       not has_lost(self, entry.position, math.huge) and not ascribe(self, entry) then
      complain(self, nil, "change %d deleted session %s, and nobody did, or was told so",
        entry.position, entry.session)
    end
  end
end

-- ---- reads and order -----------------------------------------------------------------

local function fits_read(state, call)
  local outcome = call.outcome
  for _, cell in ipairs(call.asked or {}) do
    if (state.cells[cell] or nil) ~= (outcome.cells[cell] or nil) then return false end
  end
  for cell, tag in pairs(outcome.cells) do
    if state.cells[cell] ~= tag then return false end
  end
  for cell in pairs(call.asks_all and state.cells or {}) do
    if outcome.cells[cell] == nil then return false end
  end
  return outcome.version == nil or outcome.version == state.version
end

local function describe_cells(cells)
  local parts = {}
  for cell, tag in pairs(cells) do parts[#parts + 1] = cell .. "=" .. tostring(tag) end
  table.sort(parts)
  return parts[1] and table.concat(parts, " ") or "nothing"
end

-- The index of the state that a read saw, not before `low`.
local function check_read(self, call, low)
  local states = states_of(self, call.session)
  local first = index_at(states, call.began_at)
  local last = index_at(states, call.ended_at)
  local seen = find_state(states, math.max(first, low), last, fits_read, call)
  if seen then return seen end
  local stale = find_state(states, 1, #states, fits_read, call)
  local given = describe_cells(call.outcome.cells)
  if stale and stale < low and stale >= first then
    complain(self, call, "%s gave %s, without what was called before it in its session",
      name_of(call), given)
  elseif stale then
    complain(self, call, "%s gave %s, which was not stored then, but at change %d",
      name_of(call), given, states[stale].position)
  else
    complain(self, call, "%s gave %s, which never was stored together", name_of(call),
      given)
  end
  return low
end

-- The index of the state that a session had at a time of the server.
local function index_at_time(states, at_ms)
  local low, high = 1, #states
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if states[middle].entry.at_ms <= at_ms then low = middle else high = middle - 1 end
  end
  return low
end

local function has_cell(state, asked)
  return (state.cells[asked.cell] or nil) == (asked.tag or nil)
end

-- A read that the cache may have answered: each record was stored at some moment since
-- the last one that the store knew of. (Of a change that it does not know of yet, it may
-- have one record from before, and one that it has written itself since.)
local function check_cached_read(self, call, low_of)
  local states = states_of(self, call.session)
  local told = index_at(states, math.min(call.told_at, call.began_at))
  local oldest = index_at_time(states, call.began_ms - self.cached_ms + self.server_ms)
  local last = index_at(states, call.ended_at)
  for _, cell in ipairs(call.asked) do
    local tag = call.outcome.cells[cell]
    local first = math.max(told, oldest, low_of[cell] or 1)
    if not find_state(states, first, last, has_cell, { cell = cell, tag = tag }) then
      complain(self, call, "%s gave %s=%s, which was not stored since change %d, of "
        .. "which its store knew", name_of(call), cell, tostring(tag),
        states[first].position)
    end
  end
end

-- The entry of a call that changed something, nil for none.
local function effect_of(self, call)
  if call.is_ascribed then return nil end
  if call.deleted then return call.deleted end
  local applied = call.tag and self.applied[call.tag]
  return applied and applied[#applied]
end

local function is_read(call)
  return call.outcome.is_fine and call.outcome.cells ~= nil and
    not call.outcome.is_created
end

-- The calls of one session in one store, in the order in which they were made. One that
-- is composite has several steps, between which others may come. A read that is sent
-- twice may see what was called behind it; no read behind it sees less then.
local function check_order(self, calls)
  local low, seen, newest, low_of = 1, 1, nil, {}
  for _, call in ipairs(calls) do
    local states = states_of(self, call.session)
    local effect = effect_of(self, call)
    local may_be_late = self.are_late_writes_allowed and not call.outcome.is_fine
    if effect and not call.is_composite and not may_be_late and
       effect.session == call.session then
      local index = index_at(states, effect.position)
      if index < low then
        complain(self, call, "%s took effect in change %d, before what was called before "
          .. "it%s", name_of(call), effect.position,
          newest and ": " .. name_of(newest) or "")
      else
        low, newest = index, call
        for cell in pairs(effect.cells) do low_of[cell] = index end
      end
    elseif is_read(call) and call.told_at then
      check_cached_read(self, call, low_of)
    elseif is_read(call) then
      local index = check_read(self, call, math.max(low, seen))
      if not call.is_composite then seen = index end
    end
  end
end

local function check_creation(self, call)
  if not call.outcome.is_fine or not call.outcome.is_created then return end
  local entry = self.applied[call.tag] and self.applied[call.tag][1]
  local states = states_of(self, call.session)
  if entry then
    local before = states[index_at(states, entry.position - 1)]
    if before.cells["creds/creds"] then
      complain(self, call, "%s made creds where there were some", name_of(call))
    end
  end
end

local function lacks_creds(state)
  return not state.cells["creds/creds"]
end

local function check_absence(self, call)
  if not call.made_at then return end
  local states = states_of(self, call.session)
  local first, last = index_at(states, call.began_at), index_at(states, call.made_at)
  if not find_state(states, first, last, lacks_creds) then
    complain(self, call, "%s was told to make creds while there were some", name_of(call))
  end
end

-- ---- all of it -----------------------------------------------------------------------

local function group_calls(calls)
  local groups, by_name = {}, {}
  for _, call in ipairs(calls) do
    local name = call.store .. ":" .. call.session
    if not by_name[name] then
      by_name[name] = {}
      groups[#groups + 1] = by_name[name]
    end
    table.insert(by_name[name], call)
  end
  return groups
end

local function check_calls(self)
  local answered = {}
  for _, call in ipairs(self.calls) do
    if check_answer(self, call) then
      answered[#answered + 1] = call
      check_words(self, call)
      if call.is_write then check_write(self, call) end
      check_conflict(self, call)
      check_creation(self, call)
      check_absence(self, call)
    end
  end
  for _, calls in ipairs(group_calls(answered)) do check_order(self, calls) end
end

-- What was read in the end must be what is stored in the end.
local function check_end(self)
  for _, call in ipairs(self.calls) do
    if call.is_last and call.answers == 1 and call.outcome.is_fine then
      local states = states_of(self, call.session)
      if not fits_read(states[#states], call) then
        complain(self, call, "%s gave %s in the end; stored is %s", name_of(call),
          describe_cells(call.outcome.cells), describe_cells(states[#states].cells))
      end
    end
  end
end

--- Judges a run.
-- @param calls list, see history.lua
-- @param entries list, see observation.lua
-- @param conditions { calm_ms = when the last fault was, nil: they did not stop,
--   recovery_ms = how long after that no call runs out of time any more (15000),
--   are_late_writes_allowed = boolean: a write of unknown outcome may take effect behind
--   later reads, since the server did not let the client end a lost connection,
--   cached_ms = how old at most what a cache gives may be, server_ms = what the clock of
--   the server is ahead }
-- @return list of { sentence, call, session }, empty when all is as promised
function checker.judge(calls, entries, conditions)
  local self = setmetatable({
    calls = calls, entries = entries, violations = {}, states = {}, applied = {},
    taken = {},  -- tombstones whose delete is known
    flushes = {}, -- positions at which the server has lost all
    owners = {}, -- the store of a writer's name
    calm_ms = conditions.calm_ms or math.huge,
    recovery_ms = conditions.recovery_ms or RECOVERY_MS,
    are_late_writes_allowed = conditions.are_late_writes_allowed,
    cached_ms = conditions.cached_ms or math.huge,
    server_ms = conditions.server_ms or 0,
  }, Checker)
  for _, entry in ipairs(entries) do
    local states = states_of(self, entry.session)
    states[#states + 1] = next_state(states[#states], entry)
    if entry.is_flush then table.insert(self.flushes, entry.position) end
  end
  find_writers(self)
  find_owners(self)
  check_deletes(self)
  check_calls(self)
  check_end(self)
  return self.violations
end

return checker
