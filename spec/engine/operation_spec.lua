-- SPDX-License-Identifier: MIT

-- What a caller holds: a slot, a deadline, a place within the bounds.

local peer = require "spec.engine.peer"

local REQUEST = peer.encode { "ECHO", "1" }

-- A stream that is ready, with all its replies still to come.
local function ready(config)
  local p = peer.new()
  p:start(config or {})
  p:ready()
  return p
end

describe("a deadline", function()
  it("over before anything was sent: unavailable, and no byte goes out", function()
    for _, is_connected in ipairs { false, true } do
      local p = is_connected and ready() or peer.new()
      if not is_connected then p:start {} end
      local commands = #p.commands
      p:submit({ { "ECHO", "late" } }, { deadline_ms = p.now_ms + 10 })
      p:submit { { "ECHO", "1" } }
      p:pass(9)
      assert.same({}, p:ends())
      p:pass(1)
      local ended = p:ended()
      assert.equal("unavailable", ended.code)
      assert.equal(0, ended.attempts)
      assert.equal(10, ended.elapsed_ms)
      assert.equal(1, p.engine:statistics().queued_operations)
      assert.equal(#REQUEST, p.engine:statistics().queued_bytes)
      p:pump()
      assert.same({ "1" }, p:ended().replies)
      for i = commands + 1, #p.commands do
        assert.not_equal("ECHO late", p.commands[i])
      end
    end
  end)

  -- For every number of bytes that went out of three operations.
  it("over anywhere on the way: what began to be sent is a timeout, read to its end",
    function()
      for written = 0, 3 * #REQUEST do
        local p = ready()
        local deadline_ms = p.now_ms + 10
        local place = {}
        for i = 1, 3 do
          local slot = p:submit({ { "ECHO", tostring(i) } },
            { deadline_ms = deadline_ms })
          place[slot] = i
        end
        p:submit { { "ECHO", "4" } }
        p:write(written)
        p:pass(10)
        local begun = math.ceil(written / #REQUEST)
        local late = p:ends()
        assert.equal(3, #late)
        for _, ended in ipairs(late) do
          local was_sent = place[ended.slot] <= begun
          assert.equal(was_sent and "timeout" or "unavailable", ended.code)
          assert.equal(was_sent and 1 or 0, ended.attempts)
        end
        -- Released by us, but still owed by the server.
        assert.equal(begun + 1, p.engine:statistics().queued_operations)
        assert.equal((begun + 1) * #REQUEST, p.engine:statistics().queued_bytes)
        p:submit { { "ECHO", "5" } }
        p:pump()
        assert.is_nil(p:action())
        local ends = p:ends()
        assert.same({ { "4" }, { "5" } }, { ends[1].replies, ends[2].replies })
        assert.equal(0, p.engine:statistics().queued_operations)
        local sent = {}
        for i = 1, begun do sent[i] = "ECHO " .. i end
        sent[#sent + 1], sent[#sent + 2] = "ECHO 4", "ECHO 5"
        local operations = p:operations()
        table.remove(operations, 1)
        assert.same(sent, operations)
      end
    end)

  it("over while its reply arrives: the rest is dropped and reaches nobody", function()
    local reply = peer.array { peer.bulk "late", peer.array { ":1\r\n", "+x\r\n" } }
    for at = 0, #reply do
      local p = ready()
      p:submit({ { "GET", "late" } }, { deadline_ms = p.now_ms + 10 })
      p:submit { { "ECHO", "1" } }
      p:write()
      p:feed(reply:sub(1, at))
      p:pass(10)
      assert.equal(at < #reply and "timeout" or "ok", p:codes()[1])
      p:feed(reply:sub(at + 1) .. "$1\r\n1\r\n")
      assert.same({ "1" }, p:ended().replies)
    end
  end)

  it("is what deadline_ms tells first", function()
    local p = peer.new()
    p:start { connect_timeout_ms = 500, health_timeout_ms = 100 }
    assert.equal(math.huge, p.engine:deadline_ms())
    p:submit({ { "ECHO", "1" } }, { deadline_ms = 1300 })
    p:submit({ { "ECHO", "2" } }, { deadline_ms = 1200 })
    p:submit { { "ECHO", "3" } }
    assert.equal(1200, p.engine:deadline_ms())
    p:pass(250)
    assert.equal(1300, p.engine:deadline_ms())
    p:pass(50)
    assert.equal(1500, p.engine:deadline_ms())
    assert.same({ "unavailable", "unavailable" }, p:codes())
  end)

  it("may be over already, or never", function()
    local p = ready()
    p:submit({ { "ECHO", "1" } }, { deadline_ms = -math.huge })
    p:submit({ { "ECHO", "2" } }, { deadline_ms = math.huge })
    p:pass(1e9)
    assert.same({ "unavailable" }, p:codes())
    assert.error_matches(function()
      p:submit({ { "ECHO", "3" } }, { deadline_ms = 0 / 0 })
    end, "not a number")
    p:pump()
    assert.same({ "ok" }, p:codes())
  end)

  -- Each one cut out of the queue moved all bytes behind it.
  it("of many at once takes no more than a moment", function()
    local p = peer.new()
    p:start { max_operations = 30000, max_queued_bytes = 1e9 }
    local value = ("x"):rep(4000)
    for i = 1, 20000 do
      p:submit({ { "SET", "k", value } }, { deadline_ms = i % 10 == 0 and 3000 or 2000 })
    end
    local began = os.clock()
    p.engine:on_time(2000)
    assert.is_true(os.clock() - began < 1)
    assert.equal(18000, #p:ends())
    assert.equal(2000, p.engine:statistics().queued_operations)
  end)
end)

describe("a cancel", function()
  it("of what was not sent takes it back", function()
    local p = ready()
    local slot = p:submit { { "ECHO", "no" } }
    p:submit { { "ECHO", "1" } }
    p.engine:cancel(slot, p.now_ms)
    local ended = p:ended()
    assert.equal(slot, ended.slot)
    assert.equal("cancelled", ended.code)
    assert.equal(0, ended.attempts)
    p:pump()
    assert.same({ "PING", "ECHO 1" }, p:operations())
    assert.same({ "1" }, p:ended().replies)
  end)

  it("anywhere on the way keeps the order of the others", function()
    for written = 0, 3 * #REQUEST do
      for which = 1, 3 do
        local p = ready()
        local slots = {}
        for i = 1, 3 do slots[i] = p:submit { { "ECHO", tostring(i) } } end
        p:write(written)
        p.engine:cancel(slots[which], p.now_ms)
        assert.is_true(p.engine:validate())
        assert.same({ "cancelled" }, p:codes())
        p:pump()
        local replies = {}
        for i, ended in ipairs(p:ends()) do replies[i] = ended.replies[1] end
        local expected = { "1", "2", "3" }
        table.remove(expected, which)
        assert.same(expected, replies)
        local was_sent = written > (which - 1) * #REQUEST
        assert.equal(was_sent and 4 or 3, #p:operations())
      end
    end
  end)

  it("of what has ended, or of no operation, has no effect", function()
    local p = ready()
    local slot = p:submit { { "ECHO", "1" } }
    p:pump()
    p.engine:cancel(slot, p.now_ms)
    assert.same({ "ok" }, p:codes())
    p.engine:cancel(slot, p.now_ms)
    p.engine:cancel(12345, p.now_ms)
    assert.same({}, p:ends())
    slot = p:submit { { "ECHO", "2" } }
    p:write()
    p.engine:cancel(slot, p.now_ms)
    p.engine:cancel(slot, p.now_ms)
    assert.same({ "cancelled" }, p:codes())
  end)
end)

describe("a slot", function()
  it("is used again only when released and no reply is owed to it", function()
    local p = ready()
    local function submit() return p:submit { { "ECHO", "x" } } end
    local first = submit()
    p:write()
    p.engine:cancel(first, p.now_ms)
    local second = submit()
    assert.not_equal(first, second)
    assert.equal(first, (p.engine:next_completion()))
    p.engine:release(first)
    assert.not_equal(first, submit())
    p:pump()
    assert.equal(first, submit())
    p:pump()
    p:ends()
  end)

  it("that nobody releases is not used again", function()
    local p = ready()
    local seen = {}
    for _ = 1, 20 do
      local slot = p:submit { { "ECHO", "x" } }
      p:pump()
      assert.equal(slot, (p.engine:next_completion()))
      assert.is_nil(seen[slot])
      seen[slot] = true
    end
    assert.equal(20, p.engine:statistics().queued_operations)
    for slot in pairs(seen) do p.engine:release(slot) end
    assert.equal(0, p.engine:statistics().queued_operations)
  end)

  -- The deadline of a slot that was let go kept on_time in an endless loop.
  it("may be let go before its end: the operation takes effect and nobody is told",
    function()
      local p = ready()
      for i = 1, 3 do
        local slot = p:submit({ { "ECHO", tostring(i) } },
          { deadline_ms = p.now_ms + 10 })
        if i == 2 then p:write() end
        p.engine:release(slot)
        p.engine:release(slot)
      end
      assert.equal(3, p.engine:statistics().queued_operations)
      p:pass(1000)
      p:pump()
      assert.same({ "PING", "ECHO 1", "ECHO 2", "ECHO 3" }, p:operations())
      assert.same({}, p:ends())
      assert.equal(0, p.engine:statistics().queued_operations)
    end)

  it("may be let go with its completion not pulled yet", function()
    local p = ready()
    local slot = p:submit { { "ECHO", "1" } }
    p:write()
    p.engine:cancel(slot, p.now_ms)
    p.engine:release(slot)
    assert.is_nil((p.engine:next_completion()))
    slot = p:submit { { "ECHO", "2" } }
    p:pump()
    p.engine:release(slot)
    assert.is_nil((p.engine:next_completion()))
    assert.equal(0, p.engine:statistics().queued_operations)
  end)
end)

describe("a bound", function()
  it("on operations counts what waits, what is owed and what is not released", function()
    local p = ready { max_operations = 3 }
    local function submit() return p.engine:submit(p.now_ms, p.now_ms + 10, false,
      { { "ECHO", "x" } }) end
    local slots = { submit(), submit(), submit() }
    local function refused()
      local before = p.engine:statistics()
      local slot, message, code = submit()
      assert.is_nil(slot)
      assert.equal("overloaded", code)
      assert.equal("the queue is full; nothing was sent", message)
      assert.same(before, p.engine:statistics())
      assert.is_true(p.engine:validate())
    end
    assert.equal(3, #slots)
    refused()
    p:write()
    refused()
    p:pass(10)
    refused()
    assert.same({ "timeout", "timeout", "timeout" }, p:codes())
    refused()
    p:pump()
    assert.is_number(submit())
  end)

  it("on bytes is exact, counts the request itself, and changes nothing", function()
    local p = ready { max_queued_bytes = 3 * #REQUEST }
    local function submit(text, is_atomic)
      return p.engine:submit(p.now_ms, math.huge, is_atomic or false,
        { { "ECHO", text } })
    end
    assert.is_number(submit "1")
    assert.is_number(submit "2")
    local before, bytes = p.engine:statistics(), p.engine:next_write(0)
    for _, refused in ipairs { { "33" }, { "3", true }, { ("x"):rep(10000) } } do
      local slot, _, code = submit(unpack(refused))
      assert.is_nil(slot)
      assert.equal("overloaded", code)
      local after = p.engine:statistics()
      after.memory_bytes = before.memory_bytes
      assert.same(before, after)
      assert.equal(bytes, p.engine:next_write(0))
      assert.is_true(p.engine:validate())
    end
    assert.is_number(submit "3")
    assert.is_nil((submit ""))
    p:pump()
    assert.same({ "ok", "ok", "ok" }, p:codes())
    assert.is_number(submit "4")
  end)
end)

describe("submit", function()
  it("raises for what is no list of lists of strings, and changes nothing", function()
    local p = ready()
    local before = p.engine:statistics()
    for _, wrong in ipairs {
      { {} }, { { {} } }, { { "PING" } }, { { { "ECHO", 1 } } },
      { { { "ECHO", false } } }, { { { "PING" }, {} } },
      { { { "PING" }, { "ECHO", {} } } }, { "PING" },
    } do
      assert.has_error(function()
        p.engine:submit(p.now_ms, math.huge, false, wrong[1])
      end)
      assert.same(before, p.engine:statistics())
    end
    p:submit { { "ECHO", "1" } }
    p:pump()
    assert.same({ "ok" }, p:codes())
  end)

  it("raises on a closed engine, as all does", function()
    local p = ready()
    p.engine:close()
    p.engine:close()
    assert.error_matches(function() p:submit { { "PING" } } end, "the engine is closed")
    assert.error_matches(function() p.engine:on_time(1) end, "the engine is closed")
  end)
end)
