-- SPDX-License-Identifier: MIT

-- What is counted, logged and told of calls: enable_metrics, slow_ms, debug,
-- on_operation.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local process = require "spec.support.process"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local KEY = ("ab"):rep(32)
local SESSION = "5511999999999"

-- Ways to watch a store, each with what else it is opened with.
local WAYS = {
  ["nothing is watched"] = {},
  enable_metrics = { enable_metrics = true },
  on_operation = { on_operation = function() end },
  ["all of it"] = {
    enable_metrics = true, slow_ms = 0, debug = true, on_operation = function() end,
    log = function() end,
  },
  ["all of it, encrypted"] = {
    enable_metrics = true, on_operation = function() end,
    encryption = { keys = { [1] = KEY }, primary = 1 },
  },
}

local server

setup(function() server = redis_server.start {} end)
teardown(function() server:stop() end)

local store, session

local function open(options, url)
  if store then store:close() end
  server:command "FLUSHALL"
  local given = { redis = url or server.url }
  for name, value in pairs(options) do given[name] = value end
  store = assert(authstate.open(given))
  session = store:session(SESSION)
end

after_each(function()
  if store then store:close() end
  store = nil
end)

local function write_some()
  assert(session.keys:set { ["pre-key"] = { ["1"] = { a = 1 }, ["2"] = { a = 2 } } })
end

-- ---- the same answers, whoever watches ----------------------------------------------

