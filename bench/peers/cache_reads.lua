-- SPDX-License-Identifier: MIT

-- Reads through the near cache, all of them hits, beside the same reads without it and
-- beside lua-resty-lrucache, in one process and on one heap: collecting what the reads
-- leave behind is a good part of what they take, and depends on the rest of the heap.
-- Prints nanoseconds a read, or bytes.
--
--     luajit bench/peers/cache_reads.lua immutable READS
--     luajit bench/peers/cache_reads.lua decoded READS TRACE SESSION
--     luajit bench/peers/cache_reads.lua bytes SESSION
--
--     immutable  keys:get of one short text, which is immutable and kept decoded; the
--                same with lrucache (pureffi), its key made of session, type and id, and
--                a result table as keys:get gives it; the same with keys that are there
--     decoded    keys:get of single records, in the order of the trace; the same reads
--                from Redis, of which a tenth is made
--     bytes      what a cache of 100 sessions holds: bytes in it, bytes stored, entries

local authstate = require "authstate"
local clock = require "authstate.clock"
local redis_server = require "spec.support.redis_server"
local replay = require "authstate.replay"
local session_file = require "authstate.session_file"
local statistics = require "bench.harness.statistics"

local method, wanted, trace, path = arg[1], tonumber(arg[2]), arg[3], arg[4]
local KIND, COUNT, SESSION = "lid-mapping", 64, "5511999999999"
local HELD_SESSIONS, ONE, TURNS, AROUND = 100, {}, 5, { cache = false }

-- ---- lrucache -----------------------------------------------------------------------

local function lrucache_reader(is_ready)
  package.path = package.path .. ";/usr/share/lua/5.1/?.lua"
  ngx = { now = function() return 1 end } -- luacheck: ignore
  local cache = require "resty.lrucache.pureffi".new(1000)
  ngx = nil -- luacheck: ignore
  local ids, ready = {}, {}
  for i = 1, COUNT do
    ids[i] = tostring(5511000000000 + i * 7919)
    ready[i] = SESSION .. ":" .. KIND .. ":" .. ids[i]
    cache:set(ready[i], "text " .. i)
  end
  return function(count)
    local found = 0
    for i = 1, count do
      local at = i % COUNT + 1
      local id = ids[at]
      local key = is_ready and ready[at] or SESSION .. ":" .. KIND .. ":" .. id
      local result = {}
      result[id] = cache:get(key)
      if result[id] then found = found + 1 end
    end
    return found
  end
end

-- ---- authstate ----------------------------------------------------------------------

-- Reads by keys:get, each { kind, { id } }, in turn.
local function reader(session, reads, options)
  local keys = session.keys
  return function(count)
    local found, at = 0, 0
    for _ = 1, count do
      at = at < #reads and at + 1 or 1
      local read = reads[at]
      if keys:get(read[1], read[2], options) then found = found + 1 end
    end
    return found
  end
end

-- Until every read is a hit.
local function warm_up(store, session, reads)
  local read_all = reader(session, reads)
  repeat
    local before = store:stats().cache.misses
    read_all(#reads)
    authstate.sleep(1)
  until store:stats().cache.misses == before and store:stats().cache.hits > 0
end

local function texts()
  local changes, reads = {}, {}
  for i = 1, COUNT do
    local id = tostring(5511000000000 + i * 7919)
    changes[id], reads[i] = "text " .. i, { KIND, { id } }
  end
  return { [KIND] = changes }, reads
end

-- The single records that the trace reads and the session has.
local function trace_reads(loaded)
  local reads = {}
  for _, call in ipairs(assert(replay.read(trace))) do
    for _, id in ipairs(call.kind == "get" and call.ids or {}) do
      if loaded.keys[call.type] and loaded.keys[call.type][id] then
        reads[#reads + 1] = { call.type, { id } }
      end
    end
  end
  return reads
end

local function hold_sessions(store, loaded)
  local stored_bytes = 0
  for number = 1, HELD_SESSIONS do
    local session = store:session("held " .. number)
    assert(session.keys:set_json(loaded.keys))
    for kind, records in pairs(loaded.keys) do
      local ids = {}
      for id in pairs(records) do ids[#ids + 1] = id end
      assert(session.keys:get(kind, ids))
      for _, stored in pairs(assert(session.keys:get_raw(kind, ids))) do
        stored_bytes = stored_bytes + #stored
      end
    end
  end
  local stats = store:stats().cache
  print(("%.0f %.0f %.0f"):format(stats.bytes, stored_bytes, stats.entries))
end

-- ---- measuring ----------------------------------------------------------------------

local function measure_once(read, count)
  collectgarbage()
  local started_ms = clock.now_ms()
  local found = read(count)
  local spent_ms = clock.now_ms() - started_ms
  assert(found == count, "a read found nothing")
  return spent_ms / count * 1e6
end

-- Prints the median of each reader's turns, which alternate. Each is { read, count }.
local function measure(readers)
  local times, line = {}, {}
  for i, each in ipairs(readers) do
    times[i] = {}
    assert(each[1](2000) == 2000)
  end
  for _ = 1, TURNS do
    for i, each in ipairs(readers) do
      table.insert(times[i], measure_once(each[1], math.ceil(each[2] / TURNS)))
    end
  end
  for i, list in ipairs(times) do
    line[i] = ("%.3f"):format(statistics.quartiles(list).median)
  end
  print(table.concat(line, " "))
end

local function hold_and_count(store)
  local session = store:session(SESSION)
  while not store.near.serves do
    session.keys:get(KIND, ONE)
    session.keys:get(KIND, { "1" })
    authstate.sleep(1)
  end
  hold_sessions(store, assert(session_file.read(arg[2])))
end

local function measure_immutable(store)
  local session = store:session(SESSION)
  local changes, reads = texts()
  assert(session.keys:set(changes))
  warm_up(store, session, reads)
  measure { { reader(session, reads), wanted }, { lrucache_reader(false), wanted },
    { lrucache_reader(true), wanted } }
end

local function measure_decoded(store)
  local session, loaded = store:session(SESSION), assert(session_file.read(path))
  local reads = trace_reads(loaded)
  assert(session.keys:set_json(loaded.keys))
  warm_up(store, session, reads)
  measure { { reader(session, reads), wanted },
    { reader(session, reads, AROUND), wanted / 10 } }
end

local METHODS = {
  bytes = hold_and_count, immutable = measure_immutable, decoded = measure_decoded,
}

local server = redis_server.start()
local store = assert(authstate.open {
  redis = server.url, enable_cache = true, cache_max_bytes = 256 * 1024 * 1024,
})
authstate.run(METHODS[method], store)
store:close()
server:stop()
