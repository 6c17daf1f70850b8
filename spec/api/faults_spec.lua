-- SPDX-License-Identifier: MIT

-- Real faults of real servers and wires: each call ends with a documented code, in time
-- and once; what was acknowledged is there, once, in order.

local append_only_file = require "authstate.append_only_file"
local authstate = require "authstate"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local outcome = require "spec.api.outcome"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local stored = require "spec.api.stored"

local fails = outcome.fails
local run, spawn, sleep = authstate.run, authstate.spawn, authstate.sleep

-- Durable, so that what is acknowledged survives a crash; can be made busy, slow and
-- loading.
local CONFIG = {
  appendonly = "yes", appendfsync = "always", ["enable-debug-command"] = "yes",
  ["busy-reply-threshold"] = "5", ["loading-process-events-interval-bytes"] = "1024",
}

local ENDLESS = { "EVAL", "while true do end", "0" }

-- Ends a script that does not end.
local function end_script(server)
  assert(clock.wait_for(function() return server:command("SCRIPT", "KILL") end))
end

-- How often the server has carried out a command.
local function calls(server, name)
  local stats = server:command("INFO", "commandstats")
  return tonumber(stats:match("cmdstat_" .. name .. ":calls=(%d+)") or 0)
end

-- ---- one fault at a time --------------------------------------------------------------

