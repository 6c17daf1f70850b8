-- SPDX-License-Identifier: MIT
--- Keeps what a store has in the near cache true: a cached value is never older than an
-- invalidation received, a write of the store's own, or `cache_ttl_ms`.
--
-- The server watches what is read (core/engine/tracking.h) and tells which Redis keys
-- others have changed. A place is such a key: the records of one type, or in a layout of
-- one hash all of a session. It has a mark that grows when it changes; what was read or
-- written is admitted only when the mark is still what it was when that was sent.
--
--     an invalidation    the place's entries go, its mark grows
--     a write is sent    its entries are withheld, the mark grows
--     it is acknowledged what was written is admitted, unless the mark has grown since
--     it failed          the place's entries go, the mark grows
--     a connection lost  what was read over it goes, and nothing in flight is admitted
--     a flush            everything goes, and nothing in flight is admitted
--
-- Entries belong to a generation. When `meta` of a session changes, its generation is in
-- doubt, and nothing of it is served until a read has confirmed it.

local clock = require "authstate.clock"
local core = require "authstate.core"
local equal = require "authstate.equal"
local preload = require "authstate.preload"
local process = require "authstate.process"
local scheduler = require "authstate.scheduler"
local shared_cache = require "authstate.shared_cache"

local current, running, has_tasks =
  scheduler.current, scheduler.running, scheduler.has_tasks

local Near = { __name = "authstate.near" }
Near.__index = Near

local coherence = {}

--- Longer than this without a turn of the loop, it is turned before anything is served.
coherence.PUMP_GAP_MS = 5

--- How often the connections are asked whether the server still watches.
coherence.CHECK_MS = 1000

-- How many sessions may be known before those without entries are forgotten.
local SWEEP_SESSIONS = 4096

-- Names of fields are kept, where making them takes time.
local MAX_FIELDS = 65536

local NO_GENERATION = "0" -- nothing is stored

-- ---- the view of a store -------------------------------------------------------------

-- What was read besides was used, or not: to be told to the rule of the store that it was
-- read for.
local function tell_fate(made, kind, id, is_useful, session)
  local near = made.owners[session]
  if near and near.rule then near.rule:note_fate(kind, id, is_useful) end
end

-- The log of a store, for what must not wait. (A cache outlives the store.)
local function teller(store)
  local log = store.log
  return function(...) scheduler.tell(log, ...) end
end

-- The cache that the options of a store ask for; or nil and a sentence.
local function join(self)
  local made, message = shared_cache.join(self, self.store.options, teller(self.store))
  if not made then return nil, message end
  if not made.owners then
    made.owners = setmetatable({}, { __mode = "v" })
    made.on_fate = function(...) tell_fate(made, ...) end
  end
  return made
end

-- A number for another session in the cache.
local function new_number(self)
  local number = self.cache:new_session()
  self.cache.owners[number] = self
  return number
end

-- The rule that options ask for, false for none; or nil and a sentence.
local function new_rule(options, log)
  if not options.preload then return false end
  local rule, message = preload.new(options.preload, {
    preload_limit = options.preload_limit, log = log,
  })
  if rule then return rule end
  return nil, ('option "preload": %s'):format(message)
end

--- The view that a store has of the cache.
-- @param store with `options`, `layout`, `driver`, `log`
-- @return near; or nil and a sentence
function coherence.new(store)
  local options = store.options
  local rule, message = new_rule(options, teller(store))
  if rule == nil then return nil, message end
  local self = setmetatable({
    store = store, cache = nil, layout = store.layout, driver = store.driver,
    is_slot = store.layout.atomic == "slot",
    max_value_bytes = options.max_value_bytes, taken = {}, has_warned = false,
    keeps_tables = not options.memory_efficient,
    rule = rule, -- of preloading; false: none
  }, Near)
  self.cache, message = join(self)
  if not self.cache then return nil, message end
  self:begin()
  return self
end

--- Why the cache cannot be as other options say: a sentence, or nil.
function coherence.fault(options)
  local rule, message = new_rule(options)
  if rule == nil then return message end
  return shared_cache.fault(options)
end

