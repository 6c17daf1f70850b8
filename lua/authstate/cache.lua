-- SPDX-License-Identifier: MIT
--- The near cache: stored values outside the Lua heap, by session, type and id, bounded
-- in bytes, with a policy that decides what leaves. One serves all sessions and stores of
-- a Lua state. It knows nothing of Redis: whoever uses it says what may be admitted and
-- what must go.
--
-- Sessions are numbered by the caller, types by `type_number`. An entry is a number,
-- valid until something is admitted or removed.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local policy = require "authstate.policy"

local pcall = pcall
local floor, huge, max = math.floor, math.huge, math.max
local library = core_ffi.library

local Cache = { __name = "authstate.near_cache" }
Cache.__index = Cache

local cache = {}

local DEFAULT_POLICY = "lru"

-- What is kept decoded takes at most this share of what the entries take, or so many
-- bytes; each is counted with its places in tables.
local DECODED_SHARE, DECODED_BYTES, DECODED_PLACE_BYTES = 0.08, 65536, 64

-- So many that have expired leave at an admission, at most: none has to wait for all.
local EXPIRED_AT_ONCE = 64

local function say_nothing() end

--- Makes a cache.
-- @param options
--   `max_bytes`: of all its memory;
--   `policy`: name or path of a script, "lru" by default;
--   `ttl_ms`: how long an entry is served after its read was sent, a number or
--   { [type] = number }, nil for ever; at most 24 days, for which more counts;
--   `log`: function(level, message, fields);
--   `now_ms`: the clock; by default the monotonic one;
--   `unit_bytes`: what each entry counts as instead of what it takes;
--   `seed`: of the hash, a number; by default a random one
-- @return the cache; or nil, a sentence, code
function cache.new(options)
  local object, message, code = core.cache(options.max_bytes, options.unit_bytes or 0,
    options.seed)
  if not object then return nil, message, code end
  local self = setmetatable({
    object = object, core = core_ffi.cache(object:address()), type_names = {},
    type_numbers = {}, ttl_ms = {}, ttl = options.ttl_ms,
    log = options.log or say_nothing,
    now_ms = options.now_ms or library.authstate_now_ms, on_fate = say_nothing,
    decoded = {}, texts = {}, decoded_bytes = 0, -- by entry: what readers may share
    sessions = 0, -- numbers that were given out
    evictions = 0, refused = 0, invalidations = 0, flushes = {}, useful = 0, wasted = 0,
  }, Cache)
  local is_set
  is_set, message = self:set_policy(options.policy or DEFAULT_POLICY)
  if not is_set then return nil, message, "unsupported" end
  return self
end

-- ---- types --------------------------------------------------------------------------

--- The number of a type, which is given one when it has none.
function Cache:type_number(name)
  local number = self.type_numbers[name]
  if number then return number end
  number = #self.type_names + 1
  self.type_names[number], self.type_numbers[name] = name, number
  local ttl = self.ttl
  if type(ttl) == "table" then ttl = ttl[name] end
  self.ttl_ms[number] = ttl or huge
  library.authstate_cache_set_types(self.core, number + 1) -- else the first entry does it
  return number
end

--- How many records of a type were found, and how many were not: { hits, misses }, to be
-- corrected by who does not use what it finds. Valid until another type comes.
function Cache:counts(name)
  local number, seen = self:type_number(name), self.core
  if number < seen.type_count then return seen.types[number] end
  return { hits = 0, misses = 0 } -- there was no memory for it
end

--- The name of a numbered type.
function Cache:type_name(number)
  return self.type_names[number]
end

--- A number for another session.
function Cache:new_session()
  self.sessions = self.sessions + 1
  return self.sessions
end

-- ---- the policy ---------------------------------------------------------------------