describe("a call", function()
  local server, between, store

  before_each(function()
    server = redis_server.start { config = CONFIG }
    between = proxy.start { server = server }
  end)

  after_each(function()
    server:resume()
    if store then store:close() end
    between:stop()
    server:kill()
  end)

  -- A store, over the proxy, and a session of it with a record.
  local function open(options)
    options = options or {}
    options.redis = options.redis or { url = between.url }
    store = assert(authstate.open(options))
    local session = store:session "s"
    assert(session.keys:set { t = { a = 1 } })
    assert(session:load())
    server:command("CONFIG", "RESETSTAT")
    return session
  end

  local function set(session, value, timeout_ms)
    return session.keys:set({ t = { a = value } },
      timeout_ms and { timeout_ms = timeout_ms } or nil)
  end

  -- Makes calls in tasks and then what goes wrong; what each was told, by name.
  local function while_waiting(list, fault)
    local told = {}
    run(function()
      for name, call in pairs(list) do
        spawn(function()
          assert(not told[name])
          told[name] = { call() }
        end)
      end
      assert(sleep(0))
      assert(sleep(0))
      fault()
    end)
    for name in pairs(list) do assert.is_table(told[name]) end
    return told
  end

  it("whose server is killed is a timeout when it was sent, else unavailable", function()
    for _, writes in ipairs { "checked", "plain" } do
      local session = open { writes = writes }
      local version = stored.version(server, "s")
      server:pause()
      local told = while_waiting({
        write = function() return set(session, 2, 300) end,
        read = function()
          return session.keys:get("t", { "a" }, { timeout_ms = 300 })
        end,
      }, function() server:kill() end)
      local _, details = fails("timeout", unpack(told.write, 1, 4))
      assert.same({ true, "maybe" }, { details.sent, details.applied })
      _, details = fails("timeout", unpack(told.read, 1, 4))
      assert.same({ true, "no" }, { details.sent, details.applied })
      _, details = fails("unavailable", set(session, 3, 300))
      assert.same({ false, "no" }, { details.sent, details.applied })
      server:restart()
      assert.equal(version, stored.version(server, "s"))
      assert.equal(1, clock.wait_for(function()
        local found = session.keys:get("t", { "a" })
        return found and found.a
      end))
      assert.equal(version + 1, set(session, 4))
      store:close()
      server:command("FLUSHALL")
    end
  end)

  it("whose server is killed and back in time is answered, and done once", function()
    local session = open()
    server:pause()
    local told = while_waiting({
      write = function() return set(session, 2, 20000) end,
      read = function()
        return store:session("s").keys:get("t", { "a" }, { timeout_ms = 20000 })
      end,
    }, function()
      server:kill()
      server:restart()
    end)
    assert.equal(2, told.write[1])
    assert.is_table(told.read[1])
    assert.equal(2, stored.version(server, "s"))
  end)

  it("whose connection the server ends is sent again, and done once", function()
    for _, writes in ipairs { "checked", "plain" } do
      local session = open { writes = writes }
      local version = stored.version(server, "s")
      between:delay(30, { direction = "both" })
      local list = {}
      for i = 1, 10 do list[i] = function() return set(session, i + 1) end end
      local told = while_waiting(list, function()
        assert(sleep(10))
        server:command("CLIENT", "KILL", "TYPE", "normal")
      end)
      between:pass()
      for i = 1, 10 do assert.is_truthy(told[i][1], told[i][2]) end
      assert.equal(11, session.keys:get("t", { "a" }).a)
      assert.equal(version + 10, stored.version(server, "s"))
      assert.equal(1, store:stats().pool.reconnects)
      store:close()
      server:command("FLUSHALL")
    end
  end)

  it("of a server that sleeps waits as long as it may", function()
    local session = open()
    local client = server:connect()
    client:send { { "DEBUG", "SLEEP", "0.3" } }
    assert(clock.wait_for(function() return client.stream:getfd() end))
    clock.sleep(20)
    local told = while_waiting({
      short = function() return session.keys:get("t", { "a" }, { timeout_ms = 60 }) end,
      long = function() return session.keys:get("t", { "a" }) end,
      write = function() return set(session, 2) end,
    }, function() end)
    fails("timeout", unpack(told.short, 1, 4))
    assert.is_table(told.long[1])
    assert.equal(2, told.write[1])
    assert.equal(0, store:stats().pool.reconnects)
    client:close()
  end)

  it("of a server that is silent for health_timeout_ms goes over a new connection",
    function()
      local session = open {
        redis = { url = server.url, socket = { health_timeout_ms = 150 } },
      }
      server:pause()
      local told = while_waiting({
        read = function() return session:load { timeout_ms = 20000 } end,
        write = function() return set(session, 2, 20000) end,
      }, function()
        for _ = 1, 1000 do
          if store:stats().pool.busy == 0 then break end
          assert(sleep(5))
        end
        server:resume()
      end)
      assert.is_table(told.read[1], told.read[2])
      assert.equal(2, told.write[1])
      assert.equal(1, store:stats().pool.reconnects)
    end)

  it("of a server that runs a long script waits for its end, in order", function()
    for _, writes in ipairs { "checked", "plain" } do
      local session = open { writes = writes }
      local version = stored.version(server, "s")
      local client = server:connect()
      client:send { ENDLESS }
      assert(clock.wait_for(function()
        return (select(2, server:command("GET", "x")) or ""):find "^BUSY"
      end))
      local is_told = false
      local list = {
        -- Sent again after 10, 20, 40 and 80 ms, and not yet after the next 160. A call
        -- whose deadline comes when it is sent knows less, so another one is made.
        short = function()
          for _ = 1, 100 do
            local told = { store:session("other"):load { timeout_ms = 250 } }
            is_told = told[3] ~= "timeout"
            if is_told then return unpack(told, 1, 4) end
          end
        end,
      }
      for i = 1, 20 do
        list[i] = function() return set(session, i + 1) end
        list[i + 20] = function() return session.keys:get("t", { "a" }) end
      end
      local told = while_waiting(list, function()
        for _ = 1, 6000 do
          if is_told then break end
          assert(sleep(5))
        end
        end_script(server)
      end)
      -- Not carried out, and it is known why.
      local message, details = fails("server", unpack(told.short, 1, 4))
      assert.match("^BUSY", message)
      assert.same({ false, "no", true },
        { details.sent, details.applied, details.retry })
      for i = 1, 40 do assert.is_truthy(told[i][1], told[i][2]) end
      assert.equal(version + 20, stored.version(server, "s"))
      assert.is_number(session.keys:get("t", { "a" }).a)
      assert.equal(0, store:stats().queued.operations)
      client:close()
      store:close()
      server:command("FLUSHALL")
    end
  end)

  it("of a server that reads its data waits for its end, or says loading", function()
    local session = open()
    -- Has no connection yet: its calls failed at once.
    local newcomer = assert(authstate.open { redis = server.url })
    -- The server looks after its clients each time it has read a KiB of the file.
    local choose = random.new()
    for i = 1, 200 do server:command("SET", "filler" .. i, choose:bytes(1100)) end
    server:command("CONFIG", "SET", "key-load-delay", "3000")
    local client = server:connect()
    client:send { { "DEBUG", "RELOAD" } }
    assert(clock.wait_for(function()
      return (select(2, server:command("GET", "x")) or ""):find "^LOADING"
    end))
    local told = while_waiting({
      short = function() return session.keys:get("t", { "a" }, { timeout_ms = 250 }) end,
      read = function() return session.keys:get("t", { "a", "b" }) end,
      write = function() return store:session("other").keys:set { t = { a = 1 } } end,
      new = function() return newcomer:session("s").keys:get("t", { "a" }) end,
      new_short = function() return newcomer:ping { timeout_ms = 250 } end,
    }, function() end)
    newcomer:close()
    fails("loading", unpack(told.new_short, 1, 4))
    assert.same({ a = 1 }, told.new[1])
    local message, details = fails("loading", unpack(told.short, 1, 4))
    assert.match("LOADING", message)
    assert.same({ false, "no", true }, { details.sent, details.applied, details.retry })
    assert.same({ a = 1 }, told.read[1])
    assert.equal(1, told.write[1])
    client:close()
  end)

  it("of a server that forgot the scripts loads them once for all", function()
    server:command("CONFIG", "RESETSTAT")
    open()
    store:close()
    local session = open()
    local sessions, list = { session }, {}
    for i = 2, 30 do
      sessions[i] = store:session("s" .. i)
      assert(sessions[i].keys:set { t = { a = 1 } })
    end
    local stats = server:command("INFO", "commandstats")
    assert.is_nil(stats:find "script|load")
    server:command("SCRIPT", "FLUSH")
    for i, each in ipairs(sessions) do
      for n = 1, 3 do list[3 * i + n] = function() return set(each, n + 1) end end
    end
    local told = while_waiting(list, function() end)
    for _, each in pairs(told) do assert.is_truthy(each[1], each[2]) end
    for _, each in ipairs(sessions) do
      assert.equal(4, each.keys:get("t", { "a" }).a)
    end
    local loaded = calls(server, "script|load")
    store:close()
    server:command("CONFIG", "RESETSTAT")
    store = assert(authstate.open { redis = between.url })
    assert(store:ping())
    assert.equal(calls(server, "script|load"), loaded)
  end)

  it("over a wire that holds or delays ends in time, whatever becomes of it", function()
    local session, choose = open(), random.new()
    for _ = 1, 20 do
      local direction = choose:pick { "request", "reply" }
      local is_held = choose:chance(0.5)
      if is_held then
        between:hold { direction = direction }
      else
        between:delay(60, { direction = direction })
      end
      local before = stored.version(server, "s")
      local version, message, code, details = set(session, 2, 30)
      fails("timeout", version, message, code, details)
      between:pass()
      assert.equal("maybe", details.applied)
      version = assert(set(session, 3))
      -- The first one was on its way and before it: it came, once.
      assert.equal(before + 2, version)
      assert.equal("yes", select(2, session:last_commit()))
    end
    assert.equal(0, store:stats().pool.reconnects)
  end)

  it("over a wire that breaks and brings old bytes late is not undone by them", function()
    for _, writes in ipairs { "checked", "plain" } do
      local session = open { writes = writes, enable_cache = true }
      for i = 1, 10 do
        between:hold { direction = "request" }
        local connections = between:stats().connections
        local told = while_waiting({
          old = function() return set(session, "old" .. i, 5) end,
        }, function()
          assert(sleep(10))
          between:lose { late_ms = 40 }
          between:pass()
        end)
        fails("timeout", unpack(told.old, 1, 4))
        assert(set(session, "new" .. i))
        -- One for all sessions, and one that is told what others change, both made anew.
        assert(clock.wait_for(function()
          store:step()
          local stats = between:stats()
          return stats.open == 2 and stats.connections >= connections + 2
        end))
        local found = session.keys:get("t", { "a" }, { consistent = true })
        assert.equal("new" .. i, found.a)
      end
      store:close()
      server:command("FLUSHALL")
    end
  end)

  -- ---- users -------------------------------------------------------------------------

  local function as_user(...)
    server:command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", ...)
    return { path = between.socket, username = "app", password = "secret" }
  end

  it("of a user whose password is another now says auth, and nothing of it", function()
    local session = open { redis = as_user() }
    server:command("ACL", "SETUSER", "app", "resetpass", ">another")
    server:command("CLIENT", "KILL", "USER", "app")
    local message, details = clock.wait_for(function()
      local _, words, code, facts = set(session, 2)
      return code == "auth" and words, facts
    end)
    assert.is_string(message)
    assert.is_nil(message:find("secret", 1, true))
    assert.is_nil(details)
    fails("auth", session:load())
    server:command("ACL", "SETUSER", "app", "resetpass", ">secret")
    assert.equal(2, assert(set(session, 3)))
  end)

  it("of a user who may not HSET says denied, and leaves all as it was", function()
    for _, writes in ipairs { "checked", "plain" } do
      local session = open { redis = as_user(), writes = writes }
      local before = stored.everything(server)
      server:command("ACL", "SETUSER", "app", "-hset")
      for _ = 1, 3 do
        local message, details = fails("denied", set(session, 2))
        assert.match("hset", message:lower())
        assert.equal("no", details.applied)
      end
      assert.same({ a = 1 }, session.keys:get("t", { "a" }))
      assert.same(before, stored.everything(server))
      store:close()
      server:command("ACL", "SETUSER", "app", "+hset")
      server:command("FLUSHALL")
    end
  end)

  it("of a user who may not CLIENT KILL: lost writes are unknown, none follow", function()
    for _, writes in ipairs { "checked", "plain" } do
      local session = open { redis = as_user "-client|kill", writes = writes }
      local other = store:session "other"
      assert(set(other, 1))
      local list = {
        read = function()
          assert(sleep(20))
          return store:session("s").keys:get("t", { "a" })
        end,
        other = function()
          assert(sleep(20))
          return set(other, 2)
        end,
      }
      for i = 1, 3 do list[i] = function() return set(session, i + 1) end end
      between:hold { direction = "request" }
      local told = while_waiting(list, function()
        between:lose { late_ms = 0 }
        between:pass()
      end)
      local unknown = 0
      for i = 1, 3 do
        local code = told[i][3]
        local message, details = fails(code, unpack(told[i], 1, 4))
        local is_unknown = code == "timeout"
        if is_unknown then
          unknown = unknown + 1
          assert.match("does not let us end it", message, 1, true)
        else
          assert.equal("unavailable", code)
        end
        assert.equal(is_unknown and "maybe" or "no", details.applied)
      end
      assert.is_true(unknown >= 1)
      assert.is_table(told.read[1])
      assert.is_number(told.other[1])
      -- Whoever asks, in whichever way.
      for _, handle in ipairs { session, store:session "s" } do
        local message, details = fails("unavailable", set(handle, 5))
        assert.match("CLIENT KILL", message, 1, true)
        local left_ms = tonumber(message:match "for (%d+) ms more" or error(message))
        assert.is_true(left_ms > 20000 and left_ms <= 30000, message)
        assert.same({ false, "no", true },
          { details.sent, details.applied, details.retry })
        fails("unavailable", handle:commit { creds = { n = 1 } })
        assert(handle:load())
      end
      assert(set(other, 3))
      store:close()
      server:command("FLUSHALL")
    end
  end)

  -- ---- what waits behind a write that nobody knows of ---------------------------------

  it("behind a write of unknown outcome is not sent; the next one learns it", function()
    local session = open()
    server:pause()
    local told = while_waiting({
      function() return set(session, 2, 100) end,
      function() return set(session, 3) end,
      function() return session:commit { creds = { n = 1 } } end,
      other = function() return store:session("other").keys:set { t = { a = 1 } } end,
    }, function()
      assert(sleep(150))
      server:resume()
    end)
    fails("timeout", unpack(told[1], 1, 4))
    for i = 2, 3 do
      local message, details = fails("unavailable", unpack(told[i], 1, 4))
      assert.match("last_commit", message, 1, true)
      assert.same({ false, "no", true }, { details.sent, details.applied, details.retry })
    end
    assert.equal(1, told.other[1])
    assert.same({ 2, "maybe" }, { session:last_commit() })
    assert.equal(3, set(session, 4))
    assert.same({ 3, "yes" }, { session:last_commit() })
    assert.equal(3, stored.version(server, "s"))
  end)
end)

