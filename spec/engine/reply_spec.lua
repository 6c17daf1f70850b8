-- SPDX-License-Identifier: MIT

-- Replies: matched to their operations, unwrapped from transactions, given to Lua.

local core = require "authstate.core"
local peer = require "spec.engine.peer"

local STORED = core.encode { name = "x", bytes = core.bytes and core.bytes "abc" or nil }
local NIL = "$-1\r\n"

-- name, wire, what raw makes of it
local SHAPES = {
  { "a status", "+OK\r\n", "OK" },
  { "an empty status", "+\r\n", "" },
  { "a string of any bytes", peer.bulk "\0\r\n\255", "\0\r\n\255" },
  { "an empty string", "$0\r\n\r\n", "" },
  { "null", NIL, false },
  { "a null array", "*-1\r\n", false },
  { "zero", ":0\r\n", 0 },
  { "a negative number", ":-42\r\n", -42 },
  { "2^53", ":9007199254740992\r\n", 2 ^ 53 },
  { "an empty array", "*0\r\n", {} },
  { "a nested array",
    peer.array { ":1\r\n", peer.array { "+a\r\n", NIL, "*0\r\n" }, peer.bulk "b" },
    { 1, { "a", false, {} }, "b" } },
}

-- shape, wire, what comes of it
local STORED_SHAPES = {
  { "json", NIL, false },
  { "json", peer.bulk '{"a":1}', '{"a":1}' },
  { "json", peer.array { peer.bulk "1", peer.bulk '"x"' }, { "1", '"x"' } },
  { "json", "*0\r\n", {} },
  { "value", NIL, false },
  { "value", peer.bulk '{"a":1}', { a = 1 } },
  { "value", peer.bulk(STORED), core.decode(STORED) },
  { "value", peer.array { peer.bulk "1", peer.bulk '"x"' }, { 1, "x" } },
  { "value_map", "*0\r\n", {} },
  { "value_map",
    peer.array { peer.bulk "f", peer.bulk "1", peer.bulk "g", peer.bulk "2" },
    { f = 1, g = 2 } },
  { "json_map", peer.array { peer.bulk "", peer.bulk '{"a":1}' }, { [""] = '{"a":1}' } },
}

-- shape, wire, element
local MISSHAPEN = {
  { "value", peer.bulk "{", 1 },
  { "json", peer.bulk "\255\255", 1 },
  { "value", peer.array { peer.bulk "1", peer.bulk "nonsense" }, 2 },
  { "value", ":1\r\n", 1 },
  { "json", "+OK\r\n", 1 },
  { "value", peer.array { peer.bulk "1", peer.array { peer.bulk "2" } }, 2 },
  { "value_map", peer.array { peer.bulk "f", peer.bulk "{" }, "f" },
  { "value_map", NIL, "" },
  { "value_map", peer.bulk "f", "" },
  { "value_map", ":1\r\n", "" },
  { "json_map", peer.array { peer.bulk "f" }, "" },
  { "json_map", peer.array { ":1\r\n", peer.bulk "1" }, "" },
}

local function answered(wire, ...)
  local p = peer.new()
  p:start {}
  p.answers.GET = wire
  local slot = p:submit { { "GET", "a" } }
  p:pump()
  assert.equal(slot, (p.engine:next_completion()))
  return p.engine, slot, ...
end

