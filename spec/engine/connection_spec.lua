-- SPDX-License-Identifier: MIT

-- A stream that is lost, and what becomes of the operations on it.

local peer = require "spec.engine.peer"

local COUNT = 4
local REQUEST = peer.encode { "ECHO", "1" }
local REPLY = peer.bulk "1"

local function ready(config)
  local p = peer.new()
  p:start(config or {})
  p:ready()
  return p
end

-- A ready stream with COUNT operations, nothing of them sent.
local function with_operations(config, deadline_ms)
  local p = ready(config)
  for i = 1, COUNT do
    p:submit({ { "ECHO", tostring(i) } }, { deadline_ms = deadline_ms })
  end
  return p
end

-- What a new stream must carry: the kill, then the operations from `first` on.
local function resent(first, victim)
  local expected = {}
  if victim then expected[1] = "CLIENT KILL ID " .. victim end
  for i = first, COUNT do expected[#expected + 1] = "ECHO " .. i end
  return expected
end

local function lose_requests(written, change)
  local p = with_operations()
  p:write(written)
  p:closed()
  if change then change(p) end
  p:pump()
  return p, p:ends()
end

describe("a connection that is lost", function()
  it("while sending, at any byte: kills the old one, then sends all again in order",
    function()
      for written = 0, COUNT * #REQUEST do
        local p, ends = lose_requests(written)
        assert.same(resent(1, written > 0 and 1 or nil), p:operations())
        for i = 1, COUNT do
          assert.same({ tostring(i) }, ends[i].replies)
          assert.equal(written > (i - 1) * #REQUEST and 2 or 1, ends[i].attempts)
        end
        assert.equal(2, p.engine:statistics().streams)
      end
    end)

  it("while answering, at any byte: sends again what was not answered whole", function()
    local replies = ""
    for i = 1, COUNT do replies = replies .. peer.bulk(tostring(i)) end
    for length = 0, #replies do
      local p = with_operations()
      p:write()
      p:feed(replies:sub(1, length))
      p:closed()
      local answered = math.floor(length / #REPLY)
      assert.equal(answered, #p:ends())
      p:pump()
      local ends = p:ends()
      if answered < COUNT then
        assert.same(resent(answered + 1, 1), p:operations())
      else
        assert.is_nil(p:action())
        p:submit { { "PING" } }
        p:pump()
        assert.same({ "PING" }, p:operations())
      end
      for i = answered + 1, COUNT do
        assert.same({ tostring(i) }, ends[i - answered].replies)
        assert.equal(2, ends[i - answered].attempts)
      end
    end
  end)

  it("behaves so with every cut of the second stream", function()
    local result = peer.each_cut(function(p)
      p:start { scripts = { "return 1" }, password = "p" }
      p:ready()
      p:submit({ { "ECHO", "1" }, { "ECHO", "2" } })
      p:submit { { "ECHO", "3" } }
      p:write(#REQUEST + 3)
      p:closed()
      p:pump()
      return { operations = p:operations(), ends = p:ends() }
    end)
    assert.same({ "CLIENT KILL ID 1", "ECHO 1", "ECHO 2", "ECHO 3" }, result.operations)
    assert.same({ "1", "2" }, result.ends[1].replies)
    assert.equal(2, result.ends[1].attempts)
    assert.equal(1, result.ends[2].attempts)
  end)

  it("with part of an operation answered begins that one anew", function()
    local whole = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:2\r\n"
    for length = 0, #whole - 1 do
      local p = ready()
      p:submit({ { "INCR", "a" }, { "INCR", "b" } }, { atomic = true })
      p:write()
      p:feed(whole:sub(1, length))
      p:closed()
      p.answers = {
        INCR = "+QUEUED\r\n", EXEC = peer.array { peer.array { ":3\r\n" }, ":4\r\n" },
      }
      p:pump()
      assert.same({ { 3 }, 4 }, p:ended().replies)
    end
  end)

  it("sends no kill to another run of the server: its bytes died with it", function()
    local p, ends = lose_requests(1, function(p) p.run_id = peer.run_id "b" end)
    assert.same(resent(1), p:operations())
    assert.equal(COUNT, #ends)
  end)

  it("sends no operation before the kill is answered", function()
    local p = with_operations()
    p:write(1)
    p:closed()
    assert.equal("connect", p:action())
    p:connected()
    p:write()
    p:feed(":2\r\n" .. peer.info(p.run_id))
    local kill = peer.encode { "CLIENT", "KILL", "ID", "1" }
    assert.equal(kill, p.engine:next_write(0))
    p:write()
    assert.equal("", p.engine:next_write(0))
    p:feed ":1\r"
    assert.equal("", p.engine:next_write(0))
    p:feed "\n"
    assert.equal(REQUEST, p.engine:next_write(0):sub(1, #REQUEST))
  end)

  it("before the kill is answered: the next one still kills the first", function()
    local greeting = ":2\r\n" .. peer.info(peer.run_id "a") .. ":1\r\n"
    for length = 0, #greeting - 1 do
      local p = with_operations()
      p:write(1)
      p:closed()
      p:await_connect()
      p:connected()
      p:write()
      p:feed(greeting:sub(1, math.min(length, #greeting - 4)))
      p:write()
      p:feed(greeting:sub(#greeting - 3, length))
      p:closed()
      p:await_connect()
      p:connected()
      p:pump()
      -- Those that were never sent could not be: the server was not reached.
      assert.same({ "CLIENT KILL ID 1", "ECHO 1" }, p:operations())
      assert.same({ "unavailable", "unavailable", "unavailable", "ok" }, p:codes())
    end
  end)

  it("that may not be killed leaves what was sent unknown, the rest goes on", function()
    for written = 1, COUNT * #REQUEST do
      local p, ends = lose_requests(written, function(p)
        p.answers["CLIENT KILL"] = "-NOPERM this user has no permissions\r\n"
      end)
      local begun = math.ceil(written / #REQUEST)
      assert.equal(COUNT, #ends)
      for i = 1, COUNT do
        assert.equal(i <= begun and "timeout" or "ok", ends[i].code or "ok")
        if i <= begun then
          assert.equal("the connection broke and the server does not let us end it",
            ends[i].message)
        end
      end
      local expected = resent(begun + 1, 1)
      assert.same(expected, p:operations())
      assert.equal(0, p.engine:statistics().queued_bytes)
    end
  end)

  it("of which we do not know the name or the run counts as one that may not be killed",
    function()
      local UNKNOWN = { ["CLIENT ID"] = "-NOPERM\r\n", ["INFO server"] = "-NOPERM\r\n" }
      for name, answer in pairs(UNKNOWN) do
        for _, is_known_later in ipairs { true, false } do
          local p = peer.new()
          p:start {}
          p.answers[name] = answer
          p:ready()
          p:submit { { "ECHO", "1" } }
          p:submit { { "ECHO", "2" } }
          p:write(#REQUEST)
          p:closed()
          if is_known_later then p.answers = {} end
          p:pump()
          assert.same({ "timeout", "ok" }, p:codes())
          assert.same({ "ECHO 2" }, p:operations())
        end
      end
    end)

  it("to a run whose name is known, and is another now, needs no kill", function()
    local p = peer.new()
    p:start {}
    p.answers["CLIENT ID"] = "-NOPERM\r\n"
    p:ready()
    p:submit { { "ECHO", "1" } }
    p:write()
    p:closed()
    p.run_id = peer.run_id "b"
    p:pump()
    assert.same({ "ok" }, p:codes())
  end)

  it("does not send again what nobody waits for", function()
    for cancelled = 1, COUNT do
      local p = ready()
      local slots = {}
      for i = 1, COUNT do slots[i] = p:submit { { "ECHO", tostring(i) } } end
      p:write()
      p.engine:cancel(slots[cancelled], p.now_ms)
      p:closed()
      p:pump()
      local expected = resent(1, 1)
      table.remove(expected, 1 + cancelled)
      assert.same(expected, p:operations())
      assert.equal(COUNT, #p:ends())
      assert.equal(0, p.engine:statistics().queued_operations)
    end
  end)

  it("kills even when nobody waits any more: what comes later must come later", function()
    local p = with_operations()
    p:write()
    p:pass(0)
    for slot = 0, COUNT do p.engine:cancel(slot, p.now_ms) end
    p:ends()
    p:closed()
    assert.is_nil(p:action())
    p:submit { { "ECHO", "later" } }
    p:pump()
    assert.same({ "CLIENT KILL ID 1", "ECHO later" }, p:operations())
  end)

  it("counts the attempts of an operation", function()
    local p = with_operations()
    for lost = 1, 5 do
      p:write(2 * #REQUEST)
      p:closed()
      p:await_connect()
      p:connected()
      p:write()
      p:feed((":%d\r\n"):format(p.client_id) .. peer.info(p.run_id))
      local killed = peer.encode { "CLIENT", "KILL", "ID", tostring(lost) }
      assert.equal(killed, p.engine:next_write(0))
      p:write()
      p:feed ":1\r\n"
    end
    p.received[0] = ""
    p:pump()
    local attempts = {}
    for i, ended in ipairs(p:ends()) do attempts[i] = ended.attempts end
    assert.same({ 6, 6, 1, 1 }, attempts)
  end)
end)

-- Waits between half and the whole of what is said, not all at the same part of it.
local function assert_backoff(wanted, waits)
  local parts = {}
  for i, longest in ipairs(wanted) do
    assert.is_true(waits[i] >= longest / 2 and waits[i] <= longest, waits[i])
    parts[waits[i] / longest] = true
  end
  assert.is_true(#wanted == 1 or next(parts, next(parts)) ~= nil)
end

describe("a connection that cannot be made", function()
  -- Each call made a connection: a program that calls again was a storm of them for a
  -- server that was full.
  it("fails what was never sent, with the reason; the next one tries again, later",
    function()
    local p, waits = peer.new(), {}
    p:start {}
    for i = 0, 8 do
      p:submit { { "ECHO", "1" } }
      p:submit { { "ECHO", "2" } }
      if i > 0 then
        assert.is_nil(p:action())
        waits[i] = p.engine:deadline_ms() - p.now_ms
        p:pass(waits[i])
      end
      assert.equal("connect", p:action())
      p:closed "Connection refused"
      for _, ended in ipairs(p:ends()) do
        assert.equal("unavailable", ended.code)
        assert.equal("Connection refused", ended.message)
        assert.equal(0, ended.attempts)
      end
      assert.is_nil(p:action())
      assert.equal(math.huge, p.engine:deadline_ms())
      assert.equal(0, p.engine:statistics().queued_bytes)
    end
    assert_backoff({ 10, 20, 40, 80, 160, 320, 640, 1000 }, waits)
    -- When nobody has called for long, the next one does not wait.
    p:pass(1000)
    p:submit { { "ECHO", "3" } }
    assert.equal("connect", p:action())
  end)

  it("tells who cannot wait for the next attempt why the last one failed", function()
    local p = peer.new()
    p:start {}
    p.answers["CLIENT ID"] = "-NOAUTH Authentication required.\r\n"
    for _ = 1, 9 do
      p:submit { { "ECHO", "1" } }
      p:pass(math.min(p.engine:deadline_ms() - p.now_ms, 1000))
      p:pump()
      p:ends()
    end
    p:submit({ { "ECHO", "2" } }, { deadline_ms = p.now_ms + 100 })
    p:pump()
    p:pass(100)
    local ended = p:ended()
    assert.same({ "auth", "NOAUTH Authentication required.", 0 },
      { ended.code, ended.message, ended.attempts })
  end)

  -- Calls answered `loading` at once, although the server was about to serve them.
  for words, code in pairs { ["LOADING Redis is loading"] = "loading",
    ["BUSY Redis is busy"] = "server" } do
    it("for now keeps all that waits until its deadline: " .. code, function()
      local p = peer.new()
      p:start { retries = true }
      p.answers["CLIENT ID"] = "-" .. words .. "\r\n"
      p:submit({ { "ECHO", "1" } }, { deadline_ms = p.now_ms + 200 })
      p:submit { { "ECHO", "2" } }
      local waits = {}
      repeat
        p:pump()
        waits[#waits + 1] = p.engine:deadline_ms() - p.now_ms
        p:pass(waits[#waits])
        local ended = p:ends()[1]
        if ended then
          assert.same({ code, words, 0 }, { ended.code, ended.message, ended.attempts })
          break
        end
      until #waits > 20
      assert_backoff({ 10, 20, 40 }, waits)
      assert.is_true(p.now_ms < 1300)
      p.answers = {}
      p:pass(p.engine:deadline_ms() - p.now_ms)
      p:pump()
      assert.same({ "ok" }, p:codes())
    end)
  end

  it("waits no longer than its driver wants", function()
    local p, waits = peer.new(), {}
    p:start { longest_backoff_ms = 50 }
    for i = 0, 6 do
      p:submit { { "ECHO", "1" } }
      if i > 0 then
        waits[i] = p.engine:deadline_ms() - p.now_ms
        p:pass(waits[i])
      end
      assert.equal("connect", p:action())
      p:closed "Connection refused"
      p:ends()
    end
    assert_backoff({ 10, 20, 40, 50, 50, 50 }, waits)
  end)

  it("keeps what was sent, waits twice as long each time, until the deadline", function()
    local p = with_operations({ connect_timeout_ms = 1e6 }, 9000)
    p:write(#REQUEST)
    p:closed()
    local waits = {}
    while p.now_ms < 9000 do
      if p:action() == "connect" then p:closed "Connection refused" end
      waits[#waits + 1] = p.engine:deadline_ms() - p.now_ms
      p:pass(waits[#waits])
    end
    -- The first stream had answered, so the second was tried at once.
    assert_backoff({ 10, 20, 40, 80, 160, 320, 640, 1000 }, waits)
    for i = 9, #waits - 1 do assert_backoff({ 1000 }, { waits[i] }) end
    local ends = p:ends()
    for i = 1, COUNT do
      local ended = ends[i]
      assert.equal(i == COUNT and "timeout" or "unavailable", ended.code)
      assert.equal("Connection refused", ended.message)
      assert.equal(i == COUNT and 1 or 0, ended.attempts)
    end
    assert.equal(9000, p.now_ms)
    -- Nobody waits: it stops trying.
    p:pass(5000)
    if p:action() == "connect" then p:closed "Connection refused" end
    assert.equal(math.huge, p.engine:deadline_ms())
  end)

  it("waits less again once an operation was answered", function()
    local p = with_operations()
    p:write()
    p:closed()
    for _ = 1, 4 do
      assert.equal("connect", p:action())
      p:closed()
      p:pass(p.engine:deadline_ms() - p.now_ms)
    end
    p:pump()
    p:ends()
    p:submit { { "ECHO", "x" } }
    p:write()
    p:closed()
    assert.equal("connect", p:action())
    p:closed()
    assert_backoff({ 10 }, { p.engine:deadline_ms() - p.now_ms })
  end)

  it("is not tried in a hurry by a server that accepts and never answers", function()
    local p = with_operations()
    p:write()
    p:closed()
    local waits = {}
    for i = 1, 6 do
      p:greet()
      p:write()
      p:closed()
      waits[i] = p.engine:deadline_ms() - p.now_ms
      p:pass(waits[i])
    end
    assert_backoff({ 10, 20, 40, 80, 160, 320 }, waits)
  end)
end)

describe("the health of a connection", function()
  it("is doubted after health_timeout_ms without a byte while a reply is owed", function()
    local p = with_operations { health_timeout_ms = 100 }
    assert.equal(math.huge, p.engine:deadline_ms())
    p:pass(1000)
    p:write(#REQUEST)
    assert.equal(p.now_ms + 100, p.engine:deadline_ms())
    p:pass(60)
    p:write(#REQUEST)
    p:pass(39)
    assert.is_nil(p:action())
    p:feed "$1\r"
    p:pass(99)
    assert.is_nil(p:action())
    p:pass(1)
    assert.equal("close", p:action())
    p:closed()
    p:pump()
    assert.same(resent(1, 1), p:operations())
    assert.same({ "ok", "ok", "ok", "ok" }, p:codes())
  end)

  it("tells its doubt to those whose deadline comes before the next stream", function()
    local p = with_operations({ health_timeout_ms = 100 }, 1200)
    p:write()
    p:pass(100)
    assert.equal("close", p:action())
    p:closed()
    p:pass(100)
    for _, ended in ipairs(p:ends()) do
      assert.equal("timeout", ended.code)
      assert.equal("the server was silent for 100 ms", ended.message)
    end
  end)

  it("is no question when nothing is owed", function()
    local p = ready { health_timeout_ms = 100 }
    p:pass(1e6)
    assert.is_nil(p:action())
    p:submit { { "ECHO", "1" } }
    p:pump()
    assert.same({ "ok" }, p:codes())
  end)

  -- A long value over a slow line was given up and sent again for ever.
  it("is good while the socket takes the bytes of a long request", function()
    local p = ready { health_timeout_ms = 100 }
    p:submit { { "ECHO", ("x"):rep(200) } }
    for _ = 1, 20 do
      p:write(10)
      p:pass(99)
      assert.is_nil(p:action())
    end
    p:pass(1)
    assert.equal("close", p:action())
  end)
end)

describe("a server that forgot the scripts", function()
  local LOAD = "SCRIPT LOAD return 1"

  -- Answers EVALSHA with NOSCRIPT until `loads` SCRIPT LOAD came after `flush`.
  local function forgetful(p, loads)
    local missing = loads
    p.answers["SCRIPT LOAD"] = function()
      missing = missing - 1
      return peer.bulk "sha"
    end
    p.answers.EVALSHA = function(words)
      if missing > 0 then return "-NOSCRIPT No matching script. Please use EVAL.\r\n" end
      return peer.bulk(words[4])
    end
  end

  it("gets them again, and the operations in their order", function()
    local result = peer.each_cut(function(p)
      p:start { scripts = { "return 1" } }
      p:ready()
      forgetful(p, 1)
      for i = 1, 3 do p:submit { { "EVALSHA", "sha", "0", tostring(i) } } end
      p:pump()
      local commands = {}
      for i = 5, #p.commands do commands[#commands + 1] = p.commands[i] end
      return { ends = p:ends(), commands = commands }
    end)
    assert.same({ "EVALSHA sha 0 1", "EVALSHA sha 0 2", "EVALSHA sha 0 3",
      LOAD, "EVALSHA sha 0 1", "EVALSHA sha 0 2", "EVALSHA sha 0 3" },
      result.commands)
    for i = 1, 3 do
      assert.same({ tostring(i) }, result.ends[i].replies)
      assert.equal(1, result.ends[i].attempts)
    end
  end)

  it("is asked three times more, then its error stands", function()
    for loads = 0, 5 do
      local p = peer.new()
      p:start { scripts = { "return 1" } }
      p:ready()
      forgetful(p, loads)
      p:submit { { "EVALSHA", "sha", "0", "x" } }
      p:submit { { "ECHO", "other" } }
      p:pump()
      local ends = p:ends()
      local is_other_first = ends[1].replies and ends[1].replies[1] == "other"
      local script = is_other_first and ends[2] or ends[1]
      assert.equal(loads <= 3 and "ok" or "server", script.code or "ok")
      if script.code then assert.match("^NOSCRIPT", script.message) end
      assert.equal(0, p.engine:statistics().queued_operations)
    end
  end)

  it("and is lost meanwhile gets them with the greeting", function()
    local p = peer.new()
    p:start { scripts = { "return 1" } }
    p:ready()
    p:submit { { "EVALSHA", "sha", "0", "x" } }
    p:write()
    p:feed "-NOSCRIPT No matching script.\r\n"
    p:write(10)
    p:closed()
    p.answers.EVALSHA = peer.bulk "x"
    p:pump()
    assert.same({ "x" }, p:ended().replies)
    assert.same({ "CLIENT KILL ID 1", "EVALSHA sha 0 x" }, p:operations())
  end)

  it("and whose caller stops waiting gets its bytes back in order", function()
    local p = peer.new()
    p:start { scripts = { "return 1" } }
    p:ready()
    local slot = p:submit { { "EVALSHA", "sha", "0", "x" } }
    p:write()
    p:feed "-NOSCRIPT No matching script.\r\n"
    p.engine:cancel(slot, p.now_ms)
    p:submit { { "ECHO", "other" } }
    p.received[0] = ""
    p:pump()
    local ends = p:ends()
    assert.equal("cancelled", ends[1].code)
    assert.equal(0, ends[1].attempts)
    assert.same({ "other" }, ends[2].replies)
  end)

  -- The repeated operation waited for no reply at all, and took all that came after it.
  it("that we never gave: the error stands, and the next reply finds its operation",
    function()
      local p = ready()
      p.answers.EVALSHA = "-NOSCRIPT No matching script.\r\n"
      p:submit { { "EVALSHA", "sha", "0" } }
      p:submit { { "ECHO", "after" } }
      p:pump()
      local ends = p:ends()
      assert.equal("server", ends[1].code)
      assert.same({ "after" }, ends[2].replies)
    end)
end)
