-- SPDX-License-Identifier: MIT

-- The engine behind its epoll loop, with real servers and real sockets.

local lfs = require "lfs"
local socket = require "socket"
local unix = require "socket.unix"

local client = require "spec.io.client"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local process = require "spec.support.process"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local MIB = 1024 * 1024

-- The open descriptors of this process.
local function descriptors()
  local count = 0
  for _ in lfs.dir "/proc/self/fd" do count = count + 1 end
  return count
end

local server

setup(function()
  server = redis_server.start { tcp = true, config = { bind = "127.0.0.1" } }
end)

local function addresses()
  local port = tostring(server.port)
  return {
    ["a unix socket"] = { path = server.socket },
    ["an address"] = { host = "127.0.0.1", port = port },
    ["an address, with its options"] = {
      host = "127.0.0.1", port = port, no_delay = true, keep_alive = true,
    },
    -- localhost is ::1 first, where nobody listens.
    ["a name with several addresses"] = { host = "localhost", port = port },
  }
end

local function elapsed_ms(work)
  local began_ms = core.now_ms()
  work()
  return core.now_ms() - began_ms
end

describe("a loop over a real server", function()
  local peers = {}

  before_each(function() server:command("FLUSHALL") end)
  after_each(function()
    for _, each in ipairs(peers) do each:close() end
    peers = {}
  end)

  local function open(address, changes)
    local peer = client.open(address, changes)
    peers[#peers + 1] = peer
    return peer
  end

  for _, name in ipairs { "a unix socket", "an address", "an address, with its options",
    "a name with several addresses" } do
    it("talks to it over " .. name, function()
      local peer = open(addresses()[name])
      assert.equal("OK", peer:command("SET", "key", "\0value\r\n"))
      assert.equal("\0value\r\n", peer:command("GET", "key"))
      local both = { { "SET", "a", "1" }, { "SET", "b", "2" } }
      assert.same({ "OK", "OK" }, peer:perform(both, { atomic = true }).replies)
      assert.same({ "1", "2", false }, peer:command("MGET", "a", "b", "c"))
      local _, _, code = peer:command("HGET", "a", "field")
      assert.equal("wrong_type", code)
    end)
  end

  it("keeps the order of thousands of operations in flight", function()
    local peer = open { path = server.socket }
    local slots = {}
    for i = 1, 20000 do
      slots[i] = peer:submit { { "INCR", "n" }, { "ECHO", "e" .. i } }
    end
    for i = 1, 20000 do
      assert.same({ i, "e" .. i }, peer:wait(slots[i]).replies)
    end
    assert.equal(1, peer.engine:statistics().streams)
  end)

  it("carries values of 10 MiB both ways, in a transaction too", function()
    for _, address in ipairs { { path = server.socket },
      { host = "127.0.0.1", port = tostring(server.port) } } do
      local peer = open(address)
      local large = {}
      for i = 1, 10 do large[i] = string.char(i):rep(MIB) end
      large = table.concat(large)
      assert.equal("OK", peer:command("SET", "large", large))
      assert.is_true(large == server:command("GET", "large"))
      assert.is_true(large == peer:command("GET", "large"))
      local commands = { { "SET", "a", large }, { "GET", "a" }, { "SET", "b", large } }
      local ended = peer:perform(commands, { atomic = true })
      assert.is_nil(ended.message)
      assert.is_true(ended.replies[2] == large)
      local slots = {}
      for i = 1, 4 do
        slots[i] = peer:submit { { "SET", "k" .. i, large }, { "GET", "k" .. i } }
      end
      for i = 1, 4 do assert.is_true(peer:wait(slots[i]).replies[2] == large) end
      assert.equal(1, peer.engine:statistics().streams)
    end
  end)

  it("selects the database and gives the password", function()
    local closed = redis_server.start { password = "secret" }
    local peer = open({ path = closed.socket }, { password = "secret", database = 3 })
    assert.equal("OK", peer:command("SET", "a", "1"))
    closed:command("SELECT", "3")
    assert.equal("1", closed:command("GET", "a"))
    for password, code in pairs { wrong = "auth", [""] = "auth" } do
      local stranger = open({ path = closed.socket }, { password = password })
      assert.equal(code, select(3, stranger:command("GET", "a")))
    end
    assert.equal("auth", select(3, open({ path = closed.socket }):command("GET", "a")))
    closed:stop()
  end)

  it("says what an ACL forbids", function()
    server:command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", "-hset")
    server:command("ACL", "SETUSER", "scriptless", "on", ">pw", "~*", "+@all", "-script")
    local peer = open({ path = server.socket }, { user = "limited", password = "pw" })
    assert.equal("denied", select(3, peer:command("HSET", "a", "b", "c")))
    assert.equal("OK", peer:command("SET", "a", "1"))
    peer = open({ path = server.socket },
      { user = "scriptless", password = "pw", scripts = { "return 1" } })
    assert.equal("denied", select(3, peer:command("GET", "a")))
  end)

  it("loads the scripts, also after SCRIPT FLUSH", function()
    local script = "return 'loaded ' .. ARGV[1]"
    local peer = open({ path = server.socket }, { scripts = { script } })
    local digest = core.sha1_hex(script)
    assert.equal("loaded 1", peer:command("EVALSHA", digest, "0", "1"))
    server:command("SCRIPT", "FLUSH")
    local slots = {}
    for i = 1, 10 do
      slots[i] = peer:submit { { "EVALSHA", digest, "0", tostring(i) } }
    end
    for i = 1, 10 do assert.same({ "loaded " .. i }, peer:wait(slots[i]).replies) end
    assert.equal(1, peer.engine:statistics().streams)
  end)
end)

describe("a server that is not there", function()
  it("is unavailable at once, with the system's words", function()
    local directory = temporary.directory()
    local cases = {
      { { path = directory .. "/none" }, "No such file or directory" },
      { { host = "127.0.0.1", port = tostring(redis_server.free_port()) },
        "Connection refused" },
      { { host = "localhost", port = tostring(redis_server.free_port()) },
        "Connection refused" },
    }
    for _, case in ipairs(cases) do
      local peer = client.open(case[1])
      local took_ms = elapsed_ms(function()
        local _, message, code = peer:command("PING")
        assert.equal("unavailable", code)
        assert.equal(case[2], message)
      end)
      assert.is_true(took_ms < 4500)
      peer:close()
    end
  end)

  it("is unavailable when its name has no address", function()
    local peer = client.open { host = "no-such-host.invalid", port = "6379" }
    local _, message, code = peer:command("PING")
    assert.equal("unavailable", code)
    assert.is_true(#message > 0)
    peer:close()
  end)

  it("is found when it comes", function()
    local late = redis_server.start()
    late:kill()
    local peer = client.open { path = late.socket }
    assert.equal("unavailable", select(3, peer:command("PING")))
    late:restart()
    assert.equal("PONG", peer:command("PING"))
    peer:close()
    late:stop()
  end)

  it("and an address that is none raise or fail, never crash", function()
    for _, address in ipairs { { path = ("x"):rep(108) }, { path = "a\0b" },
      { host = ("h"):rep(256), port = "1" }, { host = "a", port = "123456789" } } do
      assert.error_matches(function() client.open(address) end, "must have at most")
    end
    local peer = client.open { host = "127.0.0.1", port = "no" }
    assert.equal("unavailable", select(3, peer:command("PING")))
    peer:close()
    peer = client.open { path = ("/x"):rep(53) }
    assert.equal("unavailable", select(3, peer:command("PING")))
    peer:close()
  end)
end)

describe("a server that does not answer", function()
  local function with_listener(work)
    local path = temporary.directory() .. "/deaf"
    local listener = unix.stream()
    assert(listener:bind(path))
    assert(listener:listen(8))
    work { path = path }
    listener:close()
    local tcp = assert(socket.bind("127.0.0.1", 0))
    work { host = "127.0.0.1", port = tostring(select(2, tcp:getsockname())) }
    tcp:close()
  end

  it("is unavailable after connect_timeout_ms", function()
    with_listener(function(address)
      local peer = client.open(address, { connect_timeout_ms = 100 })
      local took_ms = elapsed_ms(function()
        local _, message, code = peer:command("PING")
        assert.equal("unavailable", code)
        assert.equal("no connection within connect_timeout_ms = 100", message)
      end)
      assert.is_true(took_ms >= 100 and took_ms < 8000, took_ms)
      peer:close()
    end)
  end)

  it("is unavailable after the operation's deadline, when that comes first", function()
    with_listener(function(address)
      local peer = client.open(address)
      local took_ms = elapsed_ms(function()
        local ended = peer:perform({ { "PING" } }, { timeout_ms = 50 })
        assert.equal("unavailable", ended.code)
        assert.equal(0, ended.attempts)
      end)
      assert.is_true(took_ms >= 50 and took_ms < 4500, took_ms)
      peer:close()
    end)
  end)

  it("because it is stopped: timeouts, no second connection, no second execution",
    function()
      local peer = client.open { path = server.socket }
      server:command("SET", "n", "0")
      assert.equal(1, peer:command("INCR", "n"))
      server:pause()
      for _ = 1, 5 do
        local ended = peer:perform({ { "INCR", "n" } }, { timeout_ms = 20 })
        assert.equal("timeout", ended.code)
        assert.equal(1, ended.attempts)
      end
      local slot = peer:submit { { "INCR", "n" } }
      server:resume()
      assert.same({ 7 }, peer:wait(slot).replies)
      assert.equal(1, peer.engine:statistics().streams)
      assert.equal(0, peer.engine:statistics().queued_operations)
      assert.equal("7", server:command("GET", "n"))
      peer:close()
    end)

  it("for health_timeout_ms is left, and killed before all is sent again", function()
    local peer = client.open({ path = server.socket }, { health_timeout_ms = 100 })
    local id = peer:command("CLIENT", "ID")
    server:pause()
    local slot = peer:submit { { "ECHO", "survives" } }
    peer:step(0)
    for _ = 1, 20 do peer:step(20) end
    server:resume()
    local ended = peer:wait(slot)
    assert.same({ "survives" }, ended.replies)
    assert.is_true(ended.attempts >= 2)
    assert.is_nil(server:command("CLIENT", "LIST", "ID", tostring(id)):find "id=")
    peer:close()
  end)

  it("and does not read either: a large request is a timeout", function()
    local peer = client.open { path = server.socket }
    peer:command("PING")
    server:pause()
    local ended = peer:perform({ { "SET", "a", ("x"):rep(10 * MIB) } },
      { timeout_ms = 50 })
    assert.equal("timeout", ended.code)
    server:resume()
    assert.equal("PONG", peer:command("PING"))
    assert.equal(10 * MIB, server:command("STRLEN", "a"))
    peer:close()
  end)
end)

describe("a server that dies", function()
  it("in mid-pipeline and comes again: each operation ends, in order", function()
    local mortal = redis_server.start { config = { appendonly = "yes" } }
    local peer = client.open { path = mortal.socket }
    peer:command("PING")
    mortal:pause() -- so that it dies with requests unread, however slow we are
    local slots, value = {}, ("x"):rep(1000)
    for i = 1, 3000 do
      slots[i] = peer:submit({ { "RPUSH", "list", i .. value } }, { timeout_ms = 20000 })
    end
    peer:step(0)
    peer:step(0)
    mortal:kill()
    for _ = 1, 10 do peer:step(5) end
    mortal:restart()
    local is_done = {}
    for i = 1, 3000 do
      local ended = peer:wait(slots[i])
      is_done[i] = ended.code == nil
      -- What never went out need not wait for the server to come again.
      if ended.code then
        assert.same({ "unavailable", 0 }, { ended.code, ended.attempts })
        assert.equal("Connection refused", ended.message)
      end
    end
    assert.is_true(is_done[1])
    -- What is sent again is a whole run of the pipeline: in order, at least once.
    local last, seen = 0, {}
    for _, item in ipairs(mortal:command("LRANGE", "list", "0", "-1")) do
      local number = tonumber(item:match "^%d+")
      assert.is_true(number <= last + 1)
      last = number
      seen[number] = true
    end
    for i = 1, 3000 do assert.equal(is_done[i], seen[i] or false) end
    assert.equal(2, peer.engine:statistics().streams)
    peer:close()
    mortal:stop()
  end)

  it("for good: what was sent is a timeout, the rest is unavailable", function()
    local mortal = redis_server.start()
    local between = proxy.start { server = mortal }
    local peer = client.open { path = between.socket }
    assert.equal("PONG", peer:command("PING"))
    between:hold { direction = "reply" }
    local sent = peer:submit({ { "INCR", "n" } }, { timeout_ms = 200 })
    peer:step(0)
    between:cut()
    between:refuse()
    local ended = peer:wait(sent)
    assert.equal("timeout", ended.code)
    assert.equal(1, ended.attempts)
    ended = peer:perform({ { "INCR", "n" } }, { timeout_ms = 5000 })
    assert.equal("unavailable", ended.code)
    assert.equal(0, ended.attempts)
    peer:close()
    between:stop()
    mortal:stop()
  end)

  it("closes an idle connection: the next operation makes a new one", function()
    local mortal = redis_server.start()
    local peer = client.open { path = mortal.socket }
    assert.equal("PONG", peer:command("PING"))
    mortal:restart()
    assert.equal("PONG", peer:command("PING"))
    mortal:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert.equal("PONG", peer:command("PING"))
    assert.equal(3, peer.engine:statistics().streams)
    peer:close()
    mortal:stop()
  end)

  -- A process of its own: luasocket, which the specs use, ignores SIGPIPE for them all.
  it("does not kill its client by SIGPIPE", function()
    local program = temporary.file(([[
      package.path, package.cpath = %q, %q
      local core = require "authstate.core"
      local engine = core.engine {
        pool_size = 1, batch_size = 100, batch_window_ms = 10, max_age_ms = math.huge,
        max_operations = 100, quarantine_ms = 0, seed = 0,
        max_queued_bytes = 1e8, max_value_bytes = 1e8,
        connect_timeout_ms = 1000, health_timeout_ms = 10000, database = 0,
      }
      local loop = core.loop()
      assert(loop:attach(engine, { path = %q }))
      local function perform(...)
        local now_ms = core.now_ms()
        local slot = engine:submit(now_ms, now_ms + 5000, false, { { ... } })
        while true do
          loop:step(100)
          local done, code = engine:next_completion()
          if done then engine:release(slot) return code or "ok" end
        end
      end
      print(perform("PING"))
      print(perform("QUIT"))
      core.sleep_ms(50)
      for _ = 1, 3 do print(perform("SET", "a", ("x"):rep(1000000))) end
    ]]):format(package.path, package.cpath, server.socket))
    local code, out, err = process.run {
      os.getenv "LUAJIT" or "luajit", program, timeout_ms = 20000,
    }
    assert.equal("", err)
    assert.equal("ok\nok\nok\nok\nok\n", out)
    assert.equal(0, code)
  end)
end)

describe("sockets", function()
  it("are all given back, in whatever state they are closed", function()
    local places = addresses()
    local deaf = assert(socket.bind("127.0.0.1", 0))
    local deaf_port = tostring(select(2, deaf:getsockname()))
    client.open(places["a unix socket"]):close()
    server:command("PING")
    collectgarbage()
    collectgarbage()
    local before = descriptors()
    for i = 1, 200 do
      local address = i % 4 == 0 and { host = "localhost", port = deaf_port }
        or i % 4 == 1 and places["a name with several addresses"]
        or i % 4 == 2 and { path = "/nonexistent" } or places["a unix socket"]
      local peer = client.open(address, { connect_timeout_ms = 20 })
      if i % 3 > 0 then
        local slot = peer:submit { { "PING" } }
        if i % 3 == 1 then peer:wait(slot) else peer:step(0) end
      end
      peer:close()
      peer:close()
    end
    assert.equal(before, descriptors())
    for _ = 1, 50 do client.open(places["a unix socket"]):step(0) end
    collectgarbage()
    collectgarbage()
    assert.equal(before, descriptors())
    deaf:close()
  end)

  it("are no longer watched when they are lost a hundred times", function()
    local between = proxy.start { server = server }
    local peer = client.open { path = between.socket }
    peer:command("PING")
    local before = descriptors()
    for i = 1, 100 do
      local slot = peer:submit { { "ECHO", tostring(i) } }
      if i % 2 == 0 then peer:step(0) end
      between:cut()
      assert.same({ tostring(i) }, peer:wait(slot).replies)
    end
    assert.equal(before, descriptors())
    peer:close()
    between:stop()
  end)
end)

describe("a turn of the loop", function()
  it("waits no longer than told, and not at all with completions at hand", function()
    local peer = client.open { path = server.socket }
    peer:command("PING")
    for _, timeout_ms in ipairs { 0, 30, -5 } do
      local took_ms = elapsed_ms(function()
        assert.is_true(peer.loop:step(timeout_ms))
      end)
      assert.is_true(took_ms >= timeout_ms and took_ms < timeout_ms + 8000, took_ms)
    end
    local slot = peer:submit { { "PING" } }
    peer.engine:cancel(slot, core.now_ms())
    assert.is_true(elapsed_ms(function() peer.loop:step(5000) end) < 2000)
    peer:close()
  end)

  it("tells how many connections were lost, or could not be made", function()
    local mortal = redis_server.start()
    local peer = client.open { path = mortal.socket }
    peer:command("PING")
    mortal:kill()
    peer:submit { { "PING" } }
    -- The one that was there, and a new one that nobody accepts.
    assert(clock.wait_for(function()
      peer.loop:step(10)
      return peer.loop:losses(peer.engine) >= 2
    end))
    peer:close()
  end)

  it("ends at the next deadline, not before", function()
    local peer = client.open { path = server.socket }
    peer:command("PING")
    server:pause()
    local slot
    local took_ms = elapsed_ms(function()
      slot = peer:submit({ { "PING" } }, { timeout_ms = 40 })
      while not peer.ended[slot] do peer:step(60000) end
    end)
    server:resume()
    assert.is_true(took_ms >= 40 and took_ms < 30000, took_ms)
    assert.equal("timeout", peer.ended[slot].code)
    peer:close()
  end)

  it("raises when the loop is closed, or is asked about an engine it does not serve",
    function()
      local peer = client.open { path = server.socket }
      local loop, place = peer.loop, { path = server.socket }
      peer:command("PING")
      assert.error_matches(function() loop:attach(peer.engine, place) end,
        "the engine is attached")
      assert.error_matches(function() core.loop():losses(peer.engine) end,
        "the engine is not attached")
      assert.has_error(function() loop:attach({}, place) end)
      peer.engine:close()
      assert.is_true(loop:step(0))
      for _, call in ipairs {
        function() loop:attach(peer.engine, place) end,
        function() loop:losses(peer.engine) end,
        function() loop:wait_one(peer.engine, 0) end,
      } do
        assert.error_matches(call, "the engine is closed")
      end
      loop:close()
      for _, name in ipairs { "step", "attach", "wait_one", "losses", "fd",
        "deadline_ms" } do
        assert.error_matches(function() loop[name](loop, 0) end, "the loop is closed")
      end
    end)

  it("goes on after a signal", function()
    local peer = client.open { path = server.socket }
    peer:command("PING")
    local own = lfs.symlinkattributes("/proc/self", "target")
    local signaller = process.start {
      "sh", "-c", ("for i in 1 2 3 4 5; do kill -CONT %s; sleep 0.01; done"):format(own),
    }
    for _ = 1, 10 do assert.is_true(peer.loop:step(10)) end
    assert.equal("PONG", peer:command("PING"))
    clock.wait_for(function() return not signaller:alive() end)
    peer:close()
  end)
end)
