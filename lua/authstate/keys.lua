-- SPDX-License-Identifier: MIT
--- The Signal keys of a session: `session.keys`.
-- @module authstate.keys

local cached_read = require "authstate.cached_read"
local failure = require "authstate.failure"
local new_table = require "table.new"
local observer = require "authstate.observer"
local quick_way = require "authstate.quick_way"

local hit, name_record, REFUSED =
  cached_read.hit, quick_way.name_record, quick_way.REFUSED

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
  if #ids == 1 then quick_way.prepare(session, kind) end
  local found = new_table(0, #ids)
  for i = 1, #ids do
    if values[i] ~= nil then found[ids[i]] = values[i] end
  end
  return found
end

local function read_records(self, kind, ids, shape, options)
  if options == nil then
    local found, message, code, details = quick_way.read(self.session, kind, ids, shape)
    if found then return found end
    if found ~= REFUSED then return nil, message, code, details end
  end
  local counts = self.session.store.counts
  if counts then
    return counts:finish("get", counts.now_ms(),
      read_ids(self, kind, ids, shape, options))
  end
  return read_ids(self, kind, ids, shape, options)
end

-- Reads through the near cache.
local function read_cached(self, near, kind, ids, shape, options)
  local session = self.session
  local level = session.store.level
  check_type(kind, level)
  check_ids(ids, level)
  local call = session:begin(options, level)
  if #ids == 0 then return {} end
  return cached_read.get(near, session, call, kind, ids, shape,
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
  if options == nil then
    local found, message, code, details =
      quick_way.read_into(self.session, near, kind, ids, shape)
    if found then return found end
    if found ~= REFUSED then return nil, message, code, details end
  end
  local counts = near.store.counts
  if counts then
    return counts:finish("get", counts.now_ms(),
      read_cached(self, near, kind, ids, shape, options))
  end
  return read_cached(self, near, kind, ids, shape, options)
end

local function read_observed(self, ...)
  return read_near(self, self.session.store.near, ...)
end

local function read(self, kind, ids, shape, options)
  local session = self.session
  local store = session.store
  local near = store.near
  if not store.is_watched then
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
  local found = options == nil and hit(self.session, kind, ids, "value")
  if found then return found end
  return read(self, kind, ids, "value", options)
end

--- The same as JSON texts, exactly as they were written.
-- @param kind the type
-- @param ids list of ids
-- @param options { timeout_ms }
-- @return { [id] = text }; or E
function Keys:get_json(kind, ids, options)
  local found = options == nil and hit(self.session, kind, ids, "json")
  if found then return found end
  return read(self, kind, ids, "json", options)
end

--- The same as the bytes that are stored. For benchmarks.
-- @local
function Keys:get_raw(kind, ids, options)
  return read(self, kind, ids, "raw", options)
end

local function write_records(self, changes, put, options)
  local session = self.session
  local store = session.store
  if options == nil and store.options.writes == "plain" then
    local version, message, code, details = quick_way.write(session, changes, put)
    if version then return version end
    if version ~= REFUSED then return nil, message, code, details end
  end
  local counts = store.counts
  if counts then
    return counts:finish("set", counts.now_ms(),
      session:write(nil, changes, put, options, store.level))
  end
  return session:write(nil, changes, put, options, store.level)
end

local function write(self, changes, put, options)
  local session = self.session
  local store = session.store
  if not store.is_watched then return write_records(self, changes, put, options) end
  local watching = store.observer
  return watching:finish(
    watching:start("set", session.id, (quick_way.only_entry(changes)), 0),
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
