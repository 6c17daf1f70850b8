-- SPDX-License-Identifier: MIT

-- Hits of the near cache: reads the keys of a session's trace, all of which are cached,
-- in the order in which the library read them, and prints how many nanoseconds one took.
--
--     luajit bench/peers/cache_hits.lua POLICY TRACE HITS
--
-- POLICY is a policy's name, or `inline`: LRU written into the cache's own loop, without
-- a script, as the measure of what scripts cost. The time is CPU time.

local cache = require "authstate.cache"
local core_ffi = require "authstate.core_ffi"
local replay = require "authstate.replay"

local library = core_ffi.library

local policy, path, wanted = arg[1], arg[2], tonumber(arg[3])
local calls = assert(replay.read(path))
local _, keys = replay.events(calls)
local near = assert(cache.new {
  max_bytes = keys, unit_bytes = 1, policy = policy == "inline" and "lru" or policy,
  seed = 1,
})
local queue = near.core:queue()
local types, ids = {}, {}

local function add_read(number, id)
  types[#types + 1], ids[#ids + 1] = number, id
  if near:find(1, number, id, 0) then return end
  queue:push(assert(near:admit(1, number, id, "value", 1, 0)))
end

for _, call in ipairs(calls) do
  if call.kind == "get" then
    for _, id in ipairs(call.ids) do add_read(near:type_number(call.type), id) end
  end
end

-- As Cache:find, with what lru does in place of the call of a hook.
local function find_inline(self, session, type, id, now_ms)
  local seen = self.core
  local e = library.authstate_cache_find(seen, session, type, id, #id, now_ms)
  if e == 0 then return nil end
  local entry = seen.entries[e]
  if entry.preloaded then self:note_fate(e, entry, true) end
  seen.now_ms = now_ms
  library.authstate_cache_queue_touch(queue, e)
  return e
end

if policy == "inline" then near.find = find_inline end

local function hit(count)
  local reads, at, found = #ids, 0, 0
  for i = 1, count do
    at = at < reads and at + 1 or 1
    if near:find(1, types[at], ids[at], i) then found = found + 1 end
  end
  return found
end

hit(2 * #ids)
collectgarbage()
local started_s = os.clock()
local found = hit(wanted)
local spent_s = os.clock() - started_s
assert(found == wanted, "a read was no hit")
print(("%.3f"):format(spent_s / wanted * 1e9))
