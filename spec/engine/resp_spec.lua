-- SPDX-License-Identifier: MIT

-- Bytes that are not what a Redis sends: the stream is given up, and nobody gets them.

local peer = require "spec.engine.peer"

local GARBAGE = {
  "HTTP/1.1 400 Bad Request\r\n", "\0", "\r\n", "OK\r\n", "!3\r\nabc\r\n",
  "$-2\r\n", "$+5\r\nhello\r\n", "$abc\r\n", "$\r\n", "$ 1\r\nx\r\n",
  "$99999999999999999999\r\n", "$-9223372036854775808\r\n",
  ":12a\r\n", ":\r\n", ":9223372036854775808\r\n", ":-\r\n", ": 1\r\n",
  "*-2\r\n", "*x\r\n", "*9223372036854775807\r\n", "*\r\n",
  "*2\r\n:1\r\n?\r\n", "*1\r\n*1\r\n*1\r\n$-5\r\n",
  ("*1\r\n"):rep(9) .. ":1\r\n", ("*2\r\n"):rep(100000),
}

-- Legal so far: more bytes are to come.
local PROMISES = {
  "$9999999999\r\nabc", "$9223372036854775807\r\nabc", "*2147483647\r\n:1\r\n",
  "*1\r\n*2147483647\r\n*2147483647\r\n$2147483647\r\nx", "$536870912\r\n",
}

local STRAY = { "+OK\r\n", ":1\r\n", "$1\r\nx\r\n", "$-1\r\n", "*0\r\n", "*1\r\n:1\r\n",
  "-ERR stray\r\n" }

local function with_operations()
  local p = peer.new()
  p:start {}
  p:ready()
  for i = 1, 2 do p:submit { { "ECHO", tostring(i) } } end
  return p
end

-- The stream is broken: closed, and all are sent again on the next one.
local function assert_given_up(p, message)
  assert.equal("", p.engine:next_write(0), message)
  assert.equal("close", p:action(), message)
  p:closed()
  p:pump()
  local ends = p:ends()
  assert.same({ { "1" }, { "2" } }, { ends[1].replies, ends[2].replies }, message)
  assert.equal(2, p.engine:statistics().streams)
  p.engine:close()
end

describe("a stream that is not RESP", function()
  it("is given up, with the bytes cut anywhere", function()
    for _, garbage in ipairs(GARBAGE) do
      for at = 0, math.min(#garbage - 1, 40) do
        local p = with_operations()
        p:write()
        p:feed(garbage:sub(1, at))
        p:feed(garbage:sub(at + 1))
        assert.same({}, p:ends())
        assert_given_up(p, ("%q"):format(garbage:sub(1, 40)))
      end
    end
  end)

  it("gives the operations before the garbage their replies", function()
    for _, garbage in ipairs(GARBAGE) do
      local p = with_operations()
      p:write()
      p:feed("$1\r\n1\r\n" .. garbage)
      assert.same({ "1" }, p:ended().replies)
      assert.equal("close", p:action())
    end
  end)

  it("is given up in the greeting too, and what was not sent is unavailable", function()
    for _, garbage in ipairs(GARBAGE) do
      local p = peer.new()
      p:start {}
      p:submit { { "ECHO", "1" } }
      assert.equal("connect", p:action())
      p:connected()
      p:write()
      p:feed(garbage)
      assert.equal("close", p:action())
      p:closed()
      local ended = p:ended()
      assert.equal("unavailable", ended.code)
      assert.is_true(#ended.message > 0)
    end
  end)

  it("takes no more bytes after that", function()
    local p = with_operations()
    p:write()
    p:feed "garbage"
    p:feed "$1\r\n1\r\n$1\r\n2\r\n"
    assert.same({}, p:ends())
    assert_given_up(p)
  end)
end)

describe("a reply that nobody asked for", function()
  -- Half of one, even its first byte, would become the beginning of the next reply.
  it("ends the stream at its first byte", function()
    for _, stray in ipairs(STRAY) do
      for length = 1, #stray do
        local p = with_operations()
        p:feed(stray:sub(1, length))
        assert_given_up(p, ("%q"):format(stray:sub(1, length)))
      end
    end
  end)

  it("ends the stream behind the last one that was asked for", function()
    for _, stray in ipairs(STRAY) do
      for length = 1, #stray do
        local p = with_operations()
        p:write()
        p:feed("$1\r\n1\r\n$1\r\n2\r\n" .. stray:sub(1, length))
        assert.same({ "ok", "ok" }, p:codes())
        assert.equal("close", p:action())
      end
    end
  end)

  it("ends the stream while a request is half sent", function()
    for _, stray in ipairs(STRAY) do
      local p = with_operations()
      p:write(#peer.encode { "ECHO", "1" } - 1)
      p:feed(stray:sub(1, 1))
      assert_given_up(p)
    end
  end)

  it("ends an idle stream, and the next operation makes a new one", function()
    local p = peer.new()
    p:start {}
    p:ready()
    p:feed "+"
    assert.equal("close", p:action())
    p:closed()
    assert.is_nil(p:action())
    p:submit { { "ECHO", "1" } }
    p:pump()
    assert.same({ "1" }, p:ended().replies)
    assert.same({ "ECHO 1" }, p:operations())
  end)
end)

describe("a length that is only promised", function()
  it("allocates nothing, and the stream goes on waiting", function()
    for _, promise in ipairs(PROMISES) do
      local p = with_operations()
      p:write()
      local before = p.engine:statistics().memory_bytes
      for i = 1, #promise do p:feed(promise:sub(i, i)) end
      assert.is_true(p.engine:statistics().memory_bytes - before < 4096)
      assert.is_nil(p:action())
      p:pass(10000)
      assert_given_up(p)
    end
  end)
end)

-- Types of RESP3: hiredis 0.14 refuses them, 1.x reads them unasked.
local LATER_TYPES = {
  "_\r\n", "#t\r\n", ",1.5\r\n", "(123456789012345678901234567890\r\n",
  "=7\r\ntxt:abc\r\n", "%1\r\n:1\r\n:2\r\n", "~1\r\n:1\r\n", ">1\r\n:1\r\n",
}

describe("a type of a later protocol", function()
  -- A type without a function of ours left a hole, and the walk went on behind the end.
  it("ends the stream, or is read whole: what follows it is in its place", function()
    for _, wire in ipairs(LATER_TYPES) do
      local p = peer.new()
      p:start {}
      p:ready()
      p.answers.GET = peer.array { wire, peer.bulk "after", wire }
      p:submit { { "GET", "a" }, { "ECHO", "next" } }
      p:write()
      p:feed(p:answer { "GET", "a" } .. peer.bulk "next")
      if p:action() ~= "close" then
        local replies = p:ended().replies
        assert.equal(3, #replies[1])
        assert.equal("after", replies[1][2])
        assert.equal("next", replies[2])
      end
      p.engine:close()
    end
  end)
end)

describe("nesting", function()
  it("of seven arrays is read, of nine it ends the stream", function()
    for depth = 1, 9 do
      local p = peer.new()
      p:start {}
      p:ready()
      local wire, expected = ":7\r\n", 7
      for _ = 1, depth do wire, expected = "*1\r\n" .. wire, { expected } end
      p:submit { { "GET", "a" } }
      p:write()
      p:feed(wire)
      local is_broken = p:action() == "close"
      if depth ~= 8 then assert.equal(depth == 9, is_broken) end
      if not is_broken then assert.same({ expected }, p:ended().replies) end
      p.engine:close()
    end
  end)
end)
