-- SPDX-License-Identifier: MIT
--- What a policy orders entries with: the methods of the structs of core/cache/visible.h.
-- An entry is a number, `e`; 0 stands for none. All are calls that LuaJIT compiles.
--
--     cache:entry(e)    its struct, valid during the call
--     cache:queue()  q:push(e) q:touch(e) q:remove(e) q:has(e) q:newer(e) q:older(e)
--                    q.oldest q.newest q.bytes q.count
--     cache:ghost()  g:add(e) g:has(e) g:remove(e)  g.count
--     cache:sketch(sample, apart)  s:add(e) s:count(e); every `sample` uses for each
--                    entry of the cache all counts halve; a use that follows one of the
--                    same entry within `apart` uses for each entry does not count
--     cache:heap()   h:put(e, rank) h:remove(e) h:has(e) h:first() -> e, rank  h.count
--
-- doc/policies.md tells more.

local core_ffi = require "authstate.core_ffi"

local library = core_ffi.library

local SAMPLE = 30

-- Raises; called by a policy, which is replaced then.
local function check_made(structure)
  if structure == nil then
    error("no memory for another structure, or there are 16 already", 3)
  end
  return structure
end

local Cache = {}

function Cache:entry(e)
  local entry = e >= 0 and e < self.slots and self.entries[e]
  if not entry or entry.size_bytes == 0 then error("there is no entry " .. e, 2) end
  return entry
end

function Cache:queue()
  return check_made(library.authstate_cache_new_queue(self))
end

function Cache:ghost()
  return check_made(library.authstate_cache_new_ghost(self))
end

function Cache:sketch(sample, apart)
  local sketch = check_made(library.authstate_cache_new_sketch(self, sample or SAMPLE))
  sketch.apart = apart or 0
  return sketch
end

function Cache:heap()
  return check_made(library.authstate_cache_new_heap(self))
end

local Queue = {}

-- An entry that is in another queue needs memory.
function Queue:push(e)
  if library.authstate_cache_queue_push(self, e) ~= 0 then
    error("no memory for an entry in several queues", 2)
  end
end

function Queue:touch(e) library.authstate_cache_queue_touch(self, e) end
function Queue:remove(e) library.authstate_cache_queue_remove(self, e) end
function Queue:has(e) return library.authstate_cache_queue_has(self, e) end
function Queue:newer(e) return library.authstate_cache_queue_newer(self, e) end
function Queue:older(e) return library.authstate_cache_queue_older(self, e) end

local Ghost = {}

function Ghost:add(e) library.authstate_cache_ghost_add(self, e) end
function Ghost:has(e) return library.authstate_cache_ghost_has(self, e) end
function Ghost:remove(e) library.authstate_cache_ghost_remove(self, e) end

local Sketch = {}

function Sketch:add(e) library.authstate_cache_sketch_add(self, e) end
function Sketch:count(e) return library.authstate_cache_sketch_count(self, e) end

local Heap = {}

function Heap:put(e, rank) library.authstate_cache_heap_put(self, e, rank) end
function Heap:remove(e) library.authstate_cache_heap_remove(self, e) end
function Heap:has(e) return library.authstate_cache_heap_has(self, e) end

function Heap:first()
  if self.count == 0 then return 0, 0 end
  local first = self.nodes[1]
  return first.entry, first.rank
end

-- The times of an entry: 48 bits of milliseconds, so its struct has them in two parts.
local TIMES = {}

function TIMES.last_used_ms(entry)
  return entry.last_used_high * 2 ^ 32 + entry.last_used_low
end

function TIMES.inserted_ms(entry)
  return entry.inserted_high * 2 ^ 32 + entry.inserted_low
end

local function read_field(entry, name)
  local read = TIMES[name]
  if not read then error(("an entry has no field %s"):format(tostring(name)), 2) end
  return read(entry)
end

core_ffi.give_methods("authstate_cache", Cache)
core_ffi.give_methods("authstate_cache_entry", read_field)
core_ffi.give_methods("authstate_cache_queue", Queue)
core_ffi.give_methods("authstate_cache_ghost", Ghost)
core_ffi.give_methods("authstate_cache_sketch", Sketch)
core_ffi.give_methods("authstate_cache_heap", Heap)

return { Cache = Cache, Queue = Queue, Ghost = Ghost, Sketch = Sketch, Heap = Heap }