-- Has another cache from now on: of the one before nothing may be admitted there. What is
-- known of the sessions, and which writes are under way, stays.
local function move(self, made)
  self:flush "changed"
  for _, record in pairs(self.records) do self.cache.owners[record.number] = nil end
  self.cache = made
  for _, place in pairs(self.by_key) do
    if place.numbers then place.numbers = {} end
  end
  for _, record in pairs(self.records) do
    record.number = new_number(self)
    for kind, place in pairs(record.places) do
      table.insert(place.numbers, made:type_number(kind))
    end
  end
end

--- The options of the store have changed, to such as `fault` has nothing to say of. What
-- is cached stays where nobody else uses the cache and its time to live is as before.
function Near:change()
  local options, before, rule = self.store.options, self.cache, self.rule or {}
  if options.preload ~= rule.name or options.preload_limit ~= rule.limit then
    self.rule = new_rule(options, teller(self.store))
  end
  self.keeps_tables = not options.memory_efficient
  if not self.keeps_tables then before:forget_decoded() end
  shared_cache.change(self, before, options, teller(self.store))
  local made = assert(join(self))
  if made ~= before then move(self, made) end
end

--- The store is closed.
function Near:close()
  self:begin()
  shared_cache.leave(self, self.cache)
end

--- Begins with nothing: when made, and in a child after a fork.
function Near:begin()
  for _, record in pairs(self.records or {}) do
    self.cache:drop(record.number, "flushed")
    self.cache.owners[record.number] = nil
    record.is_dead, record.generation = true, nil
  end
  self.epoch = (self.epoch or 0) + 1 -- grows when nothing in flight may be admitted
  self.serves, self.turned_ms = false, -math.huge
  self.process = process.number()
  self.records, self.by_key, self.count = {}, {}, 0
  self.fields, self.field_count = {}, 0
end

-- ---- sessions and places --------------------------------------------------------------

local function forget_record(self, record)
  record.is_dead, record.generation = true, nil
  self.cache.owners[record.number] = nil
  self.records[record.session] = nil
  self.by_key[record.meta_key] = nil
  for _, place in pairs(record.places) do self.by_key[place.key] = nil end
  self.count = self.count - 1
end

-- Forgets the sessions of which nothing is cached.
local function sweep(self)
  for _, record in pairs(self.records) do
    if not self.cache:has_session(record.number) then forget_record(self, record) end
  end
  self.sweep_at = math.max(SWEEP_SESSIONS, 2 * self.count)
end

-- What is known of a session.
local function new_record(self, session)
  if self.count >= (self.sweep_at or SWEEP_SESSIONS) then sweep(self) end
  local record = {
    session = session, number = new_number(self),
    meta_key = self.layout.meta_key(session),
    generation = nil, -- that its entries belong to, decimal; nil: in doubt, or dead
    known = nil,      -- the last one that was not
    stream = 0,       -- over which they were read
    mark = 0, writes = 0, places = {}, is_dead = false,
  }
  self.records[session], self.by_key[record.meta_key] = record, record
  self.count = self.count + 1
  return record
end

--- What is known of a session; made when there is nothing.
function Near:record(session)
  return self.records[session] or new_record(self, session)
end

local function place_at(self, record, key)
  local place = self.by_key[key]
  if not place then
    place = { record = record, key = key, mark = 0, writes = 0, numbers = {} }
    self.by_key[key] = place
  end
  return place
end

--- The place of a type.
function Near:place(record, kind)
  local place = record.places[kind]
  if place then return place end
  place = place_at(self, record, (self.layout.key(record.session, kind, "")))
  table.insert(place.numbers, self.cache:type_number(kind))
  record.places[kind] = place
  return place
end

-- The field of a record in a layout of one hash: what two ids share there is one record.
-- False for one that the layout reads as another type.
local function find_field(self, session, kind, id)
  local fields = self.fields[kind]
  if not fields then
    fields = {}
    self.fields[kind] = fields
  end
  local field = fields[id]
  if field ~= nil then return field end
  local key
  key, field = self.layout.key(session, kind, id)
  local _, found = self.layout.parse(key, field)
  if found ~= kind then field = false end
  if self.field_count >= MAX_FIELDS then
    self.fields, self.field_count = { [kind] = fields }, 0
    for known in pairs(fields) do fields[known] = nil end
  end
  fields[id], self.field_count = field, self.field_count + 1
  return field
end

--- What a record is called in the cache; false: it is not cached.
function Near:name(session, kind, id)
  return self.is_slot and id or find_field(self, session, kind, id)
end

