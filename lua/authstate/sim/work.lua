-- SPDX-License-Identifier: MIT
--- What the callers of a simulated run do: tasks of each store, which write and read a
-- few sessions together, at random, and note in the history what they were told.

local history = require "authstate.sim.history"
local scheduler = require "authstate.scheduler"
local values = require "authstate.values"

local work = {}

local KINDS = { "pre-key", "session", "app-state-sync-key" }
local IDS = { "1", "2", "3", "4" }

-- ---- values -------------------------------------------------------------------------

local function value_of(dice, tag)
  local length = dice:pick { 0, 8, 100, 1500 }
  return { mark = history.mark(tag), pad = ("-"):rep(dice:integer(0, length)) }
end

local function creds_of(dice, tag)
  local creds = value_of(dice, tag)
  if dice:chance(0.5) then creds.registered = dice:chance(0.5) end
  return creds
end

local function tag_of(value)
  return value and history.tag_in(value.mark) or false
end

-- Random changes of keys, as a store wants them; notes their cells in the call.
local function draw_changes(self, call)
  local dice, changes = self.dice, {}
  for place = 1, dice:integer(1, 4) do
    local kind, id = dice:pick(KINDS), dice:pick(IDS)
    local is_deletion = place > 1 and dice:chance(0.3)
    local cell = kind .. "/" .. id
    if call.cells[cell] == nil then
      changes[kind] = changes[kind] or {}
      changes[kind][id] = is_deletion and values.null or value_of(dice, call.tag)
      call.cells[cell] = not is_deletion and call.tag
    end
  end
  return changes
end

-- ---- calls --------------------------------------------------------------------------

local function failed(message, code, details)
  return { is_fine = false, message = message, code = code, details = details or {} }
end

local function written(version, message, code, details)
  if not version then return failed(message, code, details) end
  return { is_fine = true, version = version }
end

-- The cells of a session that was loaded.
local function cells_of(loaded)
  local cells = {}
  if loaded.creds then cells["creds/creds"] = tag_of(loaded.creds) end
  for kind, records in pairs(loaded.keys) do
    for id, value in pairs(records) do cells[kind .. "/" .. id] = tag_of(value) end
  end
  return cells
end

local operations = {}

-- Each: function(self, handle, call, options) -> outcome. Those that write set `tag` and
-- `cells` before.

function operations.set(self, handle, call, options)
  local changes = draw_changes(self, call)
  return function() return written(handle.keys:set(changes, options)) end
end

function operations.commit(self, handle, call, options)
  local changes = { keys = draw_changes(self, call) }
  changes.creds = creds_of(self.dice, call.tag)
  call.cells["creds/creds"] = call.tag
  return function() return written(handle:commit(changes, options)) end
end

function operations.save_creds(self, handle, call, options)
  local creds = creds_of(self.dice, call.tag)
  call.cells["creds/creds"] = call.tag
  return function() return written(handle:save_creds(creds, options)) end
end

