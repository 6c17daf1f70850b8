-- SPDX-License-Identifier: MIT

-- store:stats(), and what it and the server's counters say of batches and connections.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local outcome = require "spec.api.outcome"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"

local run, spawn, sleep = authstate.run, authstate.spawn, authstate.sleep

local LONG_MS = 60000

describe("store:stats", function()
  local server, store, session

  setup(function()
    server = redis_server.start { tcp = true }
  end)

  teardown(function()
    server:stop()
  end)

  local function open(options, url, socket)
    options = options or {}
    if options.enable_cache == nil then options.enable_cache = false end -- all are sent
    socket = socket or {}
    socket.command_timeout_ms = LONG_MS
    -- However slow the machine is, no batch leaves for its age.
    options.batch_window_ms = options.batch_window_ms or 1000
    options.redis = { url = url or server.url, socket = socket }
    store = assert(authstate.open(options))
    session = store:session "s"
    local records = {}
    for number = 1, 100 do records["n" .. number] = number end
    assert(session.keys:set { t = records })
    assert(session.keys:get("t", { "n1" })) -- the next one goes the quick way
    server:command("CONFIG", "RESETSTAT")
    return store
  end

  before_each(function()
    server:command("FLUSHALL")
  end)

  after_each(function()
    store:close()
  end)

  -- How often the server has carried out a command.
  local function calls(name)
    local stats = server:command("INFO", "commandstats")
    return tonumber(stats:match("cmdstat_" .. name .. ":calls=(%d+)") or 0)
  end

  local function connections()
    local _, count = server:command("CLIENT", "LIST"):gsub("\n", "")
    return count - 1 -- that of the spec
  end

  -- Runs a function beside MONITOR; the lines of what was carried out.
  local function monitored(fn)
    local monitor = server:connect()
    assert.equal("OK", monitor:command("MONITOR"))
    fn()
    server:command("ECHO", "the end")
    local lines = {}
    repeat
      lines[#lines + 1] = monitor:receive()
    until lines[#lines]:find("the end", 1, true)
    monitor:close()
    lines[#lines] = nil
    return lines
  end

  -- Reads one field in each of `count` tasks.
  local function read_in_tasks(count, field_of)
    run(function()
      for task = 1, count do
        spawn(function()
          local id = field_of(task)
          assert.same({ [id] = tonumber(id:match "%d+") }, session.keys:get("t", { id }))
        end)
      end
    end)
  end

  local function field_by_task(task) return "n" .. task end

  -- What changed in the counters of batches while a function ran.
  local function batches_of(fn)
    local before = store:stats().batch
    fn()
    local after = store:stats().batch
    return {
      count = after.count - before.count,
      operations = after.count * after.mean - before.count * before.mean,
      size = after.flushed.size - before.flushed.size,
      age = after.flushed.age - before.flushed.age,
      idle = after.flushed.idle - before.flushed.idle,
    }
  end

  it("has what its comment says, and nothing else, from the beginning", function()
    store = assert(authstate.open {
      redis = server.url, pool_size = 3, enable_cache = false,
    })
    local stats = store:stats()
    assert.is_true(stats.uptime_ms >= 0 and stats.uptime_ms < LONG_MS)
    assert.is_true(stats.memory_bytes > 0)
    stats.uptime_ms, stats.memory_bytes = nil, nil
    assert.same({
      operations = {}, errors = {},
      batch = { count = 0, mean = 0, flushed = { size = 0, age = 0, idle = 0 } },
      pool = { size = 3, busy = 0, wait_p99_ms = 0, reconnects = 0 },
      cache = {
        entries = 0, bytes = 0, capacity_bytes = 0, hits = 0, misses = 0, hit_ratio = 0,
        evictions = 0, refused = 0, invalidations = 0, flushes = {}, types = {},
        preload = { useful = 0, wasted = 0 },
      },
      codec = { bytes_in = 0, bytes_stored = 0, ratio = 0 },
      leases = { held = 0, lost = 0, fenced = 0 },
      wire = { bytes_out = 0, bytes_in = 0 },
      queued = { operations = 0, bytes = 0 },
    }, stats)
    assert(store:ping())
    stats = store:stats()
    assert.same({ size = 3, busy = 1, wait_p99_ms = 0, reconnects = 0 }, stats.pool)
    assert.same({ count = 1, mean = 1, flushed = { size = 0, age = 0, idle = 1 } },
      stats.batch)
    local uptime_ms = stats.uptime_ms
    core.sleep_ms(2)
    assert.is_true(store:stats().uptime_ms > uptime_ms)
    store:close()
    outcome.fails("closed", store:stats())
  end)

  -- What the near cache is told was left out.
  it("counts the bytes that went over the wire, on whatever connection", function()
    for _, is_cached in ipairs { false, true } do
      local between = proxy.start { server = server }
      open({ enable_cache = is_cached }, between.url)
      read_in_tasks(100, field_by_task)
      assert(session.keys:set_json { t = { a = ('"%s"'):format(("x"):rep(100000)) } })
      assert(session.keys:get("t", { "a" }))
      assert.is_true(clock.wait_for(function()
        store:step()
        local wire, seen = store:stats().wire, between:stats()
        return (not is_cached or seen.connections == 2) and
          seen.request_bytes == wire.bytes_out and seen.reply_bytes == wire.bytes_in
      end))
      between:stop()
      store:close()
    end
  end)

  it("counts a batch: reads of many tasks are one HMGET", function()
    open()
    local change = batches_of(function() read_in_tasks(100, field_by_task) end)
    assert.same({ count = 1, operations = 100, size = 0, age = 0, idle = 1 }, change)
    assert.equal(1, calls "hmget")
    assert.equal(1, calls "hget") -- the generation
  end)

  it("counts each of equal reads, which share one field", function()
    open()
    local change
    local lines = monitored(function()
      change = batches_of(function()
        read_in_tasks(100, function(task) return "n" .. task % 2 + 1 end)
      end)
    end)
    assert.same({ count = 1, operations = 100, size = 0, age = 0, idle = 1 }, change)
    assert.equal(2, #lines)
    assert.match('"HMGET" "authstate:{s}:k:t" "n2" "n1"$', lines[1])
  end)

  it("counts batches that were full", function()
    open { batch_size = 10 }
    local change = batches_of(function() read_in_tasks(95, field_by_task) end)
    assert.same({ count = 10, operations = 95, size = 9, age = 0, idle = 1 }, change)
    assert.equal(10, calls "hmget")
  end)

  it("counts batches whose first operation had waited long enough", function()
    open { batch_window_ms = 1 }
    local change = batches_of(function()
      run(function()
        spawn(function() assert(session.keys:get("t", { "n1" })) end)
        spawn(function()
          local until_ms = core.now_ms() + 3
          repeat until core.now_ms() > until_ms
          assert(session.keys:get("t", { "n2" }))
        end)
        spawn(function() assert(session.keys:get("t", { "n3" })) end)
      end)
    end)
    assert.same({ count = 2, operations = 3, size = 0, age = 1, idle = 1 }, change)
    assert.equal(2, calls "hmget")
  end)

  it("counts each operation alone without batching", function()
    open { enable_batching = false }
    local change = batches_of(function() read_in_tasks(100, field_by_task) end)
    assert.same({ count = 100, operations = 100, size = 100, age = 0, idle = 0 }, change)
    assert.equal(100, calls "hmget")
  end)

  it("counts the connections that are there, opened as they are needed", function()
    open { pool_size = 5 }
    for _ = 1, 10 do assert(session.keys:get("t", { "n1" })) end
    assert.equal(1, store:stats().pool.busy)
    assert.equal(1, connections())
    run(function()
      for number = 1, 50 do
        spawn(function() assert(store:session("o" .. number).keys:get("t", { "a" })) end)
      end
    end)
    assert.same({ size = 5, busy = 5, wait_p99_ms = 0, reconnects = 0 },
      store:stats().pool)
    assert.equal(5, connections())
    store:close()
    assert.is_true(clock.wait_for(function() return connections() == 0 end))
  end)

  it("counts connections that were made again", function()
    open { pool_size = 2 }
    assert.equal(0, store:stats().pool.reconnects)
    for round = 1, 3 do
      server:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
      assert(session.keys:get("t", { "n1" }))
      assert.equal(round, store:stats().pool.reconnects)
    end
    assert.is_true(clock.wait_for(function() return connections() == 1 end))
  end)

  it("is of sessions that each stay on one connection", function()
    open({ pool_size = 3 }, "redis://127.0.0.1:" .. server.port)
    local choose = random.new()
    local lines = monitored(function()
      run(function()
        for number = 1, 30 do
          spawn(function()
            local own = store:session("o" .. number)
            for step = 1, 10 do
              if choose:chance(0.3) then assert(own.keys:set { t = { a = step } }) end
              assert(own.keys:get("t", { "a" }))
              if choose:chance(0.3) then assert(sleep(choose:integer(0, 2))) end
            end
          end)
        end
      end)
    end)
    local of_session, all = {}, {}
    for _, line in ipairs(lines) do
      local peer = line:match "%[%d+ ([%d.:]+)%]"
      local id = line:match "authstate:{(o%d+)}"
      if peer and id then
        assert.equal(of_session[id] or peer, peer, id)
        of_session[id], all[peer] = peer, true
      end
    end
    local count = 0
    for _ in pairs(all) do count = count + 1 end
    assert.equal(3, count)
    assert.is_string(of_session.o30)
  end)

  it("counts connections that were replaced for their age; nobody notices", function()
    open({ pool_size = 2 }, nil, { max_age_ms = 5 })
    local versions = {}
    run(function()
      local is_over
      for number = 1, 20 do
        spawn(function()
          local own, step = store:session("o" .. number), 0
          repeat
            step = step + 1
            versions[number] = assert(own.keys:set { t = { a = step } })
            assert.equal(step, assert(own.keys:get("t", { "a" })).a)
          until is_over
          assert.equal(step, versions[number])
        end)
      end
      local until_ms = core.now_ms() + LONG_MS
      repeat
        assert(sleep(5))
        is_over = store:stats().pool.reconnects >= 10 or core.now_ms() > until_ms
      until is_over
    end)
    assert.is_true(store:stats().pool.reconnects >= 10)
    assert.is_true(clock.wait_for(function() return connections() <= 2 end))
  end)
end)
