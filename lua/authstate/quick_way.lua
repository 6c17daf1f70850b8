-- SPDX-License-Identifier: MIT
--- The quick way of reading and of plain writing: one record of a session that is pinned,
-- without options. Such a call is submitted through FFI and makes no table but its
-- result. What it cannot do goes the long way (keys.lua, session.lua), and nothing has
-- happened then.

local core = require "authstate.core"
local failure = require "authstate.failure"
local new_table = require "table.new"
local scheduler = require "authstate.scheduler"

local next, type = next, type
local yield, PARKED = coroutine.yield, scheduler.PARKED
local SHAPES = core.shapes

local quick_way = {}

--- The result of a call that must be made the long way.
quick_way.REFUSED = false
local REFUSED = quick_way.REFUSED

local DECODERS = { value = core.decode, json = core.json_decode }
local ENCODERS = { set_value = "encode_value", set_text = "encode_text" }

--- The next call for this type goes the quick way, if there is one.
-- @param session
-- @param kind type
function quick_way.prepare(session, kind)
  local writer = session.writer
  local is_wanted = session.pin and kind ~= "creds" and not writer.hashes[kind]
  if is_wanted then writer:hash(kind) end
end

--- Names the record of a failure.
-- @param ids those that were asked for
-- @return E
function quick_way.name_record(kind, ids, message, code, details)
  if code == "corrupt" and details.element then
    details.type, details.id = kind, ids[details.element]
    message = failure.record(kind, details.id) .. ": " .. message
  end
  return nil, message, code, details
end

-- Waits for what was submitted. Its result, or driver.unfinished.
local function wait(driver, slot, task)
  if task then return yield(PARKED) end
  return driver:block(slot)
end

-- What became of a call that has no result: REFUSED, or E.
local function finish(session, kind, id, slot, name)
  local store = session.store
  local timeout_ms = store.server.socket.command_timeout_ms
  local is_again, message, code, facts =
    store.driver:finish_quickly(slot, timeout_ms, name == "set")
  if is_again == false then return REFUSED end
  local started_ms = store.now_ms() - (facts.elapsed_ms or 0)
  local call = {
    session = session.id, started_ms = started_ms, deadline_ms = started_ms + timeout_ms,
  }
  local key = store.layout.key(session.id, kind, id)
  if code == "fenced" then session.writer:note_fenced() end
  local details
  message, code, details =
    select(2, store:fail(call, message, code, facts, { { "HMGET", key } }))
  if store.counts then store.counts:add(name, details.elapsed_ms or 0, code) end
  return quick_way.name_record(kind, { id }, message, code, details)
end

-- ---- reading ------------------------------------------------------------------------

-- Whether `ids` is a list of one id.
local function is_single(ids)
  if type(ids) ~= "table" then return false end
  local key, id = next(ids)
  return key == 1 and type(id) == "string" and next(ids, 1) == nil
end

-- Submits the read of one record. As Native:submit_read.
local function submit_read(session, kind, id, shape)
  local store, writer, pin = session.store, session.writer, session.pin
  store:note_process()
  local hash = writer.hashes[kind]
  if not hash or not pin or store.is_watched or not writer.turns:is_open() then
    return nil
  end
  if pin ~= session.numbered_pin then
    session.numbered_pin, session.pin_number = pin, tonumber(pin)
  end
  local _, field = store.layout.key(session.id, kind, id)
  return store.driver:submit_read(hash, field, session.pin_number, SHAPES[shape],
    store.server.socket.command_timeout_ms)
end

--- Reads one record.
-- @param session that reads
-- @param kind whatever the caller gave
-- @param ids whatever the caller gave
-- @param shape "raw", "value" or "json"
-- @return { [id] = value }; REFUSED; or E
function quick_way.read(session, kind, ids, shape)
  if not is_single(ids) then return REFUSED end
  local store, generation, id = session.store, session.pin, ids[1]
  local driver = store.driver
  local slot, task = submit_read(session, kind, id, session:asked(shape))
  if not slot then return REFUSED end
  local turns, retreats = session.writer.turns, session.writer.turns.retreats
  local result = wait(driver, slot, task)
  if result == driver.unfinished then return finish(session, kind, id, slot, "get") end
  if turns.retreats ~= retreats then return REFUSED end -- see Turns:note_unsent
  if store.opener then
    local list, message, code, details =
      session:open_list(shape, generation, kind, ids, { result })
    if not list then return nil, message, code, details end
    result = list[1]
  end
  local found = new_table(0, 1)
  found[id] = result
  return found
end

-- Opens what was read of a record that there is. The value; or E.
local function open(session, generation, kind, id, stored, shape)
  local store = session.store
  local value, message, code
  if store.opener then
    local place = { session = session.id, generation = tonumber(generation) }
    value, message, code = store.opener:open(shape, place, kind, id, stored)
  else
    value, message, code = DECODERS[shape](stored, store.options.max_value_bytes)
  end
  if message then return session:fail_to_open(generation, kind, id, message, code) end
  return value
