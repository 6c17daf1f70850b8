-- SPDX-License-Identifier: MIT
--- A handle on one session: its creds, its keys, and writes of both together.
--
-- A handle is pinned to a generation of the session: the one that its first read or write
-- found. `load_creds`, `load_or_create` and `load` pin it anew, also to "nothing is
-- there". When another generation is stored, reads and writes answer `fenced`, so that
-- keys of a deleted session never meet the creds of its successor.
-- @module authstate.session

local batch = require "authstate.batch"
local core = require "authstate.core"
local encryption = require "authstate.encryption"
local failure = require "authstate.failure"
local keys = require "authstate.keys"
local meta = require "authstate.meta"
local observer = require "authstate.observer"
local scheduler = require "authstate.scheduler"
local writer = require "authstate.writer"

local Session = { __name = "authstate.session" }
Session.__index = Session

local session = {}

-- What `load` asks for before `meta` has told which types there are: those that Baileys
-- has. Asking for one that is not there costs next to nothing.
local USUAL_TYPES = {
  "pre-key", "session", "sender-key", "sender-key-memory", "app-state-sync-key",
  "app-state-sync-version", "lid-mapping", "device-list", "tctoken", "identity-key",
}

local MAX_LOADS = 8

-- A caller's mistake is raised at the line that called the public method: at store.level.

--- @param store the store
-- @param id checked by the store
-- @param shared_writer the writer of this id in this store
-- @local
function session.new(store, id, shared_writer)
  local handle = setmetatable({
    store = store, id = id, writer = shared_writer, known_types = {},
    pin = nil,       -- generation, decimal; nil: not pinned yet
    is_gone = false, -- what the handle is pinned to is an absence or a tombstone
    record = nil,    -- what the near cache knows of the session, see coherence.lua
    numbered_pin = nil, pin_number = nil, -- the pin, and as a number: see quick_way.lua
  }, Session)
  for i, kind in ipairs(USUAL_TYPES) do handle.known_types[i] = kind end
  handle.keys = keys.new(handle)
  return handle
end

-- ---- reading ----------------------------------------------------------------------

-- A list from its element `first` on. (unpack fails near 8,000 values.)
local function copy_from(list, first)
  local copied = {}
  for i = first, #list do copied[i - first + 1] = list[i] end
  return copied
end

-- Takes over what a read of `meta` in the same transaction found, which was sent at a
-- `moment` of the writer. Only a load pins a handle to a session that is not there.
local function pin_to(self, found, moment, is_load)
  self.writer:learn(found, moment)
  local near = self.store.near
  if near then near:note_generation(self.id, found.generation) end
  if found.generation and not found.is_deleted then
    self.pin, self.is_gone = found.generation, false
  elseif is_load then
    self.pin, self.is_gone = found.generation or writer.NOTHING, true
  end
end