-- ---- many writers, and faults at random ----------------------------------------------

local TASKS, SESSIONS, STORM_MS = 2000, 50, 3500

-- What goes wrong, and lasts `ms`.
local FAULTS = {
  cut = function(_, between) between:cut() end,

  cut_a_request = function(_, between, choose)
    between:cut_request { after_bytes = choose:integer(0, 5000) }
  end,

  cut_a_reply = function(_, between, choose)
    between:cut_reply { after_bytes = choose:integer(0, 2000) }
  end,

  -- The bytes of a lost connection are late.
  lose = function(_, between, choose)
    between:hold { direction = "request" }
    sleep(choose:integer(1, 20))
    between:lose { late_ms = choose:integer(20, 400) }
    between:pass()
  end,

  hold = function(_, between, choose, ms)
    between:hold { direction = choose:pick { "request", "reply" } }
    sleep(ms)
    between:pass()
  end,

  delay = function(_, between, choose, ms)
    between:delay(choose:integer(1, 30), { direction = "both" })
    sleep(ms)
    between:pass()
  end,

  refuse = function(_, between, _, ms)
    between:refuse()
    between:cut { how = "rst" }
    sleep(ms)
    between:pass()
  end,

  stop = function(server, _, _, ms)
    server:pause()
    sleep(ms)
    server:resume()
  end,

  -- Redis cuts off the beginning of a command, but not that of a transaction, and tears
  -- what is written next: that is cut off here, as it is for the private server.
  crash = function(server)
    server:kill()
    sleep(20)
    local directory = server.directory .. "/appendonlydir"
    local name = append_only_file.last(directory)
    local length = name and append_only_file.find_cut(directory .. "/" .. name)
    if length then assert(core.truncate_file(directory .. "/" .. name, length)) end
    server:restart()
  end,

  kill_clients = function(server) server:command("CLIENT", "KILL", "TYPE", "normal") end,

  forget_scripts = function(server) server:command("SCRIPT", "FLUSH") end,

  be_busy = function(server, _, _, ms)
    local client = server:connect()
    client:send { ENDLESS }
    sleep(ms)
    end_script(server)
    client:close()
  end,

  be_slow = function(server, _, _, ms)
    local client = server:connect()
    client:send { { "DEBUG", "SLEEP", tostring(ms / 1000) } }
    sleep(ms)
    client:close()
  end,

  load = function(server)
    local client = server:connect()
    client:command("CONFIG", "SET", "key-load-delay", "1000")
    client:send { { "DEBUG", "RELOAD" } }
    sleep(100)
    client:receive()
    client:command("CONFIG", "SET", "key-load-delay", "0")
    client:close()
  end,
}