end

--- Reads one record that the near cache does not have, and takes it in.
-- @param session that reads
-- @param near see coherence.lua
-- @param kind whatever the caller gave
-- @param ids whatever the caller gave
-- @param shape "value" or "json"
-- @return { [id] = value }; REFUSED; or E
function quick_way.read_into(session, near, kind, ids, shape)
  if near.rule or not is_single(ids) then return REFUSED end
  local driver, generation, id = session.store.driver, session.pin, ids[1]
  local is_prepared = session.writer.hashes[kind] ~= nil
  if not is_prepared or near:may_have(session, kind, id) then return REFUSED end
  local slot, task = submit_read(session, kind, id, "raw")
  if not slot then return REFUSED end
  local place = near:place(near:record(session.id), kind)
  local epoch, mark, sent_ms, stream = near:begin_read_one(session, place, kind)
  local turns, retreats = session.writer.turns, session.writer.turns.retreats
  local stored = wait(driver, slot, task)
  if stored == driver.unfinished then return finish(session, kind, id, slot, "get") end
  if turns.retreats ~= retreats then return REFUSED end
  local e = near:admit_one(place, epoch, mark, sent_ms, stream, generation, kind, id,
    stored)
  local found = new_table(0, 1)
  if stored == nil then return found end
  local value, message, code, details =
    open(session, generation, kind, id, stored, shape)
  if message then return nil, message, code, details end
  if e and shape == "value" then near:keep(e, value) end
  found[id] = value
  return found
end

-- ---- writing ------------------------------------------------------------------------

-- The only key and value of a table; nil when it has none or more.
local function only_entry(t)
  if type(t) ~= "table" then return nil end
  local key, value = next(t)
  if key == nil or next(t, key) ~= nil then return nil end
  return key, value
end
quick_way.only_entry = only_entry

-- What is stored of a value; nil when that is not for the quick way to decide.
local function encode(session, kind, id, value, put)
  local store, name = session.store, ENCODERS[put]
  local options, stored = store.options, value
  if name == "encode_text" and type(value) ~= "string" then return nil end
  if name then stored = store.codec[name](kind, value) end
  if stored and name and store.keyring then
    stored = store.keyring:encrypt(stored, session.id, tonumber(session.pin), kind, id)
  end
  if type(stored) ~= "string" or #stored > options.max_value_bytes or
     #stored > options.max_commit_bytes then
    return nil
  end
  return stored
end

-- Whether one record may be written the quick way.
local function is_writable(session, kind, id, value)
  local store, writer, pin = session.store, session.writer, session.pin
  store:note_process()
  return writer.hashes[kind] and pin and not store.is_watched and
    pin == writer.kept_generation and writer.kept_types[kind] and
    writer.turns:is_open_to_plain() and type(id) == "string" and value ~= core.null and
    store.layout.atomic == "slot"
end

-- Submits a plain write of one record. As Native:submit_set.
local function submit_write(session, kind, id, stored)
  local store = session.store
  local _, field = store.layout.key(session.id, kind, id)
  return store.driver:submit_set(session.writer.hashes[kind], field, stored,
    store.server.socket.command_timeout_ms)
end

-- Waits for a plain write. Its version; REFUSED; or E.
local function end_write(session, kind, id, slot, task)
  local driver = session.store.driver
  local version = wait(driver, slot, task)
  if version ~= driver.unfinished then return version end
  return finish(session, kind, id, slot, "set")
end

-- The same, with what the near cache must be told.
local function end_write_near(session, near, kind, id, stored, slot, task)
  local pin, place = session.pin, near:place(near:record(session.id), kind)
  local epoch, mark, sent_ms, stream = near:begin_write_one(session, place, kind, id)
  local version, message, code, details = end_write(session, kind, id, slot, task)
  near:end_write_one(place, epoch, mark, sent_ms, stream, version and pin, kind, id,
    stored)
  return version, message, code, details
end

--- Writes one record of a store with writes = "plain".
-- @param session that writes
-- @param changes whatever the caller gave
-- @param put "set", "set_value" or "set_text"
-- @return the version that the write made; REFUSED; or E
function quick_way.write(session, changes, put)
  local kind, records = only_entry(changes)
  local near = session.store.near
  -- The near cache must be told of the end, and inside nginx a request may just vanish.
  if type(kind) ~= "string" or near and scheduler.is_deaf then return REFUSED end
  local id, value = only_entry(records)
  if not is_writable(session, kind, id, value) then
    quick_way.prepare(session, kind)
    return REFUSED
  end
  local stored = encode(session, kind, id, value, put)
  local slot, task
  if stored then slot, task = submit_write(session, kind, id, stored) end
  if not slot then return REFUSED end
  if near then return end_write_near(session, near, kind, id, stored, slot, task) end
  return end_write(session, kind, id, slot, task)
end

return quick_way