-- A pinned read is followed by the generation in the same pipeline: generations only
-- grow, so that the same one afterwards proves what was read before.
local function read_pinned(self, call, commands, shapes)
  local pin = self.pin
  commands[#commands + 1] = { "HGET", self.writer.meta_key, "gen" }
  local replies, message, code, details =
    self.store:perform(call, { commands = commands, shapes = shapes })
  commands[#commands] = nil -- it may be read again
  if not replies then return nil, message, code, details end
  local generation = table.remove(replies)
  if (generation or writer.NOTHING) ~= pin then
    self.writer:note_fenced()
    return failure.new("fenced", "another generation of the session is stored; load it "
      .. "again", { session = self.id, sent = true })
  end
  return replies
end

-- The first read of a handle learns the generation, in one transaction with what it
-- reads.
local function read_first(self, call, commands, shapes, is_load)
  table.insert(commands, 1, meta.command(self.writer.meta_key, self.writer:token()))
  table.insert(shapes, 1, "raw")
  local moment = self.writer:mark()
  local replies, message, code, details = self.store:perform(call,
    { commands = commands, shapes = shapes, atomic = true })
  table.remove(commands, 1)
  table.remove(shapes, 1)
  if not replies then return nil, message, code, details end
  local found = meta.parse(table.remove(replies, 1))
  pin_to(self, found, moment, is_load)
  return replies, found
end

local read_in_turn

-- What a read gave, unless a write before it must be sent again meanwhile: the server has
-- answered without it, and is asked again behind it.
local function settle(self, retreats, call, read, a, b, c, ...)
  if self.writer.turns.retreats == retreats then return ... end
  return scheduler.hold(read_in_turn, self, call, read, a, b, c)
end

local function read_now(self, call, read, a, b, c)
  return settle(self, self.writer.turns.retreats, call, read, a, b, c,
    read(self, call, a, b, c))
end

function read_in_turn(self, call, read, a, b, c)
  local is_entered, message, code, details = self.writer.turns:enter_read(call)
  if not is_entered then return nil, message, code, details end
  return read_now(self, call, read, a, b, c)
end

-- Reads when its turn has come, which it may have to wait for.
local function in_order(self, call, read, a, b, c)
  local turns = self.writer.turns
  if turns:is_open() then return read_now(self, call, read, a, b, c) end
  return turns:hold(call, read_in_turn, self, call, read, a, b, c)
end

--- Begins a call, in the order of the session; see Store:begin.
-- @local
function Session:begin(options, level)
  local call = self.store:begin(self.id, options, level + 1)
  call.lane = self.writer:lane()
  return call
end

-- ---- opening what was read ---------------------------------------------------------

-- What replies are asked for as, when it is not the driver that opens their values.
local RAW = { value = "raw", json = "raw", value_map = "raw", json_map = "raw" }

--- The shape in which to ask for values.
-- @local
function Session:asked(shape)
  return self.store.opener and RAW[shape] or shape
end

-- Where values belong that were read with a generation: decimal, nil for none.
local function place_of(self, generation)
  return { session = self.id, generation = tonumber(generation or 0) }
end

-- E for a value that cannot be opened.
local function fail_to_open(self, place, kind, id, message, code)
  self.store.log("warn", message, { code = code, node = self.store.node,
    session = self.id })
  local _, sentence, _, details = encryption.fail(place, kind, id, message, code)
  details.node = self.store.node
  return nil, sentence, code, details
end

--- E for a stored value that was read with a generation and cannot be opened.
-- @local
function Session:fail_to_open(generation, kind, id, message, code)
  return fail_to_open(self, place_of(self, generation), kind, id, message, code)
end

--- Opens values of one type in their list, where those that are absent are nil or false.
-- @param shape that was wanted
-- @param generation that they were read with, decimal; nil for none
-- @param kind type of the records
-- @param ids of the records, in the order of the list
-- @param list of what is stored
-- @return the list, with the values in it; or E
-- @local
function Session:open_list(shape, generation, kind, ids, list)
  local opener = self.store.opener
  if not opener or not RAW[shape] then return list end
  local place = place_of(self, generation)
  for i = 1, #ids do
    local value, message, code = nil, nil, nil
    if list[i] then
      value, message, code = opener:open(shape, place, kind, ids[i], list[i])
    end
    if message then return fail_to_open(self, place, kind, ids[i], message, code) end
    list[i] = value
  end
  return list
end

local MAP_SHAPES = { value_map = "value", json_map = "json" }

-- Makes { [field] = value } of the flat replies of HGETALL, from `first` on, in their
-- places. The replies; or E.
local function open_maps(self, shape, generation, types, replies, first)
  local opener, layout = self.store.opener, self.store.layout
  if not opener or not MAP_SHAPES[shape] then return replies end
  local place = place_of(self, generation)
  for at = first, #replies do
    local flat, map = replies[at], {}
    for i = 1, #flat, 2 do
      local field = flat[i]
      local kind, id =
        layout.arrangement.place(layout, self.id, types, at - first + 1, field)
      local value, message, code =
        opener:open(MAP_SHAPES[shape], place, kind, id, flat[i + 1])
      if message then return fail_to_open(self, place, kind, id, message, code) end
      map[field] = value
    end
    replies[at] = map
  end
  return replies
end

local function read_commands(self, call, commands, shapes)
  if self.pin then return read_pinned(self, call, commands, shapes) end
  local replies, message, code, details = read_first(self, call, commands, shapes, false)
  if not replies then return nil, message, code, details end
  return replies
end

--- Reads under the handle's generation; pins a handle that has none.
-- @param call from Store:begin
-- @param commands list of commands
-- @param shapes those of the first replies; the last one is "raw", and of all that follow
-- @return one reply for each; or E
-- @local
function Session:read(call, commands, shapes)
  return in_order(self, call, read_commands, commands, shapes)
end

-- The values, and the generation that they were read with; or E.
local function read_fields(self, call, key, fields, shape)
  if not self.pin or not call.lane then
    local command = { "HMGET", key }
    for i = 1, #fields do command[i + 2] = fields[i] end
    local replies, found, code, details =
      read_first(self, call, { command }, { self:asked(shape) }, false)
    if not replies then return nil, found, code, details end
    return replies[1], found.generation
  end
  local store, pin = self.store, self.pin
  local values, message, code, facts = store.driver:read {
    lane = call.lane, key = key, fields = fields, shape = self:asked(shape),
    generation = tonumber(pin), deadline_ms = call.deadline_ms,
    operation = call.operation,
  }
  if values then return values, pin end
  if code == "fenced" then self.writer:note_fenced() end
  return store:fail(call, message, code, facts, { { "HMGET", key } })
end

--- Reads fields of one hash as stored values, joined with other reads of this turn.
-- @return list, holes for those that are absent, to be opened by `open_list`, and the
--   generation that goes with it; or E
-- @local
function Session:read_fields(call, key, fields, shape)
  return in_order(self, call, read_fields, key, fields, shape)
end

-- Reads from places of the near cache, and begins a ticket for each.
local function read_places(self, call, near, record, wanted)
  local stream = call.lane and call.lane:stream() or 0
  for _, each in ipairs(wanted) do
    each.ticket = near:begin_read(record, each.place)
    each.ticket.stream = stream
  end
  if self.pin and call.lane and #wanted == 1 then
    local first = wanted[1]
    local list, generation, code, details =
      read_fields(self, call, first.key, first.fields, "raw")
    if not list then return nil, generation, code, details end
    return { list }, generation
  end
  local commands = {}
  for i, each in ipairs(wanted) do commands[i] = { "HMGET", each.key } end
  for i, each in ipairs(wanted) do
    for at = 1, #each.fields do commands[i][at + 2] = each.fields[at] end
  end
  if self.pin then
    local replies, message, code, details =
      read_pinned(self, call, commands, { "raw" })
    if not replies then return nil, message, code, details end
    return replies, self.pin
  end
  local replies, found, code, details =
    read_first(self, call, commands, { "raw" }, false)
  if not replies then return nil, found, code, details end
  if found.is_deleted then
    for _, each in ipairs(wanted) do each.ticket.stream = 0 end
  end
  return replies, found.generation
end

--- Reads from places of the near cache, in one round trip.
-- @param call from Store:begin
-- @param near see coherence.lua
-- @param record what it knows of this session
-- @param wanted list of { key, fields, place }, each of which gets a `ticket`
-- @return for each a list of what is stored, with false or holes for what is not, and the
--   generation, decimal, nil for none; or E
-- @local
function Session:read_places(call, near, record, wanted)
  return in_order(self, call, read_places, near, record, wanted)
end

-- Credentials are an object. Anything else in their place is damage, not absence.
local function check_stored_creds(self, creds, shape)
  local is_object = type(creds) == "table" and getmetatable(creds) ~= core.array_mt
  if shape:find("json", 1, true) then is_object = creds:find("^%s*{") ~= nil end
  if is_object then return true end
  return failure.new("corrupt", 'creds "creds": not a JSON object',
    { session = self.id, sent = true, type = "creds", id = "creds" })
end

local function load_creds_now(self, call, shape)
  local key, field = self.store.layout.key(self.id, "creds", "creds")
  local replies, found, code, details = read_first(self, call,
    { { "HMGET", key, field } }, { self:asked(shape) }, true)
  if not replies then
    if code == "corrupt" and details.reply then
      details.type, details.id = "creds", "creds"
      found = failure.record("creds", "creds") .. ": " .. found
    end
    return nil, found, code, details
  end
  local list, message
  list, message, code, details = self:open_list(shape, found.generation, "creds",
    { "creds" }, replies[1])
  if not list then return nil, message, code, details end
  local creds = list[1]
  if creds == nil then return nil end
  local is_right
  is_right, message, code, details = check_stored_creds(self, creds, shape)
  if not is_right then return nil, message, code, details end
  return creds, found.version
end

local function load_creds(self, shape, call)
  return in_order(self, call, load_creds_now, shape)
end

--- Reads the credentials and pins the handle to what is stored.
-- @param options { timeout_ms }
-- @return creds (a table), version; nil alone when Redis says that there are none; or E
function Session:load_creds(options)
  return load_creds(self, "value", self:begin(options, self.store.level))
end

--- The same as JSON text, exactly as it was written.
-- @param options { timeout_ms }
-- @return text, version; nil alone when Redis says that there are none; or E
function Session:load_creds_json(options)
  return load_creds(self, "json", self:begin(options, self.store.level))
end

local function load_whole(self, call, types, shape)
  local layout = self.store.layout
  local commands = layout.arrangement.read_all(layout, self.id, types)
  table.insert(commands, 1, { "HGETALL", self.writer.meta_key })
  local replies, message, code, details = self.store:perform(call,
    { commands = commands, shapes = { "raw", self:asked(shape) }, atomic = true })
  if replies then return replies end
  if code == "corrupt" and details.reply then
    details.type, details.id =
      layout.arrangement.place(layout, self.id, types, details.reply - 1, details.element)
    message = failure.record(details.type, details.id) .. ": " .. message
  end
  return nil, message, code, details
end

-- Adds to the known types those that meta names; whether there were any.
local function extend_known_types(self, types)
  local known = {}
  for _, kind in ipairs(self.known_types) do known[kind] = true end
  local is_extended = false
  for _, kind in ipairs(types) do
    if not known[kind] then
      self.known_types[#self.known_types + 1] = kind
      is_extended = true
    end
  end
  return is_extended
end

-- Whether a load found no session. One that was deleted is there again when somebody who
-- does not know of tombstones has written its creds.
local function is_absent(self, found, loaded)
  local is_empty = loaded.creds == nil and next(loaded.keys) == nil
  if self.store.layout.arrangement.has_index then
    return found.is_deleted or found.generation == nil and is_empty
  end
  return is_empty or found.is_deleted and loaded.creds == nil
end

-- What was loaded, from its replies; nil alone when there is no session; or E.
local function assemble(self, types, replies, found, shape)
  local layout = self.store.layout
  local maps = copy_from(replies, 2)
  local loaded = {
    version = found.version, generation = found.generation and tonumber(found.generation),
  }
  loaded.creds, loaded.keys, loaded.unknown =
    layout.arrangement.records(layout, self.id, types, maps)
  if loaded.creds ~= nil then
    local is_right, message, code, details =
      check_stored_creds(self, loaded.creds, shape)
    if not is_right then return nil, message, code, details end
  end
  if is_absent(self, found, loaded) then return nil end
  return loaded
end

local function load_session_now(self, call, shape)
  for _ = 1, MAX_LOADS do
    local types, moment = copy_from(self.known_types, 1), self.writer:mark()
    local replies, message, code, details = load_whole(self, call, types, shape)
    if not replies then return nil, message, code, details end
    local found = meta.parse_all(replies[1], self.writer:token())
    if not extend_known_types(self, found.types) then
      pin_to(self, found, moment, true)
      self.writer:note_types(found.generation, found.types)
      replies, message, code, details =
        open_maps(self, shape, found.generation, types, replies, 2)
      if not replies then return nil, message, code, details end
      return assemble(self, types, replies, found, shape)
    end
  end
  return failure.new("conflict", "other writers added new types too often; try again",
    { session = self.id, sent = true, retry = true })
end

-- ---- warming ------------------------------------------------------------------------

-- How long a connection may take until the server watches what is read over it.
local WATCH_TIMEOUT_MS = 2000

-- Waits until what this session reads is watched. False: it is not, in time.
local function await_watch(self, call, near)
  local store = self.store
  local due_ms = math.min(call.deadline_ms, store.now_ms() + WATCH_TIMEOUT_MS)
  while call.lane:stream() == 0 do
    if near.has_warned or store.now_ms() >= due_ms then return false end
    if not scheduler.sleep(1) then return false end
    store.driver:pump()
  end
  return true
end

-- Takes the flat replies of HGETALL into the cache. How many records.
local function keep_records(self, near, types, replies, generation, tickets)
  local layout, count, by_kind = self.store.layout, 0, {}
  for at = 2, #replies do
    local flat = replies[at]
    for i = 1, #flat, 2 do
      local kind, id =
        layout.arrangement.place(layout, self.id, types, at - 1, flat[i])
      if tickets[kind] then
        local group = by_kind[kind] or { ids = {}, values = {} }
        by_kind[kind], count = group, count + 1
        group.ids[#group.ids + 1], group.values[#group.values + 1] = id, flat[i + 1]
      end
    end
  end
  for kind, group in pairs(by_kind) do
    near:admit(tickets[kind], generation, kind, group.ids, group.values, "read")
  end
  return count
end

local function warm_now(self, call, near)
  for _ = 1, MAX_LOADS do
    local types, moment = copy_from(self.known_types, 1), self.writer:mark()
    local record, tickets = near:record(self.id), {}
    for _, kind in ipairs(types) do
      tickets[kind] = near:begin_read(record, near:place(record, kind))
      tickets[kind].stream = call.lane:stream()
    end
    local replies, message, code, details = load_whole(self, call, types, "raw")
    if not replies then return nil, message, code, details end
    local found = meta.parse_all(replies[1], self.writer:token())
    if not extend_known_types(self, found.types) then
      pin_to(self, found, moment, false)
      if found.is_deleted then return 0 end
      return keep_records(self, near, types, replies, found.generation, tickets)
    end
  end
  return 0
end

--- Reads the whole session into the near cache.
-- @return how many records; or E
-- @local
function Session:warm(call, near)
  call.lane = self.writer:lane()
  local found, message, code, details = self:read_types(call)
  if not found then return nil, message, code, details end
  if not await_watch(self, call, near) then return 0 end
  return in_order(self, call, warm_now, near)
end

local function load_session(self, shape, call)
  return in_order(self, call, load_session_now, shape)
end

--- Reads the whole session in one step and pins the handle to it.
-- @param options { timeout_ms }
-- @return { creds, keys = { [type] = { [id] = value } }, version, generation, unknown =
--   how many fields of a foreign layout are no records, if any }; nil alone when there is
--   no such session; or E
function Session:load(options)
  return load_session(self, "value_map", self:begin(options, self.store.level))
end

--- The same with all records as JSON texts, exactly as they were written.
-- @param options { timeout_ms }
-- @return as `load`
function Session:load_json(options)
  return load_session(self, "json_map", self:begin(options, self.store.level))
end

--- What `meta` says of the session, with all its types. For keys and info.
-- @local
function Session:read_types(call)
  local replies, message, code, details = self:read(call,
    { { "HGETALL", self.writer.meta_key } }, { "raw" })
  if not replies then return nil, message, code, details end
  return meta.parse_all(replies[1], self.writer:token())
end

--- How many records there are.
-- @return { [type] = n }, and whether there are creds (1 or 0); or E
-- @local
function Session:count(call)
  local layout, types = self.store.layout, {}
  if layout.arrangement.has_types_in_meta then
    local found, message, code, details = self:read_types(call)
    if not found then return nil, message, code, details end
    types = found.types
  end
  local commands = layout.arrangement.count_all(layout, self.id, types)
  local replies, message, code, details = self:read(call, commands, { "raw" })
  if not replies then return nil, message, code, details end
  return layout.arrangement.numbers(layout, self.id, types, replies)
end

-- ---- writing ----------------------------------------------------------------------

local function check_changes(changes, level)
  if type(changes) ~= "table" then
    error(("keys: %s is no table of changes; accepted: { [type] = { [id] = value } }")
      :format(failure.show(changes)), level + 1)
  end
  for kind, records in pairs(changes) do
    keys.check_type(kind, level + 1)
    if type(records) ~= "table" then
      error(("keys[%s]: %s is no table of records; accepted: { [id] = value }")
        :format(failure.show(kind), failure.show(records)), level + 1)
    end
    for id in pairs(records) do
      if type(id) ~= "string" then
        error(("keys[%s]: the id %s is a %s; accepted: a string"):format(
          failure.show(kind), tostring(id), type(id)), level + 1)
      end
    end
  end
end

--- What a batch for this session must know.
-- @local
function Session:batch_context()
  local options = self.store.options
  return {
    layout = self.store.layout, codec = self.store.codec, session = self.id,
    max_value_bytes = options.max_value_bytes,
    max_commit_bytes = options.max_commit_bytes, keyring = self.store.keyring,
    is_cached = self.store.near ~= false,
  }
end

-- Fills a batch. True, or E, or nil, message, "invalid" for a mistake of the caller.
local function fill(filled, creds, changes, put)
  if creds ~= nil then
    local put_creds = put == "set_text" and "set_creds_text" or "set_creds_value"
    local is_put, message, code, details = filled[put_creds](filled, creds)
    if not is_put then return nil, message, code, details end
  end
  for kind, records in pairs(changes) do
    for id, value in pairs(records) do
      local is_put, message, code, details = filled[put](filled, kind, id, value)
      if not is_put then return nil, message, code, details end
    end
  end
  return true
end

--- Commits a batch that was made for this session and pins the handle to what it made.
-- @return { version }, or { exists = true }; or E
-- @local
function Session:commit_batch(call, filled, options)
  return self.writer:commit(call, self, filled,
    { creates = options.creates, expect = options.expect })
end

-- The driver's plain write, of which the near cache is told.
local function write_by_driver(self, call, filled, changes)
  local store = self.store
  local request = {
    lane = call.lane, changes = changes, deadline_ms = call.deadline_ms, is_write = true,
    operation = call.operation,
  }
  local near, pin = store.near, self.pin
  if not near then return store.driver:write(request) end
  local ticket = near:begin_write(self.id, filled, call.lane)
  local is_whole, version, reason, fault, facts =
    pcall(store.driver.write, store.driver, request)
  near:end_write(ticket, is_whole and version and pin or nil)
  if not is_whole then error(version, 0) end
  return version, reason, fault, facts
end

-- Writes a batch of keys without asking who else writes.
local function write_plainly(self, call, filled)
  local changes, message, code, details = filled:changes(self.pin)
  if not changes then return nil, message, code, details end
  local version, reason, fault, facts = write_by_driver(self, call, filled, changes)
  if version then return version end
  return self.store:fail(call, reason, fault, facts, filled:commands())
end

-- The same behind the writes before it. `false` when it cannot be any more: what it has
-- waited for was a delete, or the like.
local function wait_and_write_plainly(self, call, filled)
  call.bytes = filled.bytes
  local is_entered, message, code, details = self.writer.turns:enter_plain(call)
  if not is_entered then return nil, message, code, details end
  if not self.writer:goes_plain(self.pin, filled) then return false end
  return write_plainly(self, call, filled)
end

local function write_plainly_in_order(self, call, filled)
  local turns = self.writer.turns
  -- The near cache must be told of the end, and inside nginx a request may just vanish.
  local is_held = self.store.near and scheduler.is_deaf
  if is_held or not turns:is_open_to_plain() then
    return turns:hold(call, wait_and_write_plainly, self, call, filled)
  end
  return write_plainly(self, call, filled)
end

-- A plain write cannot be refused by the server.
local function check_expect(self, options, level)
  local is_plain = self.store.options.writes == "plain"
  if is_plain and type(options) == "table" and options.expect ~= nil then
    error('expect: nothing is checked with writes = "plain"; accepted: none', level + 1)
  end
end

-- Tells who observes the store what a call writes.
local function note_batch(self, call, filled, creds, changes)
  local recorder = self.store.recorder
  if call.operation then observer.note_batch(call.operation, filled) end
  if recorder then recorder:set(self.id, creds, changes) end
end

--- Checks, encodes and writes. For keys and commit. `put` is the method of a batch that
-- encodes a value.
-- @local
function Session:write(creds, changes, put, options, level)
  check_changes(changes, level)
  check_expect(self, options, level)
  local call = self:begin(options, level)
  local filled = batch.new(self:batch_context())
  local is_filled, message, code, details = fill(filled, creds, changes, put)
  if not is_filled then
    if code == "invalid" then error(message, level) end
    return nil, message, code, details
  end
  note_batch(self, call, filled, creds, changes)
  if self.writer:goes_plain(self.pin, filled) then
    local version
    version, message, code, details = write_plainly_in_order(self, call, filled)
    if version ~= false then return version, message, code, details end
  end
  local result
  result, message, code, details =
    self:commit_batch(call, filled, { expect = options and options.expect })
  if not result then return nil, message, code, details end
  return result.version
end

local function check_creds(creds, level)
  if type(creds) ~= "table" then
    error(("creds: %s are no credentials; accepted: a table"):format(failure.show(creds)),
      level + 1)
  elseif creds[1] ~= nil or getmetatable(creds) == core.array_mt then
    error("creds: an array is no credentials; accepted: a table with named fields",
      level + 1)
  end
end

--- Writes the credentials.
-- @param creds table
-- @param options { timeout_ms, expect = version }
-- @return the version that the write made; or E
function Session:save_creds(creds, options)
  check_creds(creds, self.store.level)
  return self:write(creds, {}, "set_value", options, self.store.level)
end

-- The options of a call, which are checked later, with an expected version.
local function with_expect(options, expect)
  if expect == nil or options ~= nil and type(options) ~= "table" then return options end
  local merged = { expect = expect }
  for name, value in pairs(options or {}) do merged[name] = value end
  return merged
end

local COMMIT_FIELDS = { creds = true, keys = true, expect = true }

--- Writes creds and keys together, all or nothing.
-- @param changes { creds = table, keys = { [type] = { [id] = value | authstate.null } },
--   expect = version }, each optional
-- @param options { timeout_ms }
-- @return the version that the write made; or E: `conflict` when `expect` is given and
--   another version is stored
function Session:commit(changes, options)
  if type(changes) ~= "table" then
    error(("changes: %s is no table; accepted: { creds =, keys =, expect = }")
      :format(failure.show(changes)), self.store.level)
  end
  for field in pairs(changes) do
    if not COMMIT_FIELDS[field] then
      error(("changes: unknown field %s; accepted: creds, keys, expect")
        :format(failure.show(field)), self.store.level)
    end
  end
  if changes.creds ~= nil then check_creds(changes.creds, self.store.level) end
  return self:write(changes.creds, changes.keys or {}, "set_value",
    with_expect(options, changes.expect), self.store.level)
end

--- The same from one JSON text `{"creds":{...},"keys":{"<type>":{"<id>":record|null}}}`,
-- whose records are kept exactly as they are written there; null deletes.
-- @param text string
-- @param options { timeout_ms, expect = version }
-- @return the version that the write made; or E
function Session:commit_json(text, options)
  if type(text) ~= "string" then
    error(("text: %s is no JSON text; accepted: a string")
      :format(failure.show(text)), self.store.level)
  end
  local split, message = core.split_session(text)
  if not split then
    error("text: " .. message, self.store.level)
  end
  for _, records in pairs(split.keys) do
    for id, record in pairs(records) do
      if record == "null" then records[id] = core.null end
    end
  end
  return self:write(split.creds, split.keys, "set_text", options, self.store.level)
end

-- Makes creds, in time that is not the call's, and writes them unless there are some.
-- @return creds and { version } or { exists = true }; or E
local function create(self, make, call)
  local started_ms = self.store.now_ms()
  local creds = make()
  call.deadline_ms = call.deadline_ms + self.store.now_ms() - started_ms
  check_creds(creds, self.store.level + 1)
  local filled = batch.new(self:batch_context())
  local is_filled, message, code, details = filled:set_creds_value(creds)
  if not is_filled then
    if code == "invalid" then error(message, self.store.level + 1) end
    return nil, message, code, details
  end
  note_batch(self, call, filled, creds, {})
  local made
  made, message, code, details = self:commit_batch(call, filled, { creates = true })
  if not made then return nil, message, code, details end
  return creds, made
end

--- Reads the credentials, or makes them when Redis says that there are none. Of two
-- processes that do so at once exactly one makes them, and both get the same.
-- @param make function without arguments that returns new creds; called only on a
--   confirmed absence, not under any lock; its time does not count against the deadline
-- @param options { timeout_ms }
-- @return creds, whether this call made them; or E
function Session:load_or_create(make, options)
  if type(make) ~= "function" then
    error(("make: %s is no function; accepted: a function that returns new creds")
      :format(failure.show(make)), self.store.level)
  end
  local call = self:begin(options, self.store.level)
  for _ = 1, MAX_LOADS do
    local creds, message, code, details = load_creds(self, "value", call)
    if creds then return creds, false end
    if message then return nil, message, code, details end
    local made
    creds, made, code, details = create(self, make, call)
    if not creds then return nil, made, code, details end
    if not made.exists then return creds, true end
  end
  return failure.new("conflict", "the session is created and deleted all the time",
    { session = self.id, sent = true, retry = true })
end

--- Deletes the whole session in one step. A tombstone stays for `tombstone_ttl_ms`: a
-- late writer is fenced, and only a handle that loads the session again may begin anew.
-- @param options { timeout_ms }
-- @return { records, bytes, generation } of what was deleted (bytes as Redis counts
--   them), records = 0 when there was none; or E
function Session:delete(options)
  local call = self:begin(options, self.store.level)
  local receipt, message, code, details =
    self.writer:delete(call, self, self.known_types, core.sha256_hex(self.id))
  if not receipt then return nil, message, code, details end
  if receipt.deleted_generation then
    local removed
    removed, message, code, details =
      self.store:unindex(call, self.id, receipt.deleted_generation)
    if not removed then
      details.applied = "yes" -- the index may name too much
      return nil, message, code, details
    end
  end
  return {
    records = receipt.records, bytes = receipt.bytes, generation = receipt.generation,
  }
end

--- What became of the last write of this session through this store.
-- @return seq (nil before the first write), and "yes", "no" or "maybe"
function Session:last_commit()
  return self.writer.unsettled or self.writer.last_seq, self.writer.applied
end

observer.wrap(Session, {
  load_creds = "load_creds", load_creds_json = "load_creds",
  load_or_create = "load_or_create", save_creds = "save_creds", commit = "commit",
  commit_json = "commit", load = "load", load_json = "load", delete = "delete",
}, function(self) return self.store end, function(self) return self.id end)

return session
