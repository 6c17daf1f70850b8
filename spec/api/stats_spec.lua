-- SPDX-License-Identifier: MIT

-- store:stats() beside what was really done: by the caller's own count, by the server's,
-- and by what on_operation was told.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"

local TASKS, CALLS = 40, 25
local NO_HURRY = { timeout_ms = 60000 }

local server, store

before_each(function() server = redis_server.start {} end)

after_each(function()
  if store then store:close() end
  store = nil
  server:stop()
end)

local function open(options)
  options.redis = server.url
  function options.log() end
  store = assert(authstate.open(options))
  return store
end

local function in_tasks(count, fn)
  authstate.run(function()
    local tasks = {}
    for i = 1, count do tasks[i] = authstate.spawn(fn, i) end
    for i = 1, count do assert(tasks[i]:wait()) end
  end)
end

-- dice(n): from 1 to n.
local function new_dice(seed)
  local generator = random.new(seed)
  return function(most) return generator:integer(1, most) end
end

-- Counts by name, and by code of a failure, of calls that are made through `call`.
local function new_tally()
  local tally = { operations = {}, errors = {} }
  function tally.call(name, value, _, code)
    local counted = tally.operations[name] or { count = 0, errors = 0 }
    tally.operations[name] = counted
    counted.count = counted.count + 1
    if value ~= nil or not code then return end
    counted.errors = counted.errors + 1
    tally.errors[code] = (tally.errors[code] or 0) + 1
  end
  return tally
end

-- A call of each kind, some of which fail.
local function new_calls(dice)
  local sessions = {}
  for i = 1, 8 do sessions[i] = store:session("s" .. i) end
  local function session() return sessions[dice(8)] end
  local function id() return tostring(dice(30)) end
  return {
    function() return "get", session().keys:get("t", { id() }) end,
    function() return "get", session().keys:get("t", { id(), id() }, NO_HURRY) end,
    function() return "get", session().keys:get_json("broken", { "x" }) end,
    function() return "set", session().keys:set { t = { [id()] = { n = dice(9) } } } end,
    function() return "set", session().keys:set_json { t = { [id()] = "[1]" } } end,
    function()
      return "set", session().keys:set({ t = { a = 1 } }, { expect = 2 ^ 40 })
    end,
    function() return "count", session().keys:count "t" end,
    function() return "list", session().keys:list "t" end,
    function() return "types", session().keys:types() end,
    function() return "load", session():load() end,
    function() return "load_creds", session():load_creds() end,
    function() return "save_creds", session():save_creds { n = dice(9) } end,
    function() return "commit", session():commit { keys = { t = { [id()] = 1 } } } end,
    function() return "ping", store:ping() end,
    function() return "session_info", store:session_info("s" .. dice(8)) end,
    function() return "sessions", store:sessions() end,
  }
end

local function write_broken()
  for i = 1, 8 do
    assert(store:session("s" .. i).keys:set { broken = { x = 1 } })
    server:command("HSET", ("authstate:{s%d}:k:broken"):format(i), "x", "\255\255")
  end
end

