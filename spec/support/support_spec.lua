-- SPDX-License-Identifier: MIT

-- The test support tests itself: what every other spec leans on.

local lfs = require "lfs"

local clock = require "spec.support.clock"
local fixture = require "spec.support.fixture"
local process = require "spec.support.process"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local resp_client = require "spec.support.resp_client"
local temporary = require "spec.support.temporary"

local ALL_BYTES = {}
for byte = 0, 255 do
  ALL_BYTES[byte + 1] = string.char(byte)
end
ALL_BYTES = table.concat(ALL_BYTES)

-- Ways a program with `local pid` may end.
local ENDINGS = { "os.exit(0)", "error('no')", "os.execute('kill -KILL ' .. pid)" }

local function is_running(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then
    return false
  end
  local text = file:read("*a")  -- nil when it ended in this very moment
  file:close()
  local state = text and text:match("%) (%a)") or "X"
  return state ~= "Z" and state ~= "X"
end

-- Runs a Lua program with the support in a process of its own.
local function run_lua(text, command)
  command = command or {}
  local path = temporary.file("package.path = './?.lua;' .. package.path\n" .. text)
  command[1], command[2] = "luajit", path
  return process.run(command)
end

-- Runs busted on one spec file with the given text.
local function run_busted(text, ...)
  local path = temporary.file(text, "some_spec.lua")
  return process.run {
    arg[-1], arg[0], path, timeout_ms = 30000,
    env = { SPEC_SHARE = false, SPEC_REPORT = false, SLOWEST = false }, ...,
  }
end

describe("the count line", function()
  local function count_of(text, ...)
    local code, output = run_busted(text, ...)
    return output:match("([^\n]*)\n$"), code
  end

  it("counts what passed", function()
    local line, code = count_of [[it("a", function() end) it("b", function() end)]]
    assert.equal("2 passed, 0 failed", line)
    assert.equal(0, code)
  end)

  it("counts failures and errors as failed, and what was skipped", function()
    local line, code = count_of [[
      it("a", function() end)
      it("b", function() assert.is_true(false) end)
      it("c", function() error("no") end)
      local skip = pending skip("d")
    ]]
    assert.equal("1 passed, 2 failed, 1 skipped", line)
    assert.not_equal(0, code)
  end)

  it("counts a file that does not load as failed", function()
    local line, code = count_of [[it("a", function() end]]
    assert.equal("0 passed, 1 failed", line)
    assert.not_equal(0, code)
    line, code = count_of [[error("at load")]]
    assert.equal("0 passed, 1 failed", line)
    assert.not_equal(0, code)
  end)

  it("counts an error in a teardown as failed", function()
    local line, code = count_of [[
      teardown(function() error("no") end)
      it("a", function() end)
    ]]
    assert.equal("1 passed, 1 failed", line)
    assert.not_equal(0, code)
  end)

  it("counts a test whose before_each fails once", function()
    local line, code = count_of [[
      before_each(function() error("no") end)
      it("a", function() end)
    ]]
    assert.equal("0 passed, 1 failed", line)
    assert.not_equal(0, code)
  end)

  it("is there when no test ran", function()
    local line, code = count_of [[local _ = nil]]
    assert.equal("0 passed, 0 failed", line)
    assert.equal(0, code)
  end)

  it("adds up repeated runs", function()
    local line = count_of([[it("a", function() end)]], "--repeat=3")
    assert.equal("3 passed, 0 failed", line)
  end)

  it("is missing when a spec ends the program", function()
    local line, code = count_of [[it("a", function() os.exit(0) end)]]
    assert.not_match("passed", line or "")
    assert.equal(0, code)
  end)

  it("comes after the seed when a random choice was made and something failed", function()
    local _, output = run_busted [[
      local rng = require("spec.support.random").new(nil)
      it("a", function() assert.equal(-1, rng.seed) end)
    ]]
    assert.match("\nSEED=%d+ [^\n]*\n\n0 passed, 1 failed\n$", output)
  end)
end)

describe("a temporary directory", function()
  it("is empty, new and short enough for a unix socket", function()
    local path, other = temporary.directory(), temporary.directory()
    assert.equal("directory", lfs.attributes(path, "mode"))
    assert.not_equal(path, other)
    assert.is_true(#path < 80)
  end)

  for _, ending in ipairs(ENDINGS) do
    it("is gone after " .. ending, function()
      local _, path = run_lua(([[
        local temporary = require "spec.support.temporary"
        local pid = io.open("/proc/self/stat"):read("*n")
        local path = temporary.directory()
        io.open(path .. "/file", "w"):close()
        io.write(path) io.flush()
        %s
      ]]):format(ending))
      assert.match("^/.+", path)
      assert.is_true(clock.wait_for(function() return not lfs.attributes(path) end))
    end)
  end
end)

describe("running a program", function()
  it("tells its exit code and what it wrote", function()
    local code, out, err = process.run { "sh", "-c", "echo out; echo err >&2; exit 7" }
    assert.same({ 7, "out\n", "err\n" }, { code, out, err })
    assert.equal(0, (process.run { "true" }))
    assert.equal(1, (process.run { "false" }))
    assert.equal(255, (process.run { "sh", "-c", "exit 255" }))
  end)

  it("tells a signal and a missing program apart from exit codes", function()
    assert.equal(137, (process.run { "sh", "-c", "kill -KILL $$" }))
    assert.equal(127, (process.run { "no-such-program" }))
  end)

  it("passes arguments untouched", function()
    local arguments = { "a b", "it's", '"$HOME"', "*", "", "-n", "\n", "\\", "\195\169" }
    local _, out = process.run { "printf", "%s|", unpack(arguments) }
    assert.equal(table.concat(arguments, "|") .. "|", out)
  end)

  it("passes every byte through stdin and stdout", function()
    local _, out = process.run { "cat", stdin = ALL_BYTES }
    assert.equal(ALL_BYTES, out)
  end)

  it("sets and unsets the environment, and the directory", function()
    local _, out = process.run {
      "sh", "-c", "echo $A ${HOME-unset} $(pwd)",
      env = { A = "it's", HOME = false }, cwd = "/usr",
    }
    assert.equal("it's unset /usr\n", out)
  end)

  it("ends it when the time is over", function()
    assert.equal(124, (process.run { "sleep", "10", timeout_ms = 50 }))
  end)

  it("lets it die of SIGPIPE as in a shell", function()
    local _, out = process.run { "sh", "-c", "{ sleep 0.1; yes; } | true; kill -PIPE $$" }
    assert.equal("", out)
  end)
end)

describe("a program in the background", function()
  it("has a pid, output, and an end", function()
    local handle = process.start { "sh", "-c", "echo $$; exec sleep 10" }
    assert.is_true(handle:alive())
    clock.wait_for(function() return handle:output() ~= "" end)
    assert.equal(handle:pid(), tonumber(handle:output()))
    assert.equal(143, handle:stop())
    assert.is_false(handle:alive())
    assert.is_false(is_running(handle:pid()))
  end)

  it("tells how it ended by itself", function()
    assert.equal(3, process.start({ "sh", "-c", "exit 3" }):wait())
    assert.equal(127, process.start({ "no-such-program" }):wait())
  end)

  it("can be killed, paused and resumed", function()
    local handle = process.start { "sleep", "10" }
    handle:signal("STOP")
    assert.is_true(handle:alive())
    handle:signal("CONT")
    handle:signal("KILL")
    assert.equal(137, handle:wait())
  end)

  it("can be stopped while paused, and when it ignores TERM in the end too", function()
    local handle = process.start { "sleep", "10" }
    handle:signal("STOP")
    assert.equal(143, handle:stop())
  end)

  it("takes its own children with it", function()
    local handle = process.start { "sh", "-c", "sleep 30 & echo $!; wait" }
    local grandchild = clock.wait_for(function() return tonumber(handle:output()) end)
    handle:signal("KILL")
    handle:wait()
    assert.is_true(is_running(grandchild))
    handle:kill()
    assert.is_true(clock.wait_for(function() return not is_running(grandchild) end))
  end)
end)

describe("a redis server", function()
  local server

  setup(function()
    server = redis_server.start { tcp = true }
  end)

  teardown(function()
    server:stop()
  end)

  it("listens on its socket and its port", function()
    assert.equal("unix://" .. server.socket, server.url)
    for _, address in ipairs { { socket = server.socket }, { port = server.port } } do
      local client = assert(resp_client.connect(address))
      assert.equal("PONG", client:command("PING"))
      client:close()
    end
  end)

  it("passes every byte in both directions", function()
    server:command("HSET", ALL_BYTES, "\0", ALL_BYTES)
    assert.equal(ALL_BYTES, server:command("HGET", ALL_BYTES, "\0"))
    assert.equal(256, server:command("HSTRLEN", ALL_BYTES, "\0"))
    local long = ALL_BYTES:rep(8192)
    server:command("SET", "long", long)
    assert.is_true(long == server:command("GET", "long"))
  end)

  it("shows null, errors and nested replies as they are", function()
    assert.is_false(server:command("GET", "none"))
    server:command("SET", "text", "a")
    local reply, message = server:command("HGET", "text", "field")
    assert.is_nil(reply)
    assert.match("^WRONGTYPE", message)
    assert.same({ 1, { "a", { false } }, {} },
      server:command("EVAL", "return {1, {'a', {false}}, {}}", 0))
  end)

  it("keeps the replies of a pipeline apart, errors too", function()
    local replies = server:pipeline {
      { "MULTI" }, { "HGET", "text", "f" }, { "GET", "text" }, { "EXEC" }, { "NO" },
    }
    assert.same({ "OK", "QUEUED", "QUEUED" }, { unpack(replies, 1, 3) })
    assert.match("^WRONGTYPE", replies[4][1].err)
    assert.equal("a", replies[4][2])
    assert.match("^ERR unknown command", replies[5].err)
  end)

  it("is asked on a new connection after a CLIENT KILL", function()
    server:command("PING")
    local killer = server:connect()
    killer:command("CLIENT", "KILL", "TYPE", "normal")
    assert.equal("PONG", server:command("PING"))
  end)

  it("answers nothing while paused", function()
    server:pause()
    local client = assert(resp_client.connect(server))
    client:send { { "PING" } }
    clock.sleep(50)
    client.stream:settimeout(0)
    assert.is_false((pcall(client.receive, client)))
    client.stream:settimeout(5)
    server:resume()
    assert.equal("PONG", client:receive())
    client:close()
  end)

  it("forgets over a restart unless told to persist", function()
    server:command("SET", "a", "1")
    server:restart()
    assert.is_false(server:command("GET", "a"))
    local keeper = redis_server.start { config = { appendonly = "yes" } }
    keeper:command("SET", "a", "1")
    keeper:restart()
    assert.equal("1", keeper:command("GET", "a"))
    keeper:kill()
    assert.is_false(keeper:alive())
    keeper:restart()
    assert.equal("1", keeper:command("GET", "a"))
    keeper:stop()
  end)

  it("may have a password", function()
    local closed = redis_server.start { password = 'pass"word\\' }
    assert.equal("PONG", closed:command("PING"))
    local client = assert(resp_client.connect { socket = closed.socket })
    assert.match("^NOAUTH", select(2, client:command("PING")))
    closed:stop()
  end)

  it("says why it did not start", function()
    assert.error_matches(function()
      redis_server.start { config = { ["no-such-option"] = "1" } }
    end, "no%-such%-option")
  end)

  it("may run without a unix socket", function()
    local bare = redis_server.start { tcp = true, unix = false }
    assert.equal("redis://127.0.0.1:" .. bare.port, bare.url)
    assert.equal("PONG", bare:command("PING"))
    bare:stop()
  end)

  for _, ending in ipairs(ENDINGS) do
    it("dies with its spec, after " .. ending, function()
      local _, out = run_lua(([[
        local redis_server = require "spec.support.redis_server"
        local pid = io.open("/proc/self/stat"):read("*n")
        local server = redis_server.start()
        print(server.process:pid(), server.directory) io.flush()
        server:pause()
        %s
      ]]):format(ending))
      local pid, directory = out:match("^(%d+)%s+(%S+)")
      assert.is_string(pid)
      assert.is_true(clock.wait_for(function()
        return not is_running(pid) and not lfs.attributes(directory)
      end))
    end)
  end
end)

local COMMAND = resp_client.encode { "APPEND", "key", "value" }

for _, tcp in ipairs { false, true } do
  describe("a proxy on a " .. (tcp and "port" or "unix socket"), function()
    local server, between, client

    setup(function()
      server = redis_server.start { tcp = true }
      between = proxy.start { server = server, tcp = tcp, count = "APPEND" }
    end)

    teardown(function()
      between:stop()
      server:stop()
    end)

    before_each(function()
      server:command("FLUSHALL")
      between:pass()
      client = assert(resp_client.connect(between))
    end)

    after_each(function()
      client:close()
    end)

    -- What the client still gets until the connection ends, or nil when it does not end.
    -- (luasocket does not tell a reset from an orderly end.)
    local function read_rest()
      client.stream:settimeout(5)
      local text, message, partial = client.stream:receive("*a")
      return text or (message == "closed" and partial) or nil
    end

    it("passes everything, large and pipelined", function()
      local large = ALL_BYTES:rep(20000)
      local replies = client:pipeline { { "SET", "a", large }, { "GET", "a" }, { "NO" } }
      assert.is_true(large == replies[2])
      assert.match("^ERR", replies[3].err)
    end)

    it("hands exactly n bytes to the server and cuts", function()
      for n = 0, #COMMAND do
        local before = between:stats()
        between:cut_request { after_bytes = n, settle_ms = n == #COMMAND and 20 or 0 }
        client.stream:send(COMMAND)
        assert.equal("", read_rest())
        local after = between:stats()
        assert.equal(n, after.request_bytes - before.request_bytes)
        assert.equal(1, after.cuts - before.cuts)
        assert.equal(n == #COMMAND and 1 or 0, server:command("EXISTS", "key"))
        client:close()
        client = assert(resp_client.connect(between))
      end
      assert.equal(10, client:command("APPEND", "key", "value"))
    end)

    it("counts from the first byte of a marker, wherever the writes end", function()
      local marker = "APPEND"
      local from = COMMAND:find(marker, 1, true)
      for piece = 1, #COMMAND do
        local before = between:stats()
        between:cut_request { from = marker, after_bytes = 2 }
        client:command("PING")
        client.stream:send(COMMAND:sub(1, piece))
        clock.sleep(2)
        client.stream:send(COMMAND:sub(piece + 1))
        read_rest()
        local passed = between:stats().request_bytes - before.request_bytes
        assert.equal(#resp_client.encode { "PING" } + from - 1 + 2, passed)
        client:close()
        client = assert(resp_client.connect(between))
      end
    end)

    it("cuts a reply after n bytes, the command being applied", function()
      for n = 0, 4 do
        server:command("DEL", "key")
        between:cut_reply { after_bytes = n }
        client.stream:send(COMMAND)
        assert.equal((":5\r\n"):sub(1, n), read_rest())
        assert.equal("value", server:command("GET", "key"))
        client:close()
        client = assert(resp_client.connect(between))
      end
    end)

    it("cuts the reply to a marker or at a marker in the replies", function()
      between:cut_reply { from = "APPEND", after_bytes = 1 }
      assert.equal("PONG", client:command("PING"))
      client.stream:send(COMMAND)
      assert.equal(":", read_rest())
      client:close()
      client = assert(resp_client.connect(between))
      between:cut_reply { reply_from = "cut here", after_bytes = 3 }
      client:send { { "ECHO", "first" }, { "ECHO", "cut here" } }
      assert.equal("$5\r\nfirst\r\n$8\r\ncut", read_rest())
    end)

    it("leaves other connections alone", function()
      local other = assert(resp_client.connect(between))
      other:command("PING")
      between:cut_request { connection = between:stats().connections, after_bytes = 0 }
      assert.equal("PONG", client:command("PING"))
      other:send { { "PING" } }
      assert.is_false((pcall(other.receive, other)))
      assert.equal("PONG", client:command("PING"))
      other:close()
    end)

    it("closes in one way or the other", function()
      for _, how in ipairs { "fin", "rst" } do
        between:cut_request { after_bytes = 3, how = how }
        client.stream:send(COMMAND)
        assert.equal("", read_rest())
        client:close()
        client = assert(resp_client.connect(between))
      end
    end)

    it("loses the client, and brings what it had sent later", function()
      client:command "PING"
      between:hold { direction = "request" }
      local large = ("x"):rep(100000)
      client:send { { "APPEND", "key", "value" }, { "SET", "large", large } }
      between:lose { late_ms = 50 }
      assert.equal("", read_rest())
      between:pass()
      client:close()
      client = assert(resp_client.connect(between))
      assert.equal(0, client:command("EXISTS", "key"))
      assert.is_true(clock.wait_for(function() return server:command("GET", "large") end)
        == large)
      assert.equal("value", server:command("GET", "key"))
      assert.is_true(clock.wait_for(function() return between:stats().open == 1 end))
    end)

    it("brings nothing later of a lost client that the server has closed", function()
      local id = client:command("CLIENT", "ID")
      between:hold { direction = "request" }
      client.stream:send(COMMAND)
      between:lose { late_ms = 60 }
      assert.equal("", read_rest())
      between:pass()
      assert.equal(1, server:command("CLIENT", "KILL", "ID", id))
      assert.is_true(clock.wait_for(function() return between:stats().open == 0 end))
      clock.sleep(100)
      assert.equal(0, server:command("EXISTS", "key"))
    end)

    it("delays what it is told to", function()
      for direction, rounds in pairs { request = 1, reply = 1, both = 2 } do
        between:delay(20, { direction = direction })
        local began_ms = clock.now_ms()
        client:command "PING"
        assert.is_true(clock.now_ms() - began_ms >= 20 * rounds - 1)
        between:pass()
      end
    end)

    it("cuts everything at once when told", function()
      client:command("PING")
      between:cut()
      assert.is_false(client:is_open())
      assert.equal(0, between:stats().open)
    end)

    it("holds what arrives until it may pass", function()
      between:hold { direction = "reply" }
      client.stream:send(COMMAND)
      assert.is_true(clock.wait_for(function()
        return server:command("GET", "key") == "value"
      end))
      clock.sleep(20)
      client.stream:settimeout(0)
      assert.equal("timeout", select(2, client.stream:receive(1)))
      client.stream:settimeout(5)
      between:hold()
      client.stream:send(COMMAND)
      clock.sleep(50)
      assert.equal("value", server:command("GET", "key"))
      between:pass()
      assert.equal(5, client:receive())
      assert.equal(10, client:receive())
    end)

    it("holds and cuts those that have sent something, and no others", function()
      local other = assert(resp_client.connect(between))
      between:count "SUBSCRIBE"
      between:hold { direction = "reply", sent = "SUBSCRIBE" }
      other:command "PING"
      other:send { { "SUBSCRIBE", "news" } }
      assert.is_true(clock.wait_for(function()
        return server:command("PUBSUB", "CHANNELS")[1] == "news"
      end))
      assert.equal("PONG", client:command "PING")
      other.stream:settimeout(0)
      assert.equal("timeout", select(2, other.stream:receive(1)))
      other.stream:settimeout(5)
      between:release { sent = "SUBSCRIBE" }
      assert.same({ "subscribe", "news", 1 }, other:receive())
      between:cut { sent = "SUBSCRIBE" }
      assert.is_false(other:is_open())
      assert.equal("PONG", client:command "PING")
      other:close()
      assert.error_matches(function() between:hold { sent = "never" } end,
        "sent is not counted")
    end)

    it("hands the server other requests than were sent, wherever they are cut",
      function()
        between:replace { from = "APPEND", to = "GETSET" }
        for piece = 1, #COMMAND do
          server:command("SET", "key", "before")
          for at = 1, #COMMAND, piece do
            client.stream:send(COMMAND:sub(at, at + piece - 1))
          end
          assert.equal("before", client:receive())
        end
        between:pass()
        client.stream:send(COMMAND)
        assert.equal(10, client:receive())
      end)

    it("delays replies", function()
      between:delay(60)
      local began_ms = clock.now_ms()
      client:command("PING")
      assert.is_true(clock.now_ms() - began_ms >= 59)
    end)

    it("refuses new connections and accepts them again", function()
      client:command("PING")
      between:refuse()
      assert.is_nil((resp_client.connect(between)))
      assert.equal("PONG", client:command("PING"))
      between:pass()
      local other = assert(resp_client.connect(between))
      assert.equal("PONG", other:command("PING"))
      other:close()
    end)

    it("counts byte strings that were handed on whole", function()
      local before = between:stats().counts.APPEND
      between:count(ALL_BYTES)
      for piece = 1, #COMMAND do
        client.stream:send(COMMAND:sub(1, piece))
        clock.sleep(1)
        client.stream:send(COMMAND:sub(piece + 1))
        client:receive()
      end
      client:command("SET", "a", ALL_BYTES .. ALL_BYTES)
      local counts = between:stats().counts
      assert.equal(#COMMAND, counts.APPEND - before)
      assert.equal(2, counts[ALL_BYTES])
    end)

    it("ends a client's connection when the server is gone", function()
      client:command("PING")
      server:kill()
      assert.equal("", read_rest())
      server:restart()
      client:close()
      client = assert(resp_client.connect(between))
      assert.equal("PONG", client:command("PING"))
    end)

    it("rejects a misspelt option", function()
      assert.error_matches(function()
        between:cut_request { after_byte = 1 }
      end, "no option after_byte")
    end)
  end)
end

describe("a fixture", function()
  local path = temporary.directory()

  setup(function()
    for _, name in ipairs { "lines.txt", "packed.txt" } do
      local file = assert(io.open(path .. "/" .. name, "wb"))
      file:write("one\n\ntwo\r\n", ALL_BYTES)
      file:close()
    end
    assert.equal(0, (process.run { "gzip", path .. "/packed.txt" }))
  end)

  it("is read whole, packed or not", function()
    local up = ("../"):rep(20)
    for _, name in ipairs { "/lines.txt", "/packed.txt.gz" } do
      assert.equal("one\n\ntwo\r\n" .. ALL_BYTES, fixture.read(up .. path .. name))
      assert.same({ "one", "", "two\r" },
        { unpack(fixture.lines(up .. path .. name), 1, 3) })
    end
  end)
end)

describe("random choices", function()
  it("repeat with the seed", function()
    local one, two, three = random.new(1), random.new(1), random.new(2)
    assert.equal(1, one.seed)
    local text = one:bytes(100)
    assert.equal(text, two:bytes(100))
    assert.not_equal(text, three:bytes(100))
  end)

  it("reach every value of a range and nothing else", function()
    local rng = random.new(3)
    local seen = {}
    for _ = 1, 2000 do
      seen[rng:integer(-2, 2)] = true
    end
    assert.same({ [-2] = true, [-1] = true, [0] = true, [1] = true, [2] = true }, seen)
    local bytes = {}
    for char in rng:bytes(10000):gmatch(".") do
      bytes[char] = true
    end
    assert.is_true(bytes["\255"])
  end)

  it("take the seed from the environment", function()
    local _, out = run_lua([[
      local random = require "spec.support.random"
      print(random.new().seed, random.new():word() == random.new(77):word())
    ]], { env = { SEED = "77" } })
    assert.equal("77\ttrue\n", out)
  end)

  it("are made more often when the environment says so", function()
    local text = [[io.write(require "spec.support.random".rounds(5))]]
    local _, usual = run_lua(text, { env = { RANDOM_ROUNDS = false } })
    local _, more = run_lua(text, { env = { RANDOM_ROUNDS = "10" } })
    assert.equal("5", usual)
    assert.equal("50", more)
  end)
end)