local function drop_place(self, place, why)
  place.mark = place.mark + 1
  for _, number in ipairs(place.numbers) do
    self.cache:drop(place.record.number, why, number)
  end
end

local function drop_record(self, record, why)
  record.mark, record.generation, record.known = record.mark + 1, nil, nil
  self.cache:drop(record.number, why)
end

--- Nothing that is cached of a session may be served: it was fenced, or has another
-- generation.
function Near:forget(session)
  local record = self.records[session]
  if record then drop_record(self, record, "invalidated") end
end

--- A load has found a generation of a session.
function Near:note_generation(session, generation)
  local record = self.records[session]
  if record and record.known and record.known ~= (generation or NO_GENERATION) then
    drop_record(self, record, "invalidated")
  end
end

-- ---- what the server tells ------------------------------------------------------------

--- Nothing is watched any more, or everything has changed.
-- @param why a word for the statistics
function Near:flush(why)
  self.epoch = self.epoch + 1
  for _, record in pairs(self.records) do drop_record(self, record, "flushed") end
  self.cache:note_flush(why)
end

local on = {}

function on.key(self, key)
  local place = self.by_key[key]
  if not place then return end
  if place.meta_key then -- a session: its generation is in doubt
    place.mark, place.generation = place.mark + 1, nil
    self.cache.invalidations = self.cache.invalidations + 1
  else
    drop_place(self, place, "invalidated")
  end
end

function on.lost(self, stream)
  self.epoch = self.epoch + 1
  for _, record in pairs(self.records) do
    if record.stream == stream then
      drop_record(self, record, "flushed")
      record.stream = 0
    end
  end
  self.cache:note_flush("connection")
end

function on.flush(self, why) self:flush(why) end

local function warn(self, sentence)
  if self.has_warned then return end
  self.has_warned = true
  scheduler.tell(self.store.log, "warn", "the cache is off: " .. sentence,
    { node = self.store.node })
end

function on.refused(self, words)
  warn(self, ("the server does not let us know what others change (CLIENT TRACKING and "
    .. "SUBSCRIBE __redis__:invalidate, see cache.md): %s"):format(words))
end

--- The driver cannot see what the server tells: says so, once.
-- @param reason sentence
function Near:give_up(reason)
  warn(self, "what the server tells of changes cannot be seen in time: " .. reason)
end

--- A turn of the loop has brought what it has: to be called before replies are handed
-- out.
-- @param looked_ms a moment since which all sockets were looked at: not the end of the
--   turn, from which the process may have been kept for long; nil: now
function Near:turn(engine, looked_ms)
  local now_ms = clock.now_ms()
  local taken = self.taken or {}
  self.taken = nil -- a policy that fails is told of by the program, which may call us
  local count, is_live = engine:take_invalidations(taken, now_ms)
  for i = 1, 2 * count, 2 do
    on[taken[i]](self, taken[i + 1])
    taken[i], taken[i + 1] = nil, nil
  end
  self.taken = taken
  self.serves, self.turned_ms = is_live, looked_ms or now_ms
end

-- Whether sockets were looked at so short a time ago that all is known that has come.
local function is_recent(self, now_ms)
  return now_ms - self.turned_ms <= coherence.PUMP_GAP_MS
end

--- Whether cached values may be served at once, where no turn of the loop tells: what has
-- come is looked at first.
-- @return false also when others must go on behind: ask `is_served_in_turn` then
function Near:is_served(now_ms)
  local task = current()
  if task and (running() or task.is_cancelled) or not task and has_tasks() then
    return false
  end
  return self.driver:pump(now_ms) and self.serves
end

--- The same for a call that may wait.
-- @return whether they may be served, and whether `give_way` is due when they were
function Near:is_served_in_turn()
  local task = current()
  if task and task.is_cancelled then return false, false end
  if task and is_recent(self, clock.now_ms()) then return self.serves, false end
  return self.driver:pump() and self.serves, true
end

--- Lets others go on. Who reads from the cache only would never do that: not those who
-- change what it waits for, nor those who cancel it. It comes behind the read, whose
-- place is before what the others do now.
function Near.give_way()
  local task = current()
  if not task and has_tasks() then
    scheduler.turn()
  elseif task and running() then
    scheduler.give_way(task)
  end
end

-- ---- reading --------------------------------------------------------------------------

