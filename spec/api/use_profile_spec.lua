-- SPDX-License-Identifier: MIT

-- store:use_profile: other options for a store that works.

local authstate = require "authstate"
local live_options = require "authstate.live_options"
local option_rows = require "authstate.options"
local outcome = require "spec.api.outcome"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local server, store

setup(function() server = redis_server.start {} end)
teardown(function() server:stop() end)

before_each(function() server:command "FLUSHALL" end)
after_each(function()
  if store then store:close() end
  store = nil
end)

local function open(options)
  options.redis = options.redis or server.url
  store = assert(authstate.open(options))
  return store
end

local function profile(text)
  return temporary.file("return { options = { " .. text .. " } }", "p.lua")
end

describe("store:use_profile", function()
  it("tells which options have changed, and which wait for the next open", function()
    open { pool_size = 2 }
    local path = profile [[batch_size = 7, queue_max_operations = 11, pool_size = 3,
      serializer = "json", compression = "zstd", max_value_bytes = 4096, slow_ms = 9,
      redis = { socket = { command_timeout_ms = 77, connect_timeout_ms = 88 } }]]
    assert.same({
      applied = {
        "batch_size", "compression", "queue_max_operations",
        "redis.socket.command_timeout_ms", "slow_ms",
      },
      reopen = { "max_value_bytes", "redis.socket.connect_timeout_ms", "serializer" },
    }, store:use_profile(path))
    local now = store.options
    assert.same({ 7, "zstd", 11, 9, 77 }, { now.batch_size, now.compression,
      now.queue_max_operations, now.slow_ms, now.redis.socket.command_timeout_ms })
    -- What waits is as it was; what open was given stays above.
    assert.same({ "cbor", 2, 2000, 8 * 1024 * 1024 }, { now.serializer, now.pool_size,
      now.redis.socket.connect_timeout_ms, now.max_value_bytes })
    -- And the same again.
    assert.same({}, store:use_profile(path).applied)
    assert.equal(3, #store:use_profile(path).reopen)
  end)

  it("goes back to the defaults with default", function()
    open {}
    local before = {}
    for name, value in pairs(store.options) do before[name] = value end
    local changed = store:use_profile "low-latency"
    assert.is_true(#changed.applied > 3)
    local back = store:use_profile "default"
    assert.same(changed.applied, back.applied)
    assert.same({}, back.reopen)
    assert.same(before, store.options)
  end)

  for _, name in ipairs { "high-throughput", "low-latency", "high-compression" } do
    it("puts " .. name .. " into effect, but for cache and connections", function()
      open {}
      for _, waiting in ipairs(store:use_profile(name).reopen) do
        local is_of_socket = waiting:find "^redis%.socket%." ~= nil
        local is_of_cache = waiting == "enable_cache" or waiting == "cache_max_bytes"
        assert.is_true(is_of_socket or is_of_cache, waiting)
      end
    end)
  end

  it("knows of no live option that is none", function()
    local count, with_cache = 0, 0
    for name in pairs(option_rows.full_names()) do
      if live_options.is_live(name, false) then count = count + 1 end
      if live_options.is_live(name, true) then with_cache = with_cache + 1 end
    end
    assert.same({ 18, 24 }, { count, with_cache })
  end)

  it("makes the bounds true for what comes, and only for that", function()
    open {}
    local sessions = {}
    for i = 1, 50 do
      sessions[i] = store:session("s" .. i).keys
      assert(sessions[i]:set { t = { a = 0 } })
    end
    local path = profile "queue_max_operations = 10"
    local codes = {}
    local function set(i)
      codes[i] = select(3, sessions[i]:set { t = { a = 1 } })
    end
    authstate.run(function()
      for i = 1, 30 do authstate.spawn(set, i) end
      authstate.spawn(function() assert(store:use_profile(path)) end)
      for i = 31, 50 do authstate.spawn(set, i) end
    end)
    for i = 1, 30 do assert.is_nil(codes[i], i) end
    for i = 31, 50 do assert.equal("overloaded", codes[i]) end
  end)

  it("makes compression true for what is written next; all is read", function()
    open {}
    local keys = store:session("s").keys
    local value = { text = ("all work and no play "):rep(50) }
    assert(keys:set { t = { a = value } })
    local plain = #assert(keys:get_raw("t", { "a" })).a
    assert(store:use_profile "high-compression")
    assert(keys:set { t = { b = value } })
    assert.is_true(#keys:get_raw("t", { "b" }).b < plain / 2)
    assert.same({ a = value, b = value }, keys:get("t", { "a", "b" }))
  end)

  it("turns counting and telling on and off", function()
    local told = 0
    open { on_operation = function() told = told + 1 end }
    assert(store:ping())
    assert.same({}, store:stats().operations)
    assert(store:use_profile(profile "enable_metrics = true"))
    assert(store:ping())
    assert.equal(1, store:stats().operations.ping.count)
    assert.equal(2, told)
    assert(store:use_profile(profile "slow_ms = 1000, enable_metrics = true"))
    assert(store:ping())
    assert.equal(2, store:stats().operations.ping.count)
    assert(store:use_profile "default")
    assert(store:ping())
    assert.same({}, store:stats().operations)
  end)

  it("raises a mistake in the profile, and changes nothing", function()
    open {}
    local message = outcome.raises(function() store:use_profile(1) end)
    assert.match("^profile: 1; accepted: the name or the path", message)
    local path = profile "batch_size = 7, prefixx = 1"
    message = select(2, pcall(store.use_profile, store, path))
    assert.match('p.lua:1: unknown option "prefixx", did you mean "prefix"?', message, 1,
      true)
    assert.equal(256, store.options.batch_size)
  end)

  it("answers closed when the store is", function()
    open {}
    store:close()
    outcome.fails("closed", store:use_profile "default")
  end)

  it("keeps no key of the encryption that open was given", function()
    open { encryption = { keys = { [1] = ("7f"):rep(32) }, primary = 1 } }
    assert.is_nil(authstate.to_json(store.given.encryption.keys["1"] or {}):find "7f7f")
    for _, key in pairs(store.given.encryption.keys) do
      assert.equal(("0"):rep(64), key)
    end
    assert.same({}, store:use_profile("low-latency").reopen[4] or {})
    assert(store:session("s").keys:set { t = { a = 1 } })
    assert.same({ a = 1 }, store:session("s").keys:get("t", { "a" }))
  end)

  it("loses, doubles and reorders nothing under load", function()
    open { redis = { url = server.url, socket = { command_timeout_ms = 60000 } } }
    local names = { "high-throughput", "low-latency", "high-compression", "default",
      profile "enable_batching = false, enable_metrics = true", profile "slow_ms = 1000",
      profile "batch_size = 1, batch_window_ms = 0",
    }
    local SESSIONS, WRITES = 20, 60
    local done, changes = 0, 0
    authstate.run(function()
      for number = 1, SESSIONS do
        authstate.spawn(function()
          local keys = store:session("s" .. number).keys
          local last = 0
          for i = 1, WRITES do
            -- Two that are under way at once: the later one must win.
            local first = authstate.spawn(function()
              assert(keys:set({ t = { a = i - 0.5 } }, { timeout_ms = 60000 }))
            end)
            authstate.sleep(0)
            local version = assert(keys:set({ t = { a = i } }, { timeout_ms = 60000 }))
            assert(first:wait())
            assert.equal(i, keys:get("t", { "a" }, { timeout_ms = 60000 }).a)
            assert.is_true(version > last)
            last = version
          end
          assert.equal(2 * WRITES, last)
          done = done + 1
        end)
      end
      authstate.spawn(function()
        while done < SESSIONS do
          changes = changes + 1
          assert(store:use_profile(names[changes % #names + 1]))
          authstate.sleep(1)
        end
      end)
    end)
    assert.equal(SESSIONS, done)
    assert.is_true(changes > #names)
  end)
end)