local function draw_ids(self, count)
  local ids, is_there = {}, {}
  for _ = 1, count do
    local id = self.dice:pick(IDS)
    if not is_there[id] then ids[#ids + 1] = id end
    is_there[id] = true
  end
  return ids
end

local function get(self, handle, call, options, count)
  local kind, ids = self.dice:pick(KINDS), draw_ids(self, count)
  call.asked = {}
  for i, id in ipairs(ids) do call.asked[i] = kind .. "/" .. id end
  return function()
    if self.told_at then call.told_at = self.told_at(handle.id, kind) end
    local found, message, code, details = handle.keys:get(kind, ids, options)
    if not found then return failed(message, code, details) end
    local cells = {}
    for id, value in pairs(found) do cells[kind .. "/" .. id] = tag_of(value) end
    return { is_fine = true, cells = cells }
  end
end

function operations.get_one(self, handle, call, options)
  return get(self, handle, call, options, 1)
end

function operations.get_many(self, handle, call, options)
  return get(self, handle, call, options, 4)
end

function operations.load(_, handle, call, options)
  call.asks_all = true
  return function()
    local loaded, message, code, details = handle:load(options)
    if not loaded and message then return failed(message, code, details) end
    if not loaded then return { is_fine = true, cells = {}, is_absent = true } end
    return {
      is_fine = true, cells = cells_of(loaded), version = loaded.version,
      generation = loaded.generation,
    }
  end
end

function operations.load_creds(_, handle, call, options)
  call.asked = { "creds/creds" }
  return function()
    local creds, version, code, details = handle:load_creds(options)
    if not creds and version then return failed(version, code, details) end
    if not creds then return { is_fine = true, cells = {} } end
    return {
      is_fine = true, cells = { ["creds/creds"] = tag_of(creds) }, version = version,
    }
  end
end

function operations.load_or_create(self, handle, call, options)
  local creds = creds_of(self.dice, call.tag)
  call.cells["creds/creds"] = call.tag
  call.asked = { "creds/creds" }
  local function make()
    call.made_at = self.history.position()
    return creds
  end
  return function()
    local found, is_created, code, details = handle:load_or_create(make, options)
    if not found then return failed(is_created, code, details) end
    return {
      is_fine = true, is_created = is_created,
      cells = { ["creds/creds"] = tag_of(found) },
    }
  end
end

function operations.delete(_, handle, _, options)
  return function()
    local receipt, message, code, details = handle:delete(options)
    if not receipt then return failed(message, code, details) end
    return {
      is_fine = true, generation = receipt.generation, records = receipt.records,
    }
  end
end

local WRITES = { set = true, commit = true, save_creds = true, load_or_create = true }
local TAKES_EXPECT = { set = true, commit = true, save_creds = true }

-- How often each is chosen.
local WEIGHTS = {
  { "set", 30 }, { "commit", 8 }, { "save_creds", 6 }, { "get_one", 16 },
  { "get_many", 14 }, { "load", 6 }, { "load_creds", 8 }, { "load_or_create", 7 },
  { "delete", 4 },
}
local WEIGHT = 0
for _, each in ipairs(WEIGHTS) do WEIGHT = WEIGHT + each[2] end

local function draw_operation(dice)
  local left = dice:integer(1, WEIGHT)
  for _, each in ipairs(WEIGHTS) do
    left = left - each[2]
    if left <= 0 then return each[1] end
  end
end

-- ---- one step -----------------------------------------------------------------------

-- After a read: whether the store knows now what became of the last write of the session
-- whose outcome was unknown. Each has a number, and the next write may get the same.
local function settle(self, handle, call)
  local unknown = self.unknown[call.session]
  local seq, applied = handle.session:last_commit()
  if call.is_write or call.operation == "delete" then
    local is_unknown = call.outcome.details and call.outcome.details.applied == "maybe"
    self.unknown[call.session] = is_unknown and applied == "maybe" and
      { call = call, seq = seq } or nil
  elseif unknown and unknown.seq == seq and applied ~= "maybe" then
    unknown.call.settled = applied
    self.unknown[call.session] = nil
  end
end

--- Does a call that `prepare` gave, and notes it.
-- @return outcome
local function carry_out(self, call, run)
  local is_write = call.is_write or call.operation == "delete"
  if is_write then
    self.unknown[call.session] = nil
    self.writing[call.session] = (self.writing[call.session] or 0) + 1
  end
  self.history:begin(call)
  local is_whole, outcome = pcall(run)
  if not is_whole then
    outcome = failed(tostring(outcome), "raised", { applied = "maybe" })
  end
  self.history:finish(call, outcome)
  if is_write then self.writing[call.session] = self.writing[call.session] - 1 end
  if (self.writing[call.session] or 0) == 0 then settle(self, call.via, call) end
  return outcome
end

--- A call of an operation, ready to be carried out.
-- @param self { dice, history, place (of the store), told_at = function(session, type):
--   the last change that the store's cache was told of, or nil, timeout_ms (by default),
--   unknown and writing (tables of the store: by session, what became of its last
--   write) }
-- @param operation name
-- @param handle { session = the handle, number, version = the newest it has seen }
-- @param options { timeout_ms, expect }; nil for none
-- @return call, and the function that does it
function work.prepare(self, operation, handle, options)
  local call = {
    store = self.place, session = handle.session.id, handle = handle.number, via = handle,
    operation = operation, timeout_ms = options and options.timeout_ms or self.timeout_ms,
    expect = options and options.expect, is_write = WRITES[operation] or false,
    is_composite = operation == "load_or_create",
  }
  if call.is_write then call.tag, call.cells = self.history:new_tag(), {} end
  return call, operations[operation](self, handle.session, call, options)
end

local function draw_options(self, operation, handle)
  local options = {}
  if self.dice:chance(0.15) then options.timeout_ms = self.dice:integer(1, 60) end
  if TAKES_EXPECT[operation] and handle.version and self.dice:chance(0.2) then
    options.expect = handle.version
  end
  return next(options) and options or nil
end

local function step(self)
  local dice = self.dice
  local handle = dice:pick(self.handles)
  local operation = draw_operation(dice)
  local options = draw_options(self, operation, handle)
  local call, run = work.prepare(self, operation, handle, options)
  if not dice:chance(0.06) then
    local outcome = carry_out(self, call, run)
    if outcome.code == "fenced" then
      call, run = work.prepare(self, "load_creds", handle, nil)
      outcome = carry_out(self, call, run)
    end
    if outcome.version then handle.version = outcome.version end
    return
  end
  call.is_cancelled = true
  local task = scheduler.spawn(carry_out, self, call, run)
  scheduler.sleep(dice:exponential(dice:pick { 0.3, 5 }))
  task:cancel()
  task:wait()
end

local function pause(self)
  local dice = self.dice
  if dice:chance(0.4) then return end
  scheduler.sleep(dice:chance(0.9) and dice:exponential(4) or dice:exponential(150))
end

--- What a task does.
-- @param self as in `prepare`, with `handles`, list, `steps`, how many calls, and
--   `on_step`, function that is called after each
function work.live(self)
  for _ = 1, self.steps do
    step(self)
    self.on_step()
    pause(self)
  end
end

--- Does a call that is expected to succeed.
-- @return outcome
function work.insist(self, operation, handle, options)
  local call, run = work.prepare(self, operation, handle, options)
  call.must_succeed = true
  return carry_out(self, call, run)
end

work.carry_out = carry_out

return work