-- What each call gives: all of its results, and where its mistakes are told.
local function everything()
  local told = {}
  local function add(...) told[#told + 1] = { n = select("#", ...), ... } end
  local function add_error(fn, ...)
    local _, message = pcall(fn, ...)
    told[#told + 1] = message
  end
  add(session:load_creds())
  add(session:load_or_create(function() return { registered = false } end))
  add(session.keys:set { ["pre-key"] = { ["1"] = { a = 1 }, ["2"] = { a = 2 } } })
  for _ = 1, 3 do add(session.keys:get("pre-key", { "1" })) end
  add(session.keys:get("pre-key", { "1", "2", "3" }))
  add(session.keys:get_json("pre-key", { "1" }))
  add(session.keys:set_json { ["pre-key"] = { ["3"] = "[]" } })
  add(session.keys:count "pre-key")
  add(#session.keys:list "pre-key")
  add(session.keys:types())
  add(session:save_creds { registered = true })
  add(session:load_creds_json())
  add(session:commit_json '{"keys":{"pre-key":{"3":null}}}')
  add(session:load().version)
  add(store:sessions())
  add(store:session_info(SESSION).version)
  add(store:session_info "none")
  add(store:ping())
  add(session:delete().records)
  add((session.keys:get("pre-key", { "1" })))
  add_error(function() session.keys:get(1, {}) end)
  add_error(function() session.keys:get("t", 1) end)
  add_error(function() session.keys:set(1) end)
  add_error(function() session.keys:set { t = { i = 0 / 0 } } end)
  add_error(function() session.keys:count(1) end)
  add_error(function() session.keys:types(1) end)
  add_error(function() session:save_creds(1) end)
  add_error(function() session:commit { x = 1 } end)
  add_error(function() session:commit_json(1) end)
  add_error(function() session:load { x = 1 } end)
  add_error(function() session:load_creds { x = 1 } end)
  add_error(function() session:load_or_create(1) end)
  add_error(function() store:session(SESSION .. "2"):load_or_create(function() end) end)
  add_error(function() session:delete { x = 1 } end)
  add_error(function() store:ping(1) end)
  add_error(function() store:sessions { limit = 0 } end)
  add_error(function() store:session_info(1) end)
  return told
end

describe("a store", function()
  local plain

  for name, options in pairs(WAYS) do
    it("gives the same answers, mistakes at the same lines: " .. name, function()
      if not plain then
        open {}
        plain = everything()
      end
      open(options)
      assert.same(plain, everything())
      local tell_of_mistake = plain[#plain]
      assert.match("^spec/api/metrics_spec.lua:%d+: session id", tell_of_mistake)
    end)
  end
end)

-- ---- enable_metrics -----------------------------------------------------------------

describe("enable_metrics", function()
  it("counts calls by name, with and without tasks, JSON forms as the call", function()
    open { enable_metrics = true }
    write_some()
    for _ = 1, 5 do assert(session.keys:get("pre-key", { "1" })) end
    assert(session.keys:get_json("pre-key", { "1", "2" }))
    authstate.run(function()
      for _ = 1, 20 do
        authstate.spawn(function() assert(session.keys:get("pre-key", { "1" })) end)
      end
    end)
    assert(session:load())
    local counted = store:stats().operations
    assert.equal(26, counted.get.count)
    assert.equal(1, counted.set.count)
    assert.equal(1, counted.load.count)
    assert.is_nil(counted.ping)
    for _, each in pairs(counted) do
      assert.equal(0, each.errors)
      assert.is_true(each.p50_ms > 0 and each.p50_ms <= each.p99_ms)
      assert.is_true(each.p99_ms < 60000)
    end
  end)

  it("counts plain writes that go the quick way", function()
    open { enable_metrics = true, writes = "plain" }
    write_some()
    authstate.run(function()
      for i = 1, 20 do
        authstate.spawn(function()
          assert(session.keys:set { ["pre-key"] = { [tostring(i)] = { a = i } } })
        end)
      end
    end)
    assert.equal(21, store:stats().operations.set.count)
  end)

  it("counts failures with their codes, also of the quick way", function()
    open { enable_metrics = true }
    write_some()
    assert(session.keys:get("pre-key", { "1" }))
    local other = store:session(SESSION)
    assert(other:delete())
    for _ = 1, 3 do assert.is_nil((session.keys:get("pre-key", { "1" }))) end
    assert.is_nil((session:load_creds())) -- absent is no failure
    local stats = store:stats()
    assert.same({ fenced = 3 }, stats.errors)
    assert.equal(3, stats.operations.get.errors)
    assert.equal(4, stats.operations.get.count)
    assert.equal(0, stats.operations.load_creds.errors)
  end)

  it("measures what a call waits for", function()
    local slow = proxy.start { server = server }
    open({ enable_metrics = true }, slow.url)
    write_some()
    local before_ms = store.now_ms()
    authstate.run(function()
      authstate.spawn(function() assert(session.keys:get("pre-key", { "1", "2" })) end)
      authstate.spawn(function() assert(session.keys:get("pre-key", { "1" })) end)
    end)
    local most_ms = store.now_ms() - before_ms
    local get = store:stats().operations.get
    assert.is_true(get.p50_ms > 0 and get.p99_ms <= most_ms * 33 / 32 + 0.001)
    slow:stop()
  end)

  it("knows what the codec makes of texts exactly, and of values by a sample", function()
    open { enable_metrics = true }
    local text = '{"name":"' .. ("x"):rep(1000) .. '"}'
    for i = 1, 40 do assert(session.keys:set_json { t = { [tostring(i)] = text } }) end
    local codec = store:stats().codec
    assert.equal(40 * #text, codec.bytes_in)
    assert.is_true(codec.bytes_stored > 0 and codec.bytes_stored < codec.bytes_in)
    assert.equal(codec.bytes_stored / codec.bytes_in, codec.ratio)
    open { enable_metrics = true }
    for i = 1, 40 do
      assert(session.keys:set { t = { [tostring(i)] = { name = ("x"):rep(1000) } } })
    end
    assert.same(codec, store:stats().codec)
  end)

  it("never names a session, whatever is counted", function()
    open { enable_metrics = true }
    write_some()
    assert(session.keys:get("pre-key", { "1" }))
    store:session_info(SESSION)
    assert.is_nil(authstate.to_json(store:stats()):find(SESSION, 1, true))
  end)

  it("is off unless asked for: then nothing is counted of calls", function()
    open {}
    write_some()
    local stats = store:stats()
    assert.same({}, stats.operations)
    assert.same({}, stats.errors)
    assert.equal(0, stats.codec.bytes_in)
  end)
end)

-- ---- on_operation -------------------------------------------------------------------

describe("on_operation", function()
  local told

  local function note(operation)
    local copy = {}
    for name, value in pairs(operation) do copy[name] = value end
    told[#told + 1] = copy
  end

  local function check_times(operation)
    for _, name in ipairs { "queue_ms", "wire_ms", "decode_ms" } do
      assert.is_true(operation[name] >= 0 and operation[name] < 60000, name)
      operation[name] = nil
    end
  end

  before_each(function() told = {} end)

  it("is told what each call did", function()
    open { on_operation = note, enable_cache = false }
    write_some()
    assert(session.keys:get("pre-key", { "1" }))
    assert(session.keys:get("pre-key", { "1" }))
    assert(session:load())
    for _, each in ipairs(told) do
      assert.is_true(each.wire_ms > 0)
      check_times(each)
    end
    local stored_bytes = told[2].bytes
    assert.is_true(stored_bytes > 0)
    assert.same({ name = "get", session = SESSION, type = "pre-key", count = 1,
      bytes = told[3].bytes, node = server.url }, told[3])
    assert.same({ name = "set", session = SESSION, type = "pre-key", count = 2,
      bytes = told[1].bytes, node = server.url }, told[1])
    assert.equal("load", told[4].name)
    assert.equal(2, told[4].count)
  end)

  it("is told the code of a failure", function()
    open { on_operation = note }
    write_some()
    assert(store:session(SESSION):delete())
    assert.is_nil((session.keys:get("pre-key", { "1" })))
    assert.equal("fenced", told[#told].code)
    assert.equal("get", told[#told].name)
  end)

  it("is told what the near cache did, where it was asked", function()
    open { on_operation = note, enable_cache = true }
    write_some()
    local function get(options)
      assert(session.keys:get("pre-key", { "1" }, options))
      return told[#told].cache
    end
    assert.is_nil(told[1].cache)
    clock.wait_for(function() return get() == "hit" end)
    assert.equal("hit", get())
    assert.equal(0, told[#told].bytes)
    assert.is_nil(get { cache = false })
    assert.is_nil(get { consistent = true })
    assert(session.keys:get("pre-key", { "2", "3" }))
    assert.equal("miss", told[#told].cache)
    open { on_operation = note, enable_cache = false }
    write_some()
    assert.is_nil(get())
  end)

  it("is told of tasks apart, however they take turns", function()
    open { on_operation = note }
    write_some()
    told = {}
    authstate.run(function()
      for i = 1, 30 do
        authstate.spawn(function()
          local name = "s" .. i
          assert(store:session(name).keys:set { t = { i = { i } } })
          assert(store:session(name).keys:get("t", { "i", "j" }))
        end)
      end
    end)
    local seen = {}
    for _, each in ipairs(told) do
      seen[each.session] = (seen[each.session] or 0) + (each.name == "set" and 1 or 100)
      assert.equal(each.name == "set" and 1 or 2, each.count)
      assert.is_true(each.bytes > 0)
    end
    for i = 1, 30 do assert.equal(101, seen["s" .. i]) end
  end)

  it("may raise: that is logged once, and calls go on", function()
    local lines = {}
    open {
      on_operation = function() error "broken hook" end,
      log = function(level, message) lines[#lines + 1] = level .. ": " .. message end,
    }
    write_some()
    write_some()
    assert.equal(1, #lines)
    assert.match("^error: on_operation raised: .*broken hook; this is told once",
      lines[1])
  end)

  it("must not yield: that is logged once, and no task sees it", function()
    local lines = {}
    open {
      on_operation = function() coroutine.yield "anything" end,
      log = function(_, message) lines[#lines + 1] = message end,
    }
    assert.equal("done", authstate.run(function()
      write_some()
      write_some()
      return "done"
    end))
    assert.equal(1, #lines)
    assert.match("on_operation called coroutine.yield", lines[1])
  end)

  it("may call the store: it is not told of that", function()
    local count = 0
    open {
      on_operation = function()
        count = count + 1
        assert(store:ping())
      end,
      log = function(_, message) error(message) end,
    }
    authstate.run(function()
      authstate.spawn(write_some)
      authstate.spawn(write_some)
    end)
    assert.equal(2, count)
  end)
end)

-- ---- slow_ms and debug --------------------------------------------------------------

describe("slow_ms", function()
  it("logs the calls that take longer, and no other", function()
    local lines = {}
    local function log(...) lines[#lines + 1] = { ... } end
    open { slow_ms = 3600000, log = log }
    write_some()
    assert.same({}, lines)
    open { slow_ms = 0, log = log }
    write_some()
    assert.equal(1, #lines)
    local level, message, fields = unpack(lines[1])
    assert.equal("warn", level)
    assert.match("^set took [%d.]+ ms, type pre%-key, 2 records, %d+ bytes; waited",
      message)
    assert.equal(SESSION, fields.session)
    assert.is_true(fields.elapsed_ms >= fields.wire_ms)
  end)
end)

describe("debug", function()
  it("logs every call, whatever log_level says", function()
    local lines = {}
    open { debug = true, log_level = "error", log = function(level, message)
      lines[#lines + 1] = level .. ": " .. message
    end }
    write_some()
    assert(store:ping())
    assert.equal(2, #lines)
    assert.match("^debug: set took", lines[1])
    assert.match("^debug: ping took", lines[2])
  end)

  it("writes to standard error when there is no log", function()
    local program = temporary.file([[
      local store = assert(require "authstate".open { redis = arg[1], debug = true })
      assert(store:ping())
    ]], "debug.lua")
    local status, out, err = process.run { "luajit", program, server.url }
    assert.same({ 0, "" }, { status, out })
    assert.match("^authstate: debug: ping took [%d.]+ ms", err)
  end)
end)
