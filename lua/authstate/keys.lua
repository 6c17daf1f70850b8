-- SPDX-License-Identifier: MIT
--- The Signal keys of a session: `session.keys`.
-- @module authstate.keys

local cached_read = require "authstate.cached_read"
local core = require "authstate.core"
local failure = require "authstate.failure"
local new_table = require "table.new"
local observer = require "authstate.observer"
local scheduler = require "authstate.scheduler"

local yield, PARKED = coroutine.yield, scheduler.PARKED
local SHAPES = core.shapes

local Keys = { __name = "authstate.keys" }
Keys.__index = Keys

local keys = {}

function keys.new(session)
  return setmetatable({ session = session }, Keys)
end

-- A caller's mistake is raised at the line that called the public method. The helpers
-- below are called as tails, so that line is store.level for them too (see observer.lua).

local function check_type(kind, level)
  if type(kind) ~= "string" then
    error(("type: %s is no key type; accepted: a string such as \"pre-key\"")
      :format(failure.show(kind)), level + 1)
  elseif kind == "creds" then
    error('type: "creds" names the credentials, use load_creds and save_creds', level + 1)
  end
end
keys.check_type = check_type

local function count_keys(list)
  local count = 0
  for _ in pairs(list) do count = count + 1 end
  return count
end

local function check_ids(ids, level)
  if type(ids) ~= "table" then
    error(("ids: %s is no list of ids; accepted: { \"1\", \"2\" }")
      :format(failure.show(ids)), level + 1)
  end
  -- All are counted: what follows the last element says nothing when that is not in the
  -- table's array.
  local length = #ids
  if count_keys(ids) ~= length then
    error("ids: has other keys than 1 to n; accepted: a list such as { \"1\", \"2\" }",
      level + 1)
  end
  for i = 1, length do
    if type(ids[i]) ~= "string" then
      error(("ids[%d]: %s is no id; accepted: a string"):format(i, failure.show(ids[i])),
        level + 1)
    end
  end
end

-- Names the record of a failure.
local function name_record(kind, ids, message, code, details)
  if code == "corrupt" and details.element then
    details.type, details.id = kind, ids[details.element]
    message = failure.record(kind, details.id) .. ": " .. message
  end
  return nil, message, code, details
end

-- The next read of this type goes the quick way, if there is one.
local function prepare_quick(session, kind)
  local writer = session.writer
  local is_wanted = session.pin and kind ~= "creds" and not writer.hashes[kind]
  if is_wanted then writer:hash(kind) end
end