-- Every entry, the one that was used last at the end.
local function entries_by_use(seen)
  local list = {}
  for e = 1, seen.slots - 1 do
    if seen.entries[e].size_bytes > 0 then list[#list + 1] = e end
  end
  table.sort(list, function(a, b)
    local used_a, used_b = seen.entries[a].last_used_ms, seen.entries[b].last_used_ms
    return used_a < used_b or used_a == used_b and a < b
  end)
  return list
end

-- Gives the entries that there are to a policy; nil and a sentence when it fails.
function Cache:hand_over(make, path)
  library.authstate_cache_retire(self.core)
  local hooks, message = policy.make(make, path, self.core, { types = self.type_names })
  if not hooks then return nil, message end
  for _, e in ipairs(entries_by_use(self.core)) do
    local is_whole, raised = pcall(hooks.insert, e)
    if not is_whole then return nil, "insert: " .. tostring(raised) end
  end
  self.hooks, self.hit = hooks, hooks.hit
  return true
end

-- Without memory for any policy there is no cache: nothing stays.
local function new_refusal()
  local function do_nothing() end
  return { insert = do_nothing, hit = do_nothing, remove = do_nothing,
    resize = do_nothing, evict = do_nothing }
end

function Cache:give_up()
  self.hooks = new_refusal()
  self.hit = self.hooks.hit
  self.is_given_up = true
  self:forget_decoded()
  for e = 1, self.core.slots - 1 do library.authstate_cache_delete(self.core, e) end
end

-- The policy did something wrong: says so, and goes on under lru.
function Cache:fail(what)
  self.log("error", ('policy "%s": %s; the cache goes on under %s'):format(
    self.policy_name, what, DEFAULT_POLICY), { policy = self.policy_name })
  local make, path = policy.load(DEFAULT_POLICY)
  self.policy_name = DEFAULT_POLICY
  if not make or not self:hand_over(make, path) then self:give_up() end
end

--- Puts another policy in charge of the entries that there are.
-- @return true; or nil and a sentence: the old one stays when there is no such policy;
--   one that fails is replaced by lru
function Cache:set_policy(name)
  local make, message = policy.load(name)
  if not make then return nil, message end
  self.policy_name, self.is_given_up = name, nil
  local is_made, failed = self:hand_over(make, message)
  if is_made then return true end
  self:fail(failed)
  return nil, failed
end

-- ---- leaving ------------------------------------------------------------------------

local function is_resident(seen, e)
  return type(e) == "number" and e >= 1 and e < seen.slots and floor(e) == e
    and seen.entries[e].size_bytes > 0
end

--- The id of an entry.
function Cache:id(e)
  return core_ffi.string(library.authstate_cache_id(self.core, e),
    library.authstate_cache_id_length(self.core, e))
end

-- What was brought beside another record was used, or leaves unused.
function Cache:note_fate(e, entry, is_useful)
  entry.preloaded = false
  if is_useful then self.useful = self.useful + 1 else self.wasted = self.wasted + 1 end
  self.on_fate(self.type_names[entry.type], self:id(e), is_useful, entry.session)
end

-- Takes an entry out, the policy's structures first.
function Cache:discard(e, why)
  local seen = self.core
  local entry = seen.entries[e]
  if entry.preloaded then self:note_fate(e, entry, false) end
  local is_whole, raised = pcall(self.hooks.remove, e, why)
  local is_kept = library.authstate_cache_places(seen, e) > 0
  self.decoded[e], self.texts[e] = nil, nil
  library.authstate_cache_delete(seen, e)
  if not is_whole then
    self:fail("remove: " .. tostring(raised))
  elseif is_kept then
    self:fail(("remove: entry %d is still in a queue or heap"):format(e))
  end
end

-- Asks the policy for a victim. An entry, nil when there is none any more.
function Cache:choose_victim()
  while self.core.count > 0 do
    local is_whole, e = pcall(self.hooks.evict)
    if is_whole and is_resident(self.core, e) then return e end
    self:fail(is_whole and ("evict: returned %s, which is no entry"):format(tostring(e))
      or "evict: " .. tostring(e))
  end
end

-- Brings the cache below its bound again. Whether `newcomer` is still there.
function Cache:shrink(newcomer)
  local seen, stays = self.core, true
  while library.authstate_cache_used_bytes(seen) > seen.capacity_bytes do
    local e = self:choose_victim()
    if not e then
      library.authstate_cache_release(seen)
      return false
    end
    if e == newcomer then
      stays, self.refused = false, self.refused + 1
    else
      self.evictions = self.evictions + 1
    end
    self:discard(e, "evicted")
  end
  return stays
end

-- Some of those that have expired leave.
function Cache:discard_expired(now_ms)
  for _ = 1, EXPIRED_AT_ONCE do
    if self.core.next_expiry_ms > now_ms then return end
    self:discard(library.authstate_cache_expired(self.core, now_ms), "expired")
  end
end

--- Removes the entry of a record.
-- @param why "deleted" or "invalidated"
-- @return whether there was one
function Cache:remove(session, type, id, why)
  local e = library.authstate_cache_peek(self.core, session, type, id, #id)
  if e == 0 then return false end
  self.invalidations = self.invalidations + 1
  self:discard(e, why)
  return true
end

--- Keeps the entry of a record, in its place, but does not serve it until it is admitted
-- again: the record is being written.
-- @return whether there is one
function Cache:withhold(session, type, id)
  local e = library.authstate_cache_peek(self.core, session, type, id, #id)
  if e == 0 then return false end
  library.authstate_cache_withhold(self.core, e)
  return true
end

--- Removes all entries of a session, or of one type of it.
-- @param why "deleted", "invalidated" or "flushed"
-- @param type number; nil: all
-- @return how many
function Cache:drop(session, why, type)
  local count = 0
  for number = type or 1, type or #self.type_names do
    local e = library.authstate_cache_first(self.core, session, number)
    while e ~= 0 do
      self:discard(e, why)
      count = count + 1
      e = library.authstate_cache_first(self.core, session, number)
    end
  end
  if why ~= "flushed" then self.invalidations = self.invalidations + count end
  return count
end

--- Counts a flush of what its user knows; its entries are removed by `drop`.
-- @param why a word that the statistics count it under
function Cache:note_flush(why)
  self.flushes[why] = (self.flushes[why] or 0) + 1
end

--- Whether there is an entry of a session.
function Cache:has_session(session)
  for number = 1, #self.type_names do
    if library.authstate_cache_first(self.core, session, number) ~= 0 then return true end
  end
  return false
end

--- Removes all entries.
-- @param why a word that the statistics count it under
-- @return how many
function Cache:flush(why)
  local seen, count = self.core, 0
  self:note_flush(why)
  for e = 1, seen.slots - 1 do
    if seen.entries[e].size_bytes > 0 then
      self:discard(e, "flushed")
      count = count + 1
    end
  end
  return count
end

-- ---- reading and admitting ----------------------------------------------------------

--- To be called with the entry of a record that is read. (No method: that would have to
-- be found first, where it counts.)
-- @param self the cache
function cache.use(self, e)
  local entry = self.core.entries[e]
  if entry.preloaded then self:note_fate(e, entry, true) end
  local is_whole, raised = pcall(self.hit, e)
  if not is_whole then self:fail("hit: " .. tostring(raised)) end
end

--- Looks for a record that is to be read. What it finds counts as used.
-- @return its entry, nil when there is none that may be served
function Cache:find(session, type, id, now_ms)
  local e = library.authstate_cache_find(self.core, session, type, id, #id, now_ms)
  if e == 0 then return nil end
  cache.use(self, e)
  return e
end

--- The entry of a record, which leaves no trace. nil when there is none.
function Cache:peek(session, type, id)
  local e = library.authstate_cache_peek(self.core, session, type, id, #id)
  return e ~= 0 and e or nil
end

--- Whether a record would be found, without a trace.
function Cache:has(session, type, id, now_ms)
  return library.authstate_cache_has(self.core, session, type, id, #id, now_ms)
end

--- The struct of an entry, as policies see it.
function Cache:entry(e)
  return self.core.entries[e]
end

--- The stored bytes of an entry; nil when the record is absent.
function Cache:bytes(e)
  if self.core.entries[e].absent then return nil end
  return core_ffi.string(library.authstate_cache_value(self.core, e),
    library.authstate_cache_value_length(self.core, e))
end

--- The Lua value of an entry, made anew, and the reader's own.
-- @param max_value_bytes bound of what is decoded
-- @return value, nil when the record is absent; or nil, message, code
function Cache:value(e, max_value_bytes)
  return self.object:value(e, max_value_bytes)
end

--- The same as JSON text.
function Cache:json(e, max_value_bytes)
  return self.object:json(e, max_value_bytes)
end

--- Keeps no value of any entry for readers any more.
function Cache:forget_decoded()
  self.decoded, self.texts, self.decoded_bytes = {}, {}, 0
end

-- Whether there is room for something decoded; if not, all that was kept goes.
local function make_room(self, bytes)
  local total = self.decoded_bytes + bytes + DECODED_PLACE_BYTES
  if total > max(DECODED_BYTES, DECODED_SHARE * self.core.used_bytes) then
    self:forget_decoded()
    return false
  end
  self.decoded_bytes = total
  return true
end

--- Keeps the value of an entry for readers that may share it, until it is another one:
-- `self.decoded[e]`. What is kept is bounded: all of it goes when it becomes too much.
-- @param bytes that it takes, about
function Cache:keep_decoded(e, value, bytes)
  if make_room(self, bytes) then self.decoded[e] = value end
end

--- The same of its JSON text: `self.texts[e]`.
function Cache:keep_text(e, text)
  if make_room(self, #text) then self.texts[e] = text end
end

-- When an entry is to expire.
function Cache:put_expiry(e, type, sent_ms)
  local ttl_ms = self.ttl_ms[type] or huge
  library.authstate_cache_set_expiry(self.core, e, sent_ms + ttl_ms)
end

-- A new entry, of which the policy knows nothing yet; nil when there is no memory for it.
function Cache:add(session, type, id, bytes, sent_ms)
  local e = library.authstate_cache_insert(self.core, session, type, id, #id,
    bytes or "", bytes and #bytes or 0)
  if e <= 0 then return nil end
  self:put_expiry(e, type, sent_ms)
  return e
end

-- Gives an entry another value; it keeps its place. Without memory for that it goes: the
-- old value must not stay.
function Cache:replace(e, type, bytes, sent_ms)
  self.decoded[e], self.texts[e] = nil, nil
  local status = library.authstate_cache_replace(self.core, e, bytes or "",
    bytes and #bytes or 0)
  if status == 0 then
    self:put_expiry(e, type, sent_ms)
    return e
  end
  self:discard(e, "invalidated")
end

-- The entry that a record has now, with its new value, nil when there is none; and
-- whether it is a new one.
function Cache:put(session, type, id, bytes, now_ms, sent_ms)
  local seen = self.core
  local e = library.authstate_cache_peek(seen, session, type, id, #id)
  if e ~= 0 and library.authstate_cache_has_expired(seen, e, now_ms) then
    self:discard(e, "expired")
    e = 0
  end
  if e ~= 0 then return self:replace(e, type, bytes, sent_ms), false end
  return self:add(session, type, id, bytes, sent_ms), true
end

--- Admits a record, or replaces what is there of it; the policy may refuse it.
-- @param bytes as they are stored; nil: the record is absent
-- @param cost of reading it again, in any unit that is the same for all; of a write of
--   what is there already it counts for nothing
-- @param sent_ms when the read or write was sent, from which its time to live counts
-- @param source "read" (default), "write", or "preload": beside another one
-- @return its entry; nil when it was refused
function Cache:admit(session, type, id, bytes, cost, sent_ms, source)
  if self.is_given_up then return nil end
  local seen, now_ms = self.core, self.now_ms()
  seen.now_ms = now_ms
  self:discard_expired(now_ms)
  local e, is_new = self:put(session, type, id, bytes, now_ms, sent_ms)
  if not e then
    self.refused = self.refused + 1
    return nil
  end
  local entry = seen.entries[e]
  entry.absent = bytes == nil
  if is_new or source ~= "write" then entry.cost = cost end
  if is_new then
    entry.preloaded = source == "preload"
    entry.hits = (source == nil or source == "read") and 1 or 0
    local is_whole, raised = pcall(self.hooks.insert, e)
    if not is_whole then self:fail("insert: " .. tostring(raised)) end
  end
  return self:shrink(e) and e or nil
end

--- Gives the cache another bound.
function Cache:resize(max_bytes)
  self.core.capacity_bytes = max_bytes
  local is_whole, raised = pcall(self.hooks.resize, max_bytes)
  if not is_whole then self:fail("resize: " .. tostring(raised)) end
  self:shrink()
end

-- ---- what became of it --------------------------------------------------------------

--- Counters, see doc/interfaces.md: store:stats().cache.
function Cache:stats()
  local seen, hits, misses, types = self.core, 0, 0, {}
  for number, name in ipairs(self.type_names) do
    if number < seen.type_count then
      local counted = seen.types[number]
      hits, misses = hits + counted.hits, misses + counted.misses
      types[name] = {
        hits = counted.hits, misses = counted.misses, bytes = counted.bytes,
      }
    end
  end
  local flushes = {}
  for why, count in pairs(self.flushes) do flushes[why] = count end
  return {
    entries = seen.count, bytes = library.authstate_cache_used_bytes(seen),
    capacity_bytes = seen.capacity_bytes, hits = hits, misses = misses,
    hit_ratio = hits + misses > 0 and hits / (hits + misses) or 0,
    evictions = self.evictions, refused = self.refused,
    invalidations = self.invalidations, flushes = flushes, types = types,
    preload = { useful = self.useful, wasted = self.wasted },
  }
end

--- Frees all of it, at once. Nothing may be asked of it then.
function Cache:close()
  self.object:close()
end

return cache