-- The session of a handle, if its entries are of the generation that the handle is pinned
-- to. One that is not pinned yet is pinned to it.
-- @return nil: nothing that is cached may be served to it
function coherence.find_record(self, handle)
  local record = handle.record
  if not record or record.is_dead then
    record = self.records[handle.id]
    handle.record = record
    if not record then return nil end
  end
  local generation, pin = record.generation, handle.pin
  if generation == pin then return generation and record end
  if not generation or pin or record.writes > 0 then return nil end
  if generation ~= NO_GENERATION then
    handle.pin, handle.is_gone = generation, false
  end
  return record
end

-- What is not even looked for is missing, too.
local function miss(self, kind)
  local counted = self.cache:counts(kind)
  counted.misses = counted.misses + 1
end

--- Looks for a record, and counts whether it was there.
-- @param handle on a session
-- @return its entry; nil when it must be read
function Near:find(handle, kind, id, now_ms)
  local record = coherence.find_record(self, handle)
  if not record or not handle.writer.turns:is_open() then return miss(self, kind) end
  local number = self.cache.type_numbers[kind]
  if not number then return miss(self, kind) end
  if not self.is_slot then
    id = find_field(self, handle.id, kind, id)
    if not id then return miss(self, kind) end
  end
  return self.cache:find(record.number, number, id, now_ms)
end

--- Whether a record may be there to be read, without a trace.
-- @param handle on a session
function Near:may_have(handle, kind, id)
  if not self.serves then return false end
  local record, number = handle.record, self.cache.type_numbers[kind]
  if not record or record.is_dead or record.generation ~= handle.pin or not number then
    return true -- who looks closely knows more
  end
  local name = self:name(handle.id, kind, id)
  return not name or self.cache:has(record.number, number, name, clock.latest_ms())
end

--- What a preload rule wants to be read besides.
-- @return list of { type, id }; nil for none
function Near:extra(record, kind, ids)
  if not self.rule then return nil end
  local now_ms = clock.now_ms()
  local list = self.rule:extra(kind, ids, record.number, function(extra_kind, id)
    local name = self:name(record.session, extra_kind, id)
    return name and not self.cache:has(record.number, self.cache:type_number(extra_kind),
      name, now_ms)
  end)
  return list[1] and list
end