local function read_ids(self, kind, ids, shape, options)
  local session = self.session
  local level = session.store.level
  check_type(kind, level)
  check_ids(ids, level)
  local call = session:begin(options, level)
  if #ids == 0 then return {} end
  local layout = session.store.layout
  local fields, key = new_table(#ids, 0), nil
  for i = 1, #ids do key, fields[i] = layout.key(session.id, kind, ids[i]) end
  local values, generation, code, details =
    session:read_fields(call, key, fields, shape)
  if not values then return name_record(kind, ids, generation, code, details) end
  local message
  values, message, code, details =
    session:open_list(shape, generation, kind, ids, values)
  if not values then return nil, message, code, details end
  if #ids == 1 then prepare_quick(session, kind) end
  local found = new_table(0, #ids)
  for i = 1, #ids do
    if values[i] ~= nil then found[ids[i]] = values[i] end
  end
  return found
end

-- Whether `ids` is a list of one id.
local function is_single(ids)
  if type(ids) ~= "table" then return false end
  local key, id = next(ids)
  return key == 1 and type(id) == "string" and next(ids, 1) == nil
end

-- What became of a call that went the quick way and has no result. False when it must
-- be made again, the other way; else E.
local function fail_quickly(session, kind, id, slot, is_write)
  local store = session.store
  local timeout_ms = store.server.socket.command_timeout_ms
  local is_again, message, code, facts =
    store.driver:finish_quickly(slot, timeout_ms, is_write)
  if is_again == false then return false end
  local started_ms = store.now_ms() - (facts.elapsed_ms or 0)
  local call = {
    session = session.id, started_ms = started_ms, deadline_ms = started_ms + timeout_ms,
  }
  local key = store.layout.key(session.id, kind, id)
  if code == "fenced" then session.writer:note_fenced() end
  local details
  message, code, details =
    select(2, store:fail(call, message, code, facts, { { "HMGET", key } }))
  return name_record(kind, { id }, message, code, details)
end

-- Whether somebody wants to know of each call what the quick way does not tell.
local function is_detailed(store)
  local watching = store.observer
  return watching and watching.is_detailed
end

-- Submits the read of one id for a handle that is pinned, the quick way. As submit_read.
local function submit_read(self, kind, id, shape)
  local session = self.session
  local store, writer, pin = session.store, session.writer, session.pin
  store:note_process()
  local hash = writer.hashes[kind]
  if not hash or not pin or not writer.turns:is_open() or is_detailed(store) then
    return nil
  end
  if pin ~= self.pin then self.pin, self.generation = pin, tonumber(pin) end
  local _, field = store.layout.key(session.id, kind, id)
  return store.driver:submit_read(hash, field, self.generation, shape,
    store.server.socket.command_timeout_ms)
end

-- What a read of one id found that went the quick way: { [id] = value }; or E.
local function open_single(session, shape, generation, kind, ids, stored)
  local list, message, code, details =
    session:open_list(shape, generation, kind, ids, { stored })
  if not list then return nil, message, code, details end
  return { [ids[1]] = list[1] }
end

local function read_records(self, kind, ids, shape, options)
  local counts = self.session.store.counts
  if options == nil and is_single(ids) then
    local id, driver = ids[1], self.session.store.driver
    local session = self.session
    local generation, turns = session.pin, session.writer.turns
    local retreats = turns.retreats
    local slot, task = submit_read(self, kind, id, SHAPES[session:asked(shape)])
    if slot then
      local result
      if task then result = yield(PARKED) else result = driver:block(slot) end
      if result == driver.unfinished then
        local is_again, message, code, details = fail_quickly(session, kind, id, slot)
        if is_again ~= false then
          if counts then counts:add("get", details.elapsed_ms or 0, code) end
          return nil, message, code, details
        end
      elseif turns.retreats == retreats then -- else it goes again (session.lua, in_order)
        if session.store.opener then
          return open_single(session, shape, generation, kind, ids, result)
        end
        local found = new_table(0, 1)
        found[id] = result
        return found
      end
    end
  end
  if counts then
    return counts:finish("get", counts.now_ms(),
      read_ids(self, kind, ids, shape, options))
  end
  return read_ids(self, kind, ids, shape, options)
end

-- Reads through the near cache, all but what was not looked for in vain already.
local function read_cached(self, near, kind, ids, shape, options, is_looked_up)
  local session = self.session
  local level = session.store.level
  check_type(kind, level)
  check_ids(ids, level)
  local call = session:begin(options, level)
  if #ids == 0 then return {} end
  return cached_read.get(near, session, call, kind, ids, shape, is_looked_up,
    options and options.shared)
end

-- Whether a call is to read from the server, whatever the cache has.
local function reads_around(options)
  return type(options) == "table" and (options.cache == false or options.consistent)
end

local function read_near(self, near, kind, ids, shape, options)
  if shape == "raw" or reads_around(options) then
    return read_records(self, kind, ids, shape, options)
  end
  local counts = near.store.counts
  local found, is_looked_up
  if options == nil then
    found, is_looked_up = cached_read.hit(near, self.session, kind, ids, shape)
    if found then
      if counts then counts:add_hit("get") end
      if near.store.observer then near.store.next_operation = nil end
      return found
    end
  end
  if counts then
    return counts:finish("get", counts.now_ms(),
      read_cached(self, near, kind, ids, shape, options, is_looked_up))
  end
  return read_cached(self, near, kind, ids, shape, options, is_looked_up)
end

local function read_observed(self, ...)
  return read_near(self, self.session.store.near, ...)
end

local function read(self, kind, ids, shape, options)
  local session = self.session
  local store = session.store
  local near = store.near
  if not is_detailed(store) then
    if near then return read_near(self, near, kind, ids, shape, options) end
    return read_records(self, kind, ids, shape, options)
  end
  local watching = store.observer
  local recorder = store.recorder
  if recorder then recorder:get(session.id, kind, ids) end
  local state =
    watching:start("get", session.id, kind, type(ids) == "table" and #ids or 0)
  state.asks_cache = near and shape ~= "raw" and not reads_around(options)
  return watching:finish(state, (near and read_observed or read_records)(self, kind,
    ids, shape, options))
end

--- Reads records of one type, all in one step.
-- @param kind the type, such as "pre-key"
-- @param ids list of ids
-- @param options { timeout_ms }
-- @return { [id] = value }, absent ids absent, all tables the caller's own; or E: one
--   record that cannot be opened makes it `corrupt`, with details.id
function Keys:get(kind, ids, options)
  return read(self, kind, ids, "value", options)
end

--- The same as JSON texts, exactly as they were written.
-- @param kind the type
-- @param ids list of ids
-- @param options { timeout_ms }
-- @return { [id] = text }; or E
function Keys:get_json(kind, ids, options)
  return read(self, kind, ids, "json", options)
end

--- The same as the bytes that are stored. For benchmarks.
-- @local
function Keys:get_raw(kind, ids, options)
  return read(self, kind, ids, "raw", options)
end

-- The only key and value of a table; nil when it has none or more.
local function only_entry(t)
  if type(t) ~= "table" then return nil end
  local key, value = next(t)
  if key == nil or next(t, key) ~= nil then return nil end
  return key, value
end

local ENCODERS = { set_value = "encode_value", set_text = "encode_text" }

-- Submits a plain write of one record, the quick way. As submit_set.
local function submit_write(session, kind, id, value, put)
  local store, writer = session.store, session.writer
  store:note_process()
  local hash, pin = writer.hashes[kind], session.pin
  if not hash or not pin or is_detailed(store) or pin ~= writer.kept_generation or
     not writer.kept_types[kind] or not writer.turns:is_open_to_plain() then
    return nil
  end
  local layout, options = store.layout, store.options
  if type(id) ~= "string" or value == core.null or layout.atomic ~= "slot" then
    return nil
  end
  local stored, encode = value, ENCODERS[put]
  if encode == "encode_text" and type(value) ~= "string" then return nil end
  if encode then stored = store.codec[encode](kind, value) end
  if stored and encode and store.keyring then
    stored = store.keyring:encrypt(stored, session.id, tonumber(pin), kind, id)
  end
  if type(stored) ~= "string" or #stored > options.max_value_bytes or
     #stored > options.max_commit_bytes then
    return nil
  end
  local _, field = layout.key(session.id, kind, id)
  return store.driver:submit_set(hash, field, stored,
    store.server.socket.command_timeout_ms)
end

local function write_records(self, changes, put, options)
  local session = self.session
  local counts = session.store.counts
  local kind, records = only_entry(changes)
  local is_plain = session.store.options.writes == "plain" and not session.store.near
  if options == nil and type(kind) == "string" and is_plain then
    local id, value = only_entry(records)
    local slot, task = submit_write(session, kind, id, value, put)
    if slot then
      local result
      local driver = session.store.driver
      if task then result = yield(PARKED) else result = driver:block(slot) end
      if result ~= driver.unfinished then return result end
      local is_again, message, code, details =
        fail_quickly(session, kind, id, slot, true)
      if is_again ~= false then
        if counts then counts:add("set", details.elapsed_ms or 0, code) end
        return nil, message, code, details
      end
    else
      prepare_quick(session, kind)
    end
  end
  local level = session.store.level
  if counts then
    return counts:finish("set", counts.now_ms(),
      session:write(nil, changes, put, options, level))
  end
  return session:write(nil, changes, put, options, level)
end

local function write(self, changes, put, options)
  local session = self.session
  local store = session.store
  if not is_detailed(store) then return write_records(self, changes, put, options) end
  local watching = store.observer
  return watching:finish(
    watching:start("set", session.id, (only_entry(changes)), 0),
    write_records(self, changes, put, options))
end

--- Writes records, all or nothing. `authstate.null` as a value deletes.
-- @param changes { [type] = { [id] = value } }
-- @param options { timeout_ms, expect = version }
-- @return the version that the write made; or E
function Keys:set(changes, options)
  return write(self, changes, "set_value", options)
end

--- The same with JSON texts as values, which are kept exactly.
-- @param changes { [type] = { [id] = text } }
-- @param options { timeout_ms, expect = version }
-- @return the version that the write made; or E
function Keys:set_json(changes, options)
  return write(self, changes, "set_text", options)
end

--- The same with the bytes to be stored. For benchmarks.
-- @local
function Keys:set_raw(changes, options)
  return write(self, changes, "set", options)
end

-- Asks about one type what the layout's arrangement knows to ask and to understand.
local function ask(self, question, understand, kind, options)
  local session = self.session
  local level = session.store.level
  check_type(kind, level)
  local call = session:begin(options, level)
  local layout = session.store.layout
  local arrangement = layout.arrangement
  local replies, message, code, details = session:read(call,
    { arrangement[question](layout, session.id, kind) }, { "raw" })
  if not replies then return nil, message, code, details end
  return arrangement[understand](layout, session.id, kind, replies[1])
end

--- All ids of a type, in no order.
-- @param kind the type
-- @param options { timeout_ms }
-- @return list, empty when there is none; or E
function Keys:list(kind, options)
  return ask(self, "list", "ids", kind, options)
end

--- How many records of a type there are.
-- @param kind the type
-- @param options { timeout_ms }
-- @return number; or E
function Keys:count(kind, options)
  return ask(self, "count", "number", kind, options)
end

--- How many records there are of each type.
-- @param options { timeout_ms }
-- @return { [type] = n }, types without any absent; or E
function Keys:types(options)
  local session = self.session
  local counts, message, code, details =
    session:count(session:begin(options, session.store.level))
  if not counts then return nil, message, code, details end
  return counts
end

observer.wrap(Keys, { list = "list", count = "count", types = "types" },
  function(self) return self.session.store end,
  function(self) return self.session.id end)

return keys