describe("a reply", function()
  it("belongs to the operation of its place in the pipeline", function()
    local result = peer.each_cut(function(p)
      p:start {}
      for i = 1, 6 do
        local commands = {}
        for j = 1, i do commands[j] = { "ECHO", ("%d.%d"):format(i, j) } end
        p:submit(commands, { atomic = i % 3 == 0 })
        if i == 1 then
          p:pump()
        end
      end
      -- The transactions answer by themselves.
      local inner
      p.answers.MULTI = function() inner = {} return "+OK\r\n" end
      p.answers.ECHO = function(words)
        if not inner then return peer.bulk(words[2]) end
        inner[#inner + 1] = peer.bulk(words[2])
        return "+QUEUED\r\n"
      end
      p.answers.EXEC = function()
        local reply = peer.array(inner)
        inner = nil
        return reply
      end
      p:pump()
      local replies = {}
      for i, ended in ipairs(p:ends()) do replies[i] = ended.replies end
      return replies
    end)
    for i = 1, 6 do
      assert.equal(i, #result[i])
      for j = 1, i do assert.equal(("%d.%d"):format(i, j), result[i][j]) end
    end
  end)

  for _, case in ipairs(SHAPES) do
    local name, wire, expected = unpack(case)
    it("that is " .. name .. " comes as it is", function()
      local result = peer.each_cut(function(p)
        p:start {}
        p.answers["GET a"] = wire
        p:submit { { "GET", "a" }, { "GET", "b" }, { "GET", "a" } }
        p:pump()
        return p:ended().replies
      end)
      assert.same({ expected, "OK", expected }, result)
    end)
  end

  for i, case in ipairs(STORED_SHAPES) do
    local shape, wire, expected = unpack(case)
    it(("with a stored value is opened as %s (%d)"):format(shape, i), function()
      local engine, slot = answered(wire)
      assert.same({ expected }, engine:take(slot, shape))
      assert.equal(0, engine:statistics().queued_operations)
    end)
  end

  for i, case in ipairs(MISSHAPEN) do
    local shape, wire, element = unpack(case)
    it(("that cannot be opened as %s says where, and is never absent (%d)")
      :format(shape, i), function()
        local engine, slot = answered(wire)
        local replies, message, index, where = engine:take(slot, shape)
        assert.is_nil(replies)
        assert.is_string(message)
        assert.is_true(#message > 0)
        assert.equal(1, index)
        assert.equal(element, where)
        assert.equal(0, engine:statistics().queued_operations)
      end)
  end

  it("has its own shape, the last shape serves the rest", function()
    local p = peer.new()
    p:start {}
    p.answers.GET = peer.bulk "1"
    local commands = { { "GET", "a" }, { "GET", "a" }, { "GET", "a" }, { "GET", "a" } }
    for _, case in ipairs {
      { {}, { "1", "1", "1", "1" } },
      { { "value" }, { 1, 1, 1, 1 } },
      { { "raw", "value" }, { "1", 1, 1, 1 } },
      { { "value", "value", "raw", "json", "json" }, { 1, 1, "1", "1" } },
    } do
      local slot = p:submit(commands)
      p:pump()
      assert.equal(slot, (p.engine:next_completion()))
      assert.same(case[2], p.engine:take(slot, unpack(case[1])))
    end
  end)

  it("is taken once, after its completion was pulled, in a known shape", function()
    local p = peer.new()
    p:start {}
    local slot = p:submit { { "PING" } }
    local pattern = "no completed operation has this slot"
    assert.error_matches(function() p.engine:take(slot) end, pattern)
    p:pump()
    assert.error_matches(function() p.engine:take(slot) end, pattern)
    assert.equal(slot, (p.engine:next_completion()))
    assert.error_matches(function() p.engine:take(slot, "xml") end,
      "invalid option 'xml'")
    assert.same({ "OK" }, p.engine:take(slot))
    for _, wrong in ipairs { slot, slot + 1, 4294967294 } do
      assert.error_matches(function() p.engine:take(wrong) end, pattern)
    end
    for _, wrong in ipairs { -1, 2 ^ 32, 0 / 0 } do
      assert.error_matches(function() p.engine:take(wrong) end, "not a slot")
    end
  end)

  it("of an operation may be large, and there may be very many", function()
    local p = peer.new()
    p:start { max_operations = 10000 }
    local large, parts = ("x"):rep(3000000), {}
    p.answers["GET large"] = peer.bulk(large)
    for i = 1, 100000 do parts[i] = ":" .. i .. "\r\n" end
    p.answers["GET many"] = peer.array(parts)
    p:submit { { "GET", "large" }, { "GET", "many" } }
    p:pump()
    local replies = p:ended().replies
    assert.is_true(replies[1] == large)
    assert.equal(100000, #replies[2])
    assert.equal(77777, replies[2][77777])
  end)
end)

-- MULTI and EXEC around two commands: the four answers, the code, the message or replies.
local OK, QUEUED = "+OK\r\n", "+QUEUED\r\n"
local ABORTED = "-EXECABORT Transaction discarded because of previous errors.\r\n"
local TRANSACTIONS = {
  { "succeeds", { OK, QUEUED, QUEUED, peer.array { ":1\r\n", peer.array { "+x\r\n" } } },
    "ok", { 1, { "x" } } },
  { "gives null replies", { OK, QUEUED, QUEUED, peer.array { NIL, NIL } },
    "ok", { false, false } },
  { "has an error when queued", { OK, "-NOPERM no\r\n", QUEUED, ABORTED },
    "denied", "NOPERM no" },
  { "has two errors when queued", { OK, "-OOM no\r\n", "-ERR no\r\n", ABORTED },
    "oom", "OOM no" },
  { "is aborted", { OK, QUEUED, QUEUED, ABORTED }, "server", ABORTED:sub(2, -3) },
  { "has an error inside",
    { OK, QUEUED, QUEUED, peer.array { ":1\r\n", "-WRONGTYPE x\r\n" } },
    "wrong_type", "WRONGTYPE x" },
  { "is refused", { "-NOPERM multi\r\n", OK, OK, "-ERR EXEC without MULTI\r\n" },
    "denied", "NOPERM multi" },
  { "is null", { OK, QUEUED, QUEUED, "*-1\r\n" }, "server",
    "the transaction was discarded" },
  { "is a null string", { OK, QUEUED, QUEUED, NIL }, "server",
    "the transaction was discarded" },
  { "has too few replies", { OK, QUEUED, QUEUED, "*1\r\n:1\r\n" }, "server",
    "the transaction was discarded" },
  { "has too many replies", { OK, QUEUED, QUEUED, "*3\r\n:1\r\n:2\r\n:3\r\n" }, "server",
    "the transaction was discarded" },
  { "is no array", { OK, QUEUED, QUEUED, ":2\r\n" }, "server",
    "the transaction was discarded" },
}

describe("a transaction", function()
  for _, case in ipairs(TRANSACTIONS) do
    local name, wire, code, expected = unpack(case)
    it("that " .. name .. " ends as " .. code, function()
      local result = peer.each_cut(function(p)
        p:start {}
        p.answers = {
          MULTI = wire[1], ["SET a"] = wire[2], ["SET b"] = wire[3], EXEC = wire[4],
        }
        p:submit({ { "SET", "a", "1" }, { "SET", "b", "2" } }, { atomic = true })
        p:submit { { "ECHO", "after" } }
        p:pump()
        return { ends = p:ends(), commands = p:operations() }
      end)
      local first = result.ends[1]
      assert.equal(code, first.code or "ok")
      assert.same(expected, first.code and first.message or first.replies)
      assert.same({ "after" }, result.ends[2].replies)
      assert.same({ "MULTI", "SET a 1", "SET b 2", "EXEC", "ECHO after" },
        result.commands)
    end)
  end

  -- Redis answers MULTI with OK while a long value is still on its way. That was taken
  -- for an answer that nobody had asked for, and every large commit broke its connection.
  it("may be answered in part while the rest of it is still being sent", function()
    local p = peer.new()
    p:start {}
    p:ready()
    p.answers = {
      MULTI = OK, ["SET a"] = QUEUED, ["SET b"] = QUEUED,
      EXEC = peer.array { "+1\r\n", "+2\r\n" },
    }
    p:submit({ { "SET", "a", ("x"):rep(50) }, { "SET", "b", "2" } }, { atomic = true })
    p:submit { { "ECHO", "a" }, { "ECHO", "b" }, { "ECHO", "c" } }
    while #p.engine:next_write(0) > 0 do
      p:write(1)
      local words = p:take_command()
      if words then p:feed(p:answer(words)) end
      assert.is_nil(p:action())
    end
    local ends = p:ends()
    assert.same({ "1", "2" }, ends[1].replies)
    assert.same({ "a", "b", "c" }, ends[2].replies)
  end)

  it("is not answered before the command went out whole", function()
    local p = peer.new()
    p:start {}
    p:ready()
    p:submit({ { "SET", "a", "1" } }, { atomic = true })
    p:write(#peer.encode { "MULTI" } - 1)
    p:feed "+OK\r\n"
    assert.equal("close", p:action())
  end)
end)
