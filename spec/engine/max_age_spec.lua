-- SPDX-License-Identifier: MIT

-- A stream that is older than max_age_ms is replaced by a new one, and nobody notices.

local peer = require "spec.engine.peer"

local MAX_AGE_MS = 1000
local REQUEST = peer.encode { "ECHO", "1" }
local REPLY = peer.bulk "1"

local function ready(config)
  local p = peer.new()
  config = config or {}
  config.max_age_ms = MAX_AGE_MS
  p:start(config)
  p:ready()
  p:forget_commands()
  return p
end

-- Submits COUNT echoes; returns what they must answer.
local COUNT = 4
local function submit(p)
  local expected = {}
  for i = 1, COUNT do
    p:submit { { "ECHO", tostring(i) } }
    expected[i] = { tostring(i) }
  end
  return expected
end

local function replies(p)
  local list = {}
  for i, ended in ipairs(p:ends()) do
    assert(ended.code == nil, ended.message)
    list[i] = ended.replies
  end
  return list
end

describe("a stream that reached max_age_ms", function()
  it("sends what it has begun, waits for its replies, and is replaced: no kill, nothing "
    .. "lost or doubled", function()
      for written = 0, COUNT * #REQUEST do
        local p = ready()
        p:pass(MAX_AGE_MS - 1)
        local expected = submit(p)
        p:write(written)
        assert.is_nil(p:action())
        p:pass(1)
        local begun = math.ceil(written / #REQUEST)
        assert.equal(begun * #REQUEST - written, p:write())
        assert.equal(begun == 0 and "close" or nil, p:action())
        for i = 1, begun do
          p:feed(peer.bulk(tostring(i)))
          assert.equal(i == begun and "close" or nil, p:action())
        end
        assert.equal("", p.engine:next_write(0))
        p.received[0] = ""
        p:closed "closed"
        p:pump()
        assert.same(expected, replies(p))
        local operations = p:operations()
        for i = 1, COUNT - begun do assert.equal("ECHO " .. begun + i, operations[i]) end
        assert.equal(begun < COUNT and 2 or 1, p.engine:statistics().streams)
        assert.equal(0, p.engine:statistics().queued_operations)
      end
    end)

  it("behaves so with every cut", function()
    local result = peer.each_cut(function(p)
      p:start { max_age_ms = MAX_AGE_MS }
      p:ready()
      local expected = submit(p)
      p:write(2 * #REQUEST)
      p:pass(MAX_AGE_MS)
      p:pump()
      return { same = expected, replies = replies(p), commands = p.commands }
    end)
    assert.same(result.same, result.replies)
    assert.same({
      "CLIENT ID", "INFO server", "PING", "ECHO 1", "ECHO 2",
      "CLIENT ID", "INFO server", "ECHO 3", "ECHO 4",
    }, result.commands)
  end)

  it("that has nothing to do is closed; a new one is made when it is needed", function()
    local p = ready()
    assert.equal(p.now_ms + MAX_AGE_MS, p.engine:deadline_ms())
    p:pass(MAX_AGE_MS)
    assert.equal("close", p:action())
    p:closed "closed"
    assert.is_nil(p:action())
    assert.equal(math.huge, p.engine:deadline_ms())
    p:submit { { "ECHO", "later" } }
    p:pump()
    assert.same({ { "later" } }, replies(p))
    assert.same({ "ECHO later" }, p:operations())
    assert.equal(p.now_ms + MAX_AGE_MS, p.engine:deadline_ms())
  end)

  it("takes nothing new while it waits for its last replies", function()
    local p = ready()
    p:submit { { "ECHO", "1" } }
    p:write()
    p:pass(MAX_AGE_MS)
    p:submit { { "ECHO", "2" } }
    assert.equal("", p.engine:next_write(0))
    p:feed(REPLY)
    assert.equal("close", p:action())
    p:closed "closed"
    p:pump()
    assert.same({ { "1" }, { "2" } }, replies(p))
    assert.same({ "ECHO 2" }, p:operations())
  end)

  it("and is silent meanwhile is lost like any other: it is killed first", function()
    local p = ready { health_timeout_ms = 100 }
    p:submit { { "ECHO", "1" } }
    p:write()
    p:pass(50)
    p:pass(MAX_AGE_MS - 50 - 1)
    assert.equal("close", p:action())
    p:closed "closed"
    p:pump()
    assert.same({ { "1" } }, replies(p))
    assert.same({ "CLIENT KILL ID 1", "ECHO 1" }, p:operations())
  end)

  it("and whose caller gave up is replaced once the reply came", function()
    local p = ready()
    local slot = p:submit { { "ECHO", "1" } }
    p:write()
    p.engine:cancel(slot, p.now_ms)
    p:pass(MAX_AGE_MS)
    assert.is_nil(p:action())
    p:feed(REPLY)
    assert.equal("close", p:action())
    assert.same({ "cancelled" }, p:codes())
  end)

  it("is not replaced by one that was made before: its age counts from its greeting",
    function()
      local p = ready()
      for _ = 1, 3 do
        p:pass(MAX_AGE_MS - 1)
        p:closed "lost"
        p:submit { { "PING" } }
        p:pump()
        assert.equal(1, #p:ends())
        assert.is_nil(p:action())
      end
      p:pass(MAX_AGE_MS)
      assert.equal("close", p:action())
    end)
end)

describe("the streams of a pool", function()
  it("that were made together are not replaced together", function()
    local p = ready { pool_size = 4 }
    local began_ms, ages = p.now_ms, {}
    for _ = 1, 4 do
      p:pass(p.engine:deadline_ms() - p.now_ms)
      local action, connection = p:action()
      assert.equal("close", action)
      p:closed("closed", connection)
      assert.is_nil(p:action())
      ages[connection] = p.now_ms - began_ms
    end
    assert.equal(MAX_AGE_MS, ages[0])
    for connection = 1, 3 do
      assert.is_true(ages[connection] < ages[connection - 1])
      assert.is_true(ages[connection] >= 0.9 * MAX_AGE_MS)
    end
  end)
end)
