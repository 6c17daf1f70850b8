-- SPDX-License-Identifier: MIT
--- How records are read through the near cache: from there when it has all that is asked
-- for, else in one round trip, together with what a preload rule expects to be read next.

local cache = require "authstate.cache"
local clock = require "authstate.clock"
local coherence = require "authstate.coherence"
local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local new_table = require "table.new"
local process = require "authstate.process"
local quick_way = require "authstate.quick_way"
local scheduler = require "authstate.scheduler"

local next, type = next, type
local current, library = scheduler.current, core_ffi.library
local find_record, process_number, use =
  coherence.find_record, process.number, cache.use
local PUMP_GAP_MS = coherence.PUMP_GAP_MS

local cached_read = {}

-- Where the cache keeps what was made of its entries, by shape.
local KEPT = { value = "decoded", json = "texts" }

local DECODERS = { value = core.decode, json = core.json_decode }

-- Whether the cache may serve now.
local function is_served(near, now_ms)
  local task = current()
  if task and not task.is_cancelled and now_ms - near.turned_ms <= PUMP_GAP_MS then
    return near.serves
  end
  return near:is_served(now_ms)
end

-- Looks for a record where that takes the least; what must be looked at closely is not
-- found. This is Near:find and what it calls, in one piece: a method takes as long to be
-- found as the record.
-- @return its entry, 0 when Near:find may know more
local function find_quickly(near, handle, kind, id)
  local near_cache, turns, now_ms = near.cache, handle.writer.turns, clock.latest_ms()
  local number = near_cache.type_numbers[kind]
  if not number or near.process ~= process_number() or not is_served(near, now_ms) then
    return 0
  end
  local record, pin = handle.record, handle.pin -- only now: what has come is known
  if not record or not pin or record.generation ~= pin then
    record = find_record(near, handle)
  end
  if not record or not (turns.is_calm or turns:is_open()) then return 0 end
  local name = near.is_slot and id or near:name(handle.id, kind, id)
  if not name then return 0 end
  return library.authstate_cache_hit(near_cache.core, record.number, number, name, #name,
    now_ms)
end

--- Reads one record from the cache, if nothing speaks against it. No string is built for
-- that, and no table but the result; what is not there does not count as a miss yet.
-- @param handle the session
-- @param kind type
-- @param ids whatever the caller gave
-- @param shape "value" or "json"
-- @return { [id] = value }; nil: it must be looked for thoroughly
function cached_read.hit(handle, kind, ids, shape)
  local store = handle.store
  local near = store.near
  if not near or store.is_watched or type(ids) ~= "table" then return nil end
  local id = ids[1]
  if type(id) ~= "string" or next(ids, 1) ~= nil then return nil end
  local e = find_quickly(near, handle, kind, id)
  if e == 0 then return nil end
  local near_cache, counts = near.cache, store.counts
  use(near_cache, e)
  local value, is_open = near_cache[KEPT[shape]][e], true
  if value == nil or type(value) == "table" then
    value, is_open = near:open(handle, e, kind, id, shape)
  end
  if not is_open then
    local counted = near_cache:counts(kind)
    counted.hits = counted.hits - 1
    return nil
  end
  if counts then counts.hits = counts.hits + 1 end
  local found = new_table(0, 1)
  found[id] = value
  return found
end

-- Takes the records from the cache if it has all of them. Whether it has: if not, all of
-- them are read elsewhere, and none counts as a hit. And whether others must go on now.
local function take_hits(near, handle, kind, ids, shape, found, is_shared)
  local may_serve, gives_way = near:is_served_in_turn()
  local counted = near.cache:counts(kind)
  local hits, misses = counted.hits, counted.misses
  local now_ms = clock.now_ms()
  for i = 1, #ids do
    local id, is_open = ids[i], false
    local e = may_serve and near:find(handle, kind, id, now_ms)
    if e then found[id], is_open = near:read(handle, e, kind, id, shape, is_shared) end
    if not is_open then
      counted.hits, counted.misses = hits, misses + #ids
      return false
    end
  end
  return true, gives_way
end

-- What is to be asked of one place.
local function want(near, handle, record, kind, ids)
  local layout, fields, key = near.layout, new_table(#ids, 0), nil
  for i = 1, #ids do key, fields[i] = layout.key(handle.id, kind, ids[i]) end
  return {
    kind = kind, ids = ids, key = key, fields = fields, place = near:place(record, kind),
    ticket = nil, -- see Near:begin_read
  }
end

-- What is read in the round trip: first what was asked for, then what the rule adds.
local function plan(near, handle, record, kind, ids)
  local wanted = { want(near, handle, record, kind, ids) }
  local extra = near:extra(record, kind, ids)
  if not extra then return wanted end
  local by_kind = {}
  for _, each in ipairs(extra) do
    local list = by_kind[each[1]]
    if not list then
      list = {}
      by_kind[each[1]], by_kind[#by_kind + 1] = list, each[1]
    end
    list[#list + 1] = each[2]
  end
  for _, extra_kind in ipairs(by_kind) do
    wanted[#wanted + 1] = want(near, handle, record, extra_kind, by_kind[extra_kind])
  end
  return wanted
end

-- Opens what was read. True; or E.
local function open_all(near, handle, generation, kind, ids, stored, shape, found)
  local opener, place = near.store.opener, nil
  for i = 1, #ids do
    local value, message, code = nil, nil, nil
    if stored[i] and opener then
      place = place or { session = handle.id, generation = tonumber(generation or 0) }
      value, message, code = opener:open(shape, place, kind, ids[i], stored[i])
    elseif stored[i] then
      value, message, code = DECODERS[shape](stored[i], near.max_value_bytes)
    end
    if message then
      return handle:fail_to_open(generation, kind, ids[i], message, code)
    end
    found[ids[i]] = value
  end
  return true
end

--- Reads records of one type: from the cache if it has all of them, else all of them from
-- Redis, in one step and in the call's turn. (Reading only what is lacking would give
-- records of two moments, and what comes from the cache may have changed meanwhile: to
-- read it then would show writes that were called later.)
-- @param near see coherence.lua
-- @param handle the session
-- @param call see Store:begin
-- @param kind type
-- @param ids list of at least one
-- @param shape "value" or "json"
-- @param is_shared whether the caller only looks at what it gets
-- @return { [id] = value }; or E
function cached_read.get(near, handle, call, kind, ids, shape, is_shared)
  local found = new_table(0, #ids)
  local is_whole, gives_way =
    take_hits(near, handle, kind, ids, shape, found, is_shared)
  if is_whole then
    if gives_way then near.give_way() end
    return found
  end
  local record = near:record(handle.id)
  local wanted = plan(near, handle, record, kind, ids)
  local lists, generation, code, details = handle:read_places(call, near, record, wanted)
  if not lists then return nil, generation, code, details end
  local is_admitted, is_open, message
  for i, each in ipairs(wanted) do
    local is_taken = near:admit(each.ticket, generation, each.kind, each.ids, lists[i],
      i == 1 and "read" or "preload")
    if i == 1 then is_admitted = is_taken end
  end
  found = new_table(0, #ids)
  is_open, message, code, details =
    open_all(near, handle, generation, kind, ids, lists[1], shape, found)
  if not is_open then return nil, message, code, details end
  if not ids[2] then quick_way.prepare(handle, kind) end
  if is_admitted and shape == "value" then near:keep_all(record, kind, found) end
  return found
end

return cached_read