local FAULT_NAMES = {}
for name in pairs(FAULTS) do FAULT_NAMES[#FAULT_NAMES + 1] = name end
table.sort(FAULT_NAMES)

-- The codes that a write may get while all this happens.
local CODES = { ok = true, timeout = true, unavailable = true, loading = true,
  server = true }

describe("2,000 tasks that write to 50 sessions while everything breaks", function()
  local server, between

  before_each(function()
    server = redis_server.start { config = CONFIG }
    between = proxy.start { server = server }
  end)

  after_each(function()
    server:resume()
    between:stop()
    server:kill()
  end)

  -- What is known of one session: the serial numbers of its writes in the order of the
  -- calls, and what each was told.
  local function new_record(store, number)
    local session = store:session("s" .. number)
    assert(session.keys:set { t = { first = 0 } })
    assert(session:load())
    return { session = session, id = "s" .. number, calls = {},
      version = stored.version(server, "s" .. number) }
  end

  -- One write: a record of its own, and mostly the newest serial number.
  local function write(choose, record)
    local serial = #record.calls + 1
    local call = { has_last = choose:chance(0.7), answers = 0 }
    record.calls[serial] = call
    local changes = { ["w" .. serial] = serial }
    if call.has_last then changes.last = serial end
    local timeout_ms = choose:pick { 150, 600, 2000 }
    local options = choose:chance(0.8) and { timeout_ms = timeout_ms } or nil
    local began_ms = core.now_ms()
    local version, message, code, details =
      record.session.keys:set({ t = changes }, options)
    call.version, call.message, call.code, call.details = version, message, code, details
    call.answers = call.answers + 1
    call.late_ms = core.now_ms() - began_ms - (options and timeout_ms or 5000)
  end

  local function make_storm(choose, records)
    local until_ms, happened = core.now_ms() + STORM_MS, {}
    run(function()
      for task = 1, TASKS do
        spawn(function()
          local record = records[task % SESSIONS + 1]
          assert(sleep(choose:integer(0, 100)))
          while core.now_ms() < until_ms do
            write(choose, record)
            assert(sleep(choose:integer(0, 600)))
          end
        end)
      end
      local left = choose:shuffle { unpack(FAULT_NAMES) }
      while core.now_ms() < until_ms do
        assert(sleep(choose:integer(1, 120)))
        local name = table.remove(left) or choose:pick(FAULT_NAMES)
        happened[#happened + 1] = name
        FAULTS[name](server, between, choose, choose:pick { 20, 60, 250 })
      end
    end)
    between:pass()
    return happened
  end

  -- Writes once more, as soon as that is possible.
  local function go_on(session)
    return clock.wait_for(function()
      local version, message, code = session.keys:set { u = { done = 1 } }
      if not version then assert(CODES[code], message) end
      return version
    end)
  end

  -- What was acknowledged last is there.
  local function check_last(record)
    assert.equal(1, record.session.keys:get("u", { "done" }).done,
      record.id .. ": the last write is lost")
  end

  -- Checks one session against what its callers were told.
  local function check(record, is_exact, count)
    local found = stored.hash(server, "authstate:{" .. record.id .. "}:k:t")
    local effects, newest, version = 0, nil, record.version
    for serial, call in ipairs(record.calls) do
      local words = ("%s, write %d: %s %s"):format(record.id, serial, tostring(call.code),
        tostring(call.message))
      local is_there = found["w" .. serial] ~= nil
      assert(call.answers == 1, words .. ": not answered once")
      assert(CODES[call.code or "ok"], words)
      assert(call.late_ms < 3000, words .. ": too late")
      count[call.code or "ok"] = (count[call.code or "ok"] or 0) + 1
      if call.version then
        assert(is_there, words .. ": lost")
        assert(call.version > version, words .. ": out of order")
        version = call.version
      elseif call.details.applied == "no" then
        assert(not is_there, words .. ": there all the same")
      end
      if is_there then effects = effects + 1 end
      if is_there and call.has_last then newest = serial end
    end
    local last = record.session.keys:get("t", { "last" }).last
    assert.equal(newest, last, record.id .. ": an older write is the last one")
    local made = stored.version(server, record.id) - record.version - 1 -- the last one
    if is_exact then
      assert.equal(effects, made, record.id .. ": doubled")
    else
      assert.is_true(made >= effects, record.id)
    end
  end

  for _, writes in ipairs { "checked", "plain" } do
    it("lose nothing, double nothing, keep the order, and all get an answer: " .. writes,
      function()
        local choose = random.new()
        local store = assert(authstate.open { redis = between.url, writes = writes })
        local records, count = {}, {}
        for number = 1, SESSIONS do records[number] = new_record(store, number) end
        local happened = make_storm(choose, records)
        local about = ("seed %d, %s: "):format(choose.seed, table.concat(happened, " "))
        local is_fine, message = pcall(function()
          for _, record in ipairs(records) do
            -- All goes on once nothing breaks any more.
            assert(go_on(record.session))
          end
          for _, record in ipairs(records) do
            check_last(record)
            check(record, writes == "checked", count)
          end
          assert.is_true(count.ok > TASKS / 2, count.ok)
          assert.is_true((count.timeout or 0) + (count.unavailable or 0) > 0)
          assert.equal(0, store:stats().queued.operations)
        end)
        store:close()
        if not is_fine then error(about .. tostring(message), 0) end
      end)
  end
end)