describe("store:stats, under load,", function()
  for _, has_cache in ipairs { false, true } do
    it("counts calls and failures as their callers do, cache " .. tostring(has_cache),
      function()
        open { enable_metrics = true, enable_cache = has_cache }
        local dice, tally = new_dice(4711), new_tally()
        write_broken()
        local before = store:stats().operations.set.count
        local calls = new_calls(dice)
        local started_ms = store.now_ms()
        in_tasks(TASKS, function()
          for _ = 1, CALLS do tally.call(calls[dice(#calls)]()) end
        end)
        local most_ms = store.now_ms() - started_ms
        local stats = store:stats()
        assert.equal(8, before)
        tally.operations.set.count = tally.operations.set.count + before
        assert.is_true(tally.errors.corrupt > 0 and tally.errors.conflict > 0)
        assert.same(tally.errors, stats.errors)
        local counted = {}
        for name, each in pairs(stats.operations) do
          counted[name] = { count = each.count, errors = each.errors }
          assert.is_true(each.p50_ms <= each.p99_ms, name)
          assert.is_true(each.p99_ms <= most_ms * 33 / 32 + 0.001, name)
        end
        assert.same(tally.operations, counted)
      end)
  end

  it("counts what waits, and what was refused for it", function()
    open { enable_metrics = true, queue_max_operations = 20, enable_cache = false }
    assert(store:ping())
    local refused, deepest = 0, 0
    in_tasks(50, function()
      local is_there, _, code = store:ping()
      if not is_there then
        assert.equal("overloaded", code)
        refused = refused + 1
      end
      deepest = math.max(deepest, store:stats().queued.operations)
    end)
    assert.equal(30, refused)
    local stats = store:stats()
    assert.same({ overloaded = 30 }, stats.errors)
    assert.equal(51, stats.operations.ping.count)
    assert.is_true(deepest > 0 and deepest <= 20)
    assert.same({ operations = 0, bytes = 0 }, stats.queued)
  end)

  it("counts the bytes on the wire as the server does", function()
    open { enable_cache = false }
    local keys = store:session("s").keys
    assert(keys:set { t = { a = { text = ("x"):rep(5000) } } })
    local function server_bytes()
      local info = server:command("INFO", "stats")
      return tonumber(info:match "total_net_input_bytes:(%d+)"),
        tonumber(info:match "total_net_output_bytes:(%d+)"), #info
    end
    -- What asking takes by itself: the request, and the reply, counted the next time.
    local in_1, out_1, length_1 = server_bytes()
    local in_2, out_2, length_2 = server_bytes()
    local asked, around = in_2 - in_1, out_2 - out_1 - length_1
    local wire = store:stats().wire
    in_tasks(50, function(i)
      assert(keys:set { t = { ["b" .. i % 7] = { n = i } } })
      for _ = 1, 5 do assert(keys:get("t", { "a", "b" .. i % 5 })) end
    end)
    local now = store:stats().wire
    local in_3, out_3 = server_bytes()
    assert.equal(in_3 - in_2 - asked, now.bytes_out - wire.bytes_out)
    assert.equal(out_3 - out_2 - length_2 - around, now.bytes_in - wire.bytes_in)
  end)

  it("counts connections, and those that were made again", function()
    open { pool_size = 3, enable_cache = false }
    in_tasks(60, function(i)
      assert(store:session("s" .. i).keys:set({ t = { a = 1 } }, NO_HURRY))
    end)
    local pool = store:stats().pool
    assert.same({ 3, 0 }, { pool.size, pool.reconnects })
    assert.is_true(pool.busy >= 1 and pool.busy <= 3)
    for _ = 1, 4 do
      server:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
      in_tasks(60, function(i)
        assert(store:session("s" .. i).keys:get("t", { "a" }, NO_HURRY))
      end)
    end
    local again = store:stats().pool
    assert.is_true(again.reconnects >= 4 * pool.busy and again.reconnects <= 4 * 3,
      again.reconnects)
    assert.equal(pool.busy, again.busy)
  end)

  it("knows how many operations a batch had, and why each left", function()
    open { batch_size = 16, enable_cache = false }
    local keys = store:session("s").keys
    assert(keys:set { t = { a = 1 } })
    assert(keys:get("t", { "a" }))
    local before = store:stats().batch
    in_tasks(200, function(i) assert(keys:get("t", { tostring(i), "a" })) end)
    local batch = store:stats().batch
    local flushed = batch.flushed
    assert.equal(batch.count, flushed.size + flushed.age + flushed.idle)
    assert.is_true(flushed.size - before.flushed.size >= 200 / 16 - 1)
    assert.near(200, batch.mean * batch.count - before.mean * before.count, 0.001)
  end)
end)

describe("store:stats().cache, under load,", function()
  it("counts each record that was asked for as found or as missing", function()
    local told = { hits = 0, misses = 0, types = {} }
    open {
      enable_cache = true, cache_max_bytes = 2 * 1024 * 1024 + 11,
      on_operation = function(operation)
        if operation.name ~= "get" or not operation.cache then return end
        local name = operation.cache == "hit" and "hits" or "misses"
        local kind = told.types[operation.type] or { hits = 0, misses = 0 }
        told.types[operation.type] = kind
        told[name] = told[name] + operation.count
        kind[name] = kind[name] + operation.count
      end,
    }
    local dice, asked = new_dice(7), 0
    local KINDS = { "t", "u" }
    in_tasks(TASKS, function(i)
      local keys = store:session("s" .. i % 20).keys
      for _ = 1, CALLS do
        local kind, ids = KINDS[dice(2)], {}
        for number = 1, dice(3) do ids[number] = tostring(10 * number + dice(6)) end
        if dice(5) == 1 then
          assert(keys:set({ [kind] = { [ids[1]] = { n = dice(9) } } }, NO_HURRY))
        elseif dice(20) == 1 then
          server:command("HSET", ("authstate:{s%d}:k:%s"):format(i % 20, kind), "31", "1")
        elseif dice(10) == 1 then
          assert(keys:get(kind, ids, { consistent = true })) -- asks no cache
        else
          asked = asked + #ids
          assert(keys:get(kind, ids))
          if dice(3) == 1 then authstate.sleep(1) end
        end
      end
    end)
    local cache = store:stats().cache
    assert.equal(asked, cache.hits + cache.misses)
    assert.same({ told.hits, told.misses }, { cache.hits, cache.misses })
    assert.is_true(cache.hits > 100 and cache.misses > 100)
    assert.equal(cache.hits / asked, cache.hit_ratio)
    local bytes = 0
    for kind, counted in pairs(told.types) do
      assert.same(counted,
        { hits = cache.types[kind].hits, misses = cache.types[kind].misses })
      bytes = bytes + cache.types[kind].bytes
    end
    assert.is_true(bytes > 0 and bytes <= cache.bytes)
    assert.is_true(cache.bytes <= cache.capacity_bytes)
    assert.is_true(cache.invalidations > 0)
    assert.is_true(store:stats().memory_bytes > cache.bytes)
  end)

  it("counts a session that was never read as missing", function()
    open { enable_cache = true, cache_max_bytes = 2 * 1024 * 1024 + 13 }
    for i = 1, 10 do assert(store:session("s" .. i).keys:get("t", { "a" })) end
    local cache = store:stats().cache
    assert.same({ 0, 10, 0 }, { cache.hits, cache.misses, cache.hit_ratio })
  end)

  it("counts nothing as found of a read that lacked one of its records", function()
    open { enable_cache = true, cache_max_bytes = 2 * 1024 * 1024 + 17 }
    local keys = store:session("s").keys
    assert(keys:set { t = { a = 1, b = 2 } })
    clock.wait_for(function()
      local before = store:stats().cache.hits
      assert(keys:get("t", { "a", "b" }))
      return store:stats().cache.hits == before + 2
    end)
    local before = store:stats().cache
    assert(keys:get("t", { "a", "c", "b" }))
    local now = store:stats().cache
    assert.same({ 0, 3 }, { now.hits - before.hits, now.misses - before.misses })
  end)
end)