--- Keeps what a reader has made of an entry, if others may share it: they cannot change
-- it.
-- @param e that was just admitted, or opened
function Near:keep(e, value)
  if type(value) == "string" or core.is_bytes(value) then
    self.cache:keep_decoded(e, value, #value)
  end
end

--- The same of several.
-- @param values { [id] = value }
function Near:keep_all(record, kind, values)
  local number = self.cache:type_number(kind)
  for id, value in pairs(values) do
    local name = type(value) ~= "table" and self:name(record.session, kind, id)
    local e = name and self.cache:peek(record.number, number, name)
    if e then self:keep(e, value) end
  end
end

--- What an entry holds, in a shape: "value" or "json".
-- @return value, nil when the record is absent, and true; or nil and false when it cannot
--   be opened, and must be read
function Near:open(handle, e, kind, id, shape)
  local near_cache, store = self.cache, self.store
  local text = shape == "json" and near_cache.texts[e]
  if text then return text, true end
  if near_cache:entry(e).absent then return nil, true end
  local opener = store.opener
  local value, message
  if opener then
    value, message = opener:open(shape, {
      session = handle.id, generation = tonumber(handle.pin or 0),
    }, kind, id, near_cache:bytes(e))
  elseif shape == "json" then
    value, message = near_cache:json(e, self.max_value_bytes)
  else
    value, message = near_cache:value(e, self.max_value_bytes)
  end
  if message then return nil, false end
  if shape == "value" then
    self:keep(e, value)
  else
    near_cache:keep_text(e, value)
  end
  return value, true
end

-- A table that readers share. With `debug` it is compared with what is stored.
local function read_shared(self, handle, e, kind, id)
  local kept = self.cache.decoded[e]
  if kept ~= nil and not self.store.options.debug then return kept, true end
  local value, is_open = self:open(handle, e, kind, id, "value")
  if not is_open or value == nil then return value, is_open end
  if kept ~= nil and not equal(kept, value) then
    self.store.log("error", ("a shared value was changed: a record of type %s that was "
      .. "read with { shared = true }; who changes it must read it without"):format(kind),
      { type = kind })
  elseif kept ~= nil then
    return kept, true
  end
  self.cache:keep_decoded(e, value, self.cache:entry(e).size_bytes)
  return value, true
end

--- The same as `open`, from what is kept decoded where that may be shared.
-- @param is_shared whether the reader leaves what it gets as it is
function Near:read(handle, e, kind, id, shape, is_shared)
  if shape ~= "value" then return self:open(handle, e, kind, id, shape) end
  if is_shared and self.keeps_tables then
    return read_shared(self, handle, e, kind, id)
  end
  local kept = self.cache.decoded[e]
  if kept ~= nil and type(kept) ~= "table" then return kept, true end
  return self:open(handle, e, kind, id, shape)
end

--- To be called when a read is sent.
-- @return a ticket, for `admit`
function Near:begin_read(record, place)
  return {
    record = record, place = place, epoch = self.epoch, mark = place.mark + record.mark,
    sent_ms = clock.now_ms(), stream = 0,
  }
end

--- The same for one record that was missed, without a table.
-- @return epoch, mark, sent_ms, stream: what `admit_one` is to be told
function Near:begin_read_one(handle, place, kind)
  local record = place.record
  miss(self, kind)
  return self.epoch, place.mark + record.mark, clock.now_ms(), handle.writer:stream()
end

--- Whether nothing has marked what was sent when a place had a mark.
function Near:is_unmarked(epoch, mark, place)
  local record = place.record
  return not record.is_dead and epoch == self.epoch and mark == place.mark + record.mark
end

-- Whether what a read has found may be admitted: nothing has marked it, and nothing is
-- being written there.
local function is_readable(self, place, epoch, mark, stream)
  return stream ~= 0 and self:is_unmarked(epoch, mark, place) and place.writes == 0 and
    place.record.writes == 0
end

-- Entries of another generation, or that were read over another connection, go, and what
-- is in flight for them is not admitted.
local function settle_record(self, record, generation, stream)
  local is_other = record.known ~= generation or record.stream ~= stream
  if record.known and is_other then
    record.mark = record.mark + 1
    self.cache:drop(record.number, "invalidated")
  end
  record.known, record.stream, record.generation = generation, stream, generation
end

--- Takes in what a read has found.
-- @param ticket see `begin_read`, with the stream it was sent on
-- @param generation of the session then, decimal; nil: none
-- @param kind the type
-- @param ids list
-- @param values list of what is stored, holes or false for those that are absent
-- @param source "read" or "preload"
-- @return whether it was taken in; of a record the policy may think otherwise
function Near:admit(ticket, generation, kind, ids, values, source)
  local record = ticket.record
  if not is_readable(self, ticket.place, ticket.epoch, ticket.mark, ticket.stream) then
    return false
  end
  settle_record(self, record, generation or NO_GENERATION, ticket.stream)
  local number = self.cache:type_number(kind)
  for i = 1, #ids do
    local name = self:name(record.session, kind, ids[i])
    if name then
      self.cache:admit(record.number, number, name, values[i] or nil, 1, ticket.sent_ms,
        source)
    end
  end
  return true
end

--- Takes in what a read of one record has found.
-- @param place of the record
-- @param epoch, mark, sent_ms, stream from `begin_read_one`
-- @param generation of the session then, decimal
-- @param stored nil: there is none
-- @return its entry; nil when it was not taken in
function Near:admit_one(place, epoch, mark, sent_ms, stream, generation, kind, id, stored)
  local record = place.record
  if not is_readable(self, place, epoch, mark, stream) then return nil end
  settle_record(self, record, generation, stream)
  local name = self:name(record.session, kind, id)
  return name and self.cache:admit(record.number, self.cache:type_number(kind), name,
    stored, 1, sent_ms, "read")
end

-- ---- writing --------------------------------------------------------------------------

-- Where a group of a batch goes; nil for the creds of a layout that has them apart.
local function place_of_group(self, record, group)
  if not self.is_slot then return place_at(self, record, group.key) end
  if group.kind == "creds" then return nil end
  return self:place(record, group.kind)
end

local function withhold_all(self, record, kinds, fields, step)
  for i = 1, #fields, step do
    local kind = kinds[i]
    if kind ~= "creds" then
      self.cache:withhold(record.number, self.cache:type_number(kind), fields[i])
    end
  end
end

-- A write is sent that goes to a place.
local function begin_in_place(place)
  place.mark, place.writes = place.mark + 1, place.writes + 1
end

-- It has ended. Whether what it wrote may be admitted: nothing has marked it since.
local function end_in_place(self, place, was_written, epoch, mark, stream)
  place.writes = place.writes - 1
  if was_written then
    return stream ~= 0 and place.writes == 0 and self:is_unmarked(epoch, mark, place)
  end
  drop_place(self, place, "invalidated")
  return false
end

--- To be called when a write is sent: what it writes is not served until it is
-- acknowledged.
-- @param session id
-- @param batch what is written; nil: all of the session
-- @param lane of the session
-- @return a ticket, for `end_write`
function Near:begin_write(session, batch, lane)
  local record = self:record(session)
  local ticket = {
    record = record, batch = batch, epoch = self.epoch, places = {}, marks = {},
    sent_ms = clock.now_ms(), stream = lane and lane:stream() or 0,
  }
  record.writes = record.writes + 1
  if not batch then
    drop_record(self, record, "deleted")
    return ticket
  end
  for i, group in ipairs(batch.groups) do
    local place = place_of_group(self, record, group)
    if place then
      begin_in_place(place)
      ticket.places[i], ticket.marks[i] = place, place.mark + record.mark
      withhold_all(self, record, group.kinds, group.sets, 2)
      withhold_all(self, record, group.deleted_kinds, group.deletes, 1)
    end
  end
  return ticket
end

-- Takes in what a write has stored, in one place.
local function admit_group(self, ticket, group)
  local near_cache, record, sent_ms = self.cache, ticket.record, ticket.sent_ms
  local values = group.sealed or group.sets
  for i = 1, #group.sets, 2 do
    local kind = group.kinds[i]
    if kind ~= "creds" then
      self:place(record, kind)
      near_cache:admit(record.number, near_cache:type_number(kind), group.sets[i],
        values[i + 1], 1, sent_ms, "write")
    end
  end
  for i = 1, #group.deletes do
    local kind = group.deleted_kinds[i]
    if kind ~= "creds" then
      self:place(record, kind)
      near_cache:admit(record.number, near_cache:type_number(kind), group.deletes[i], nil,
        1, sent_ms, "write")
    end
  end
end

-- The groups of a batch that were written, and that nothing has changed since.
local function end_in_places(self, ticket, was_written)
  local list = {}
  for i, group in ipairs(ticket.batch.groups) do
    local place = ticket.places[i]
    if place and end_in_place(self, place, was_written, ticket.epoch, ticket.marks[i],
        ticket.stream) then
      list[#list + 1] = group
    end
  end
  return list
end

--- To be called when it is known what became of a write.
-- @param ticket see `begin_write`
-- @param generation that it was written in, decimal; nil: it failed, or nobody knows
function Near:end_write(ticket, generation)
  local record, batch = ticket.record, ticket.batch
  record.writes = record.writes - 1
  if not batch then
    drop_record(self, record, "deleted")
    return
  end
  local admitted = end_in_places(self, ticket, generation ~= nil)
  if not admitted[1] then return end
  settle_record(self, record, generation, ticket.stream)
  for _, group in ipairs(admitted) do admit_group(self, ticket, group) end
end

--- The same as `begin_write` for a write of one record, in a layout that has a place for
-- each type.
-- @return epoch, mark, sent_ms, stream: what `end_write_one` is to be told
function Near:begin_write_one(handle, place, kind, id)
  local record = place.record
  record.writes = record.writes + 1
  begin_in_place(place)
  self.cache:withhold(record.number, self.cache:type_number(kind), id)
  return self.epoch, place.mark + record.mark, clock.now_ms(), handle.writer:stream()
end

--- The same as `end_write` for it.
-- @param place of the record
-- @param epoch, mark, sent_ms, stream from `begin_write_one`
-- @param generation that it was written in, decimal; nil: it failed, or nobody knows
-- @param stored what was written
function Near:end_write_one(place, epoch, mark, sent_ms, stream, generation, kind, id,
    stored)
  local record = place.record
  record.writes = record.writes - 1
  if not end_in_place(self, place, generation, epoch, mark, stream) then return end
  settle_record(self, record, generation, stream)
  self.cache:admit(record.number, self.cache:type_number(kind), id, stored, 1, sent_ms,
    "write")
end

return coherence
