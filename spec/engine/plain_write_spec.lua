-- SPDX-License-Identifier: MIT

-- Plain writes of one session and turn become one transaction; each caller learns the
-- version that his own write made.

local hashes = require "spec.engine.hashes"
local peer = require "spec.engine.peer"

local ready, each_cut, ends_of = hashes.ready, hashes.each_cut, hashes.ends_of

local WRONG_TYPE = "wrong_type: " .. hashes.WRONG_TYPE

-- The commands of transactions without MULTI and EXEC, one list each.
local function transactions(p)
  local found, open = {}, nil
  for _, command in ipairs(p.commands) do
    if command == "MULTI" then
      open = {}
      found[#found + 1] = open
    elseif command == "EXEC" then
      open = nil
    elseif open then
      open[#open + 1] = command
    end
  end
  assert(open == nil, "a transaction without EXEC")
  return found
end

describe("plain writes of one turn", function()
  it("are one transaction: sets, removals, version, EXISTS of every key", function()
    local result = each_cut({ k = { x = "1", y = "2" } }, function(p, lane, stored)
      local slots = {
        p:change(lane, { "k", "a", "1", "l", "b", "2" }),
        p:change(lane, { "k", "c", "3" }),
        p:change(lane, { "k", "x", false, "l", "d", "4", "k", "y", false }),
      }
      return { ends = ends_of(p, slots), commands = p.commands, stored = stored }
    end)
    assert.same({
      "MULTI", "HSET k a 1 c 3", "HDEL k x y", "HSET l b 2 d 4", "HINCRBY meta ver 3",
      "EXISTS k l meta", "EXEC",
    }, result.commands)
    assert.same({ 1, 2, 3 }, result.ends)
    assert.same({ k = { a = "1", c = "3" }, l = { b = "2", d = "4" },
      meta = { ver = "3" } }, result.stored)
  end)

  it("carry values of any bytes and length", function()
    local values = { "", "\r\n", "$3\r\nabc\r\n", ("\0"):rep(3000), "*1" }
    local p, lane, stored = ready({}, {})
    local slots = {}
    for i, value in ipairs(values) do
      slots[i] = p:change(lane, { "k", "f" .. i, value, value, value, value })
    end
    assert.same({ 1, 2, 3, 4, 5 }, ends_of(p, slots))
    for i, value in ipairs(values) do
      assert.equal(value, stored.k["f" .. i])
      assert.equal(value, stored[value][value])
    end
  end)

  it("continue the version that is stored", function()
    local result = each_cut({ meta = { ver = "41" } }, function(p, lane)
      local slots = {}
      for i = 1, 12 do slots[i] = p:change(lane, { "k", "f", tostring(i) }) end
      return { ends_of(p, slots), transactions(p) }
    end)
    assert.same({ 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53 }, result[1])
    assert.same("HINCRBY meta ver 12", result[2][1][2])
  end)

  it("of the same field leave the newest value", function()
    local result = each_cut({}, function(p, lane, stored)
      local slots = {}
      for i = 1, 3 do slots[i] = p:change(lane, { "k", "f", tostring(i) }) end
      return { ends_of(p, slots), stored.k }
    end)
    assert.same({ { 1, 2, 3 }, { f = "3" } }, result)
  end)

  it("that remove before others set keep the order, in a transaction of their own",
    function()
      local result = each_cut({ k = { f = "old" } }, function(p, lane, stored)
        local slots = {
          p:change(lane, { "k", "f", "first" }), p:change(lane, { "k", "f", false }),
          p:change(lane, { "k", "f", "last" }),
        }
        return { ends_of(p, slots), transactions(p), stored.k }
      end)
      assert.same({ { 1, 2, 3 }, {
        { "HSET k f first", "HDEL k f", "HINCRBY meta ver 2", "EXISTS k meta" },
        { "HSET k f last", "HINCRBY meta ver 1", "EXISTS k meta" },
      }, { f = "last" } }, result)
    end)

  it("of two sessions stay apart", function()
    local result = each_cut({}, function(p, lane)
      local other = p.engine:lane "other"
      local slots = {
        p:change(lane, { "k", "a", "1" }), p:change(other, { "k", "b", "2" }),
        p:change(lane, { "k", "c", "3" }),
      }
      return { ends_of(p, slots), transactions(p) }
    end)
    assert.same({ { 1, 1, 2 }, {
      { "HSET k a 1 c 3", "HINCRBY meta ver 2", "EXISTS k meta" },
      { "HSET k b 2", "HINCRBY other ver 1", "EXISTS k other" },
    } }, result)
  end)
end)

describe("an error within a joined transaction", function()
  it("fails the writes that touched that key, and no other", function()
    local result = each_cut({ bad = "string" }, function(p, lane, stored)
      local slots = {
        p:change(lane, { "k", "a", "1" }),
        p:change(lane, { "k", "b", "2", "bad", "x", "1" }),
        p:change(lane, { "k", "c", "3" }),
        p:change(lane, { "bad", "y", false, "l", "z", "4" }),
      }
      return { ends_of(p, slots), stored }
    end)
    assert.same({ 1, WRONG_TYPE, 3, WRONG_TYPE }, result[1])
    assert.same({ a = "1", b = "2", c = "3" }, result[2].k)
  end)

  it("of the removals of a key fails who removed, not who set", function()
    local result = each_cut({ k = { a = "1" } }, function(p, lane)
      p.answers.EXEC = peer.array { ":1\r\n", "-OOM x\r\n", ":2\r\n", ":1\r\n" }
      return ends_of(p, {
        p:change(lane, { "k", "b", "2" }), p:change(lane, { "k", "a", false }),
      })
    end)
    assert.same({ 1, "oom: OOM x" }, result)
  end)

  it("of the version fails all: nobody knows which one he made", function()
    local result = each_cut({ meta = "string" }, function(p, lane)
      return ends_of(p, {
        p:change(lane, { "k", "a", "1" }), p:change(lane, { "k", "b", "2" }),
      })
    end)
    assert.same({ WRONG_TYPE, WRONG_TYPE }, result)
  end)

  local ABORTED = "-EXECABORT Transaction discarded because of previous errors.\r\n"
  local SHAPELESS = "server: the reply has not the shape of fields of hashes"
  local DISCARDED = "server: the transaction was discarded"
  -- What of the answers is another, and what it means for both writers.
  for _, case in ipairs {
    { "is EXECABORT", { EXEC = ABORTED }, "server: " .. ABORTED:sub(2, -3) },
    { "comes when a command is queued", { HSET = "-OOM no\r\n", EXEC = ABORTED },
      "oom: OOM no" },
    { "comes for MULTI",
      { MULTI = "-NOPERM no\r\n", EXEC = "-ERR EXEC without MULTI\r\n" },
      "denied: NOPERM no" },
    { "is a null", { EXEC = "*-1\r\n" }, DISCARDED },
    { "is a number", { EXEC = ":4\r\n" }, DISCARDED },
    { "is too short", { EXEC = "*3\r\n:1\r\n:1\r\n:1\r\n" }, DISCARDED },
    { "is too long", { EXEC = "*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n" }, DISCARDED },
    { "is a string for the version", { EXEC = "*4\r\n:1\r\n:1\r\n+2\r\n:1\r\n" },
      SHAPELESS },
    -- The parts of an array were taken for the replies of the commands behind it.
    { "is an array for a command",
      { EXEC = "*4\r\n*2\r\n:1\r\n:1\r\n:1\r\n:7\r\n:1\r\n" }, SHAPELESS },
  } do
    local name, answers, expected = unpack(case)
    it("that " .. name .. " fails all its writes", function()
      local result = each_cut({}, function(p, lane)
        for command, answer in pairs(answers) do p.answers[command] = answer end
        local slots = {
          p:change(lane, { "k", "a", "1" }), p:change(lane, { "l", "b", "2" }),
        }
        p:submit { { "ECHO", "after" } }
        return ends_of(p, slots)
      end)
      assert.same({ expected, expected }, result)
    end)
  end

  it("that is no number for a key fails its writes alone", function()
    local result = each_cut({}, function(p, lane)
      p.answers.EXEC = "*4\r\n$-1\r\n:1\r\n:2\r\n:1\r\n"
      return ends_of(p, {
        p:change(lane, { "k", "a", "1" }), p:change(lane, { "l", "b", "2" }),
      })
    end)
    assert.same({ SHAPELESS, 2 }, result)
  end)
end)

describe("a plain write", function()
  -- The code and the attempts of a slot whose caller stops waiting.
  local function give_up(p, slot, way)
    if way == "cancel" then
      p.engine:cancel(slot, p.now_ms)
    else
      p:pass(5)
    end
    local ended = p:ended()
    assert(ended.slot == slot)
    return { ended.code, ended.attempts }
  end

  -- Its caller was told `unavailable`, never sent, and it took effect with the others.
  for _, way in ipairs { "cancel", "deadline" } do
    it("given up goes with those it is joined with, and says so: " .. way, function()
      for given_up = 1, 3 do
        for _, is_sealed in ipairs { false, true } do
          local result = each_cut({}, function(p, lane, stored)
            local slots = {}
            for i = 1, 3 do
              local ends = i == given_up and way == "deadline"
              slots[i] = p:change(lane, { "k", "f" .. i, "1" },
                { deadline_ms = ends and p.now_ms + 5 or nil })
            end
            if is_sealed then p:flush() end
            local told = give_up(p, slots[given_up], way)
            table.remove(slots, given_up)
            return { told, ends_of(p, slots), stored.k }
          end)
          local versions = { 1, 2, 3 }
          table.remove(versions, given_up)
          local code = way == "cancel" and "cancelled" or "timeout"
          assert.same({ { code, 1 }, versions, { f1 = "1", f2 = "1", f3 = "1" } }, result)
        end
      end
    end)
  end

  it("that nobody waits for is not sent, nor are those joined with it", function()
    for _, is_sealed in ipairs { false, true } do
      local result = each_cut({}, function(p, lane, stored)
        local slots = {}
        for i = 1, 3 do slots[i] = p:change(lane, { "k", "f" .. i, "1" }) end
        if is_sealed then p:flush() end
        local told = {}
        for i, slot in ipairs(slots) do told[i] = give_up(p, slot, "cancel") end
        p:submit { { "ECHO", "after" } }
        p:pump()
        return { told, p:codes(), p.commands, stored }
      end)
      -- Who gave up before the last one could not know.
      assert.same({ { { "cancelled", 1 }, { "cancelled", 1 }, { "cancelled", 0 } },
        { "ok" }, { "ECHO after" }, {} }, result)
    end
  end)

  -- The next write of the session joined what was given up, and took it along.
  it("that was given up and is not sent is not taken along by a later one", function()
    local result = each_cut({}, function(p, lane, stored)
      local slot = p:change(lane, { "k", "a", "1" }, { deadline_ms = p.now_ms + 5 })
      local told = give_up(p, slot, "deadline")
      return { told, ends_of(p, { p:change(lane, { "k", "b", "2" }) }), stored.k }
    end)
    assert.same({ { "unavailable", 0 }, { 1 }, { b = "2" } }, result)
  end)

  it("alone over its deadline before it was sent is unavailable, and is not sent",
    function()
      local p, lane = ready({}, {})
      local slot = p:change(lane, { "k", "f", "1" }, { deadline_ms = p.now_ms + 5 })
      assert.same({ "unavailable", 0 }, give_up(p, slot, "deadline"))
      p:pump()
      assert.same({}, p.commands)
    end)

  it("that was sent keeps its place until the reply, and its slot", function()
    local p, lane = ready({}, {})
    local slots = { p:change(lane, { "k", "a", "1" }), p:change(lane, { "k", "b", "2" }) }
    p:flush()
    p:write(1)
    assert.same({ "cancelled", 1 }, give_up(p, slots[1], "cancel"))
    assert.same({ "cancelled", 1 }, give_up(p, slots[2], "cancel"))
    assert.equal(2, p.engine:statistics().queued_operations)
    local third = p:change(lane, { "k", "c", "3" })
    assert.is_nil(({ [slots[1]] = true, [slots[2]] = true })[third])
    assert.same({ 3 }, ends_of(p, { third }))
  end)

  it("that is let go takes effect, and counts in the versions of the others", function()
    local result = each_cut({}, function(p, lane, stored)
      local slots = {}
      for i = 1, 3 do slots[i] = p:change(lane, { "k", "f" .. i, "1" }) end
      p.engine:release(slots[1])
      return { ends_of(p, { slots[2], slots[3] }), stored.k }
    end)
    assert.same({ { 2, 3 }, { f1 = "1", f2 = "1", f3 = "1" } }, result)
  end)

  -- A second cancel of a slot that was let go counted as one of its neighbours'.
  it("that is let go cannot be cancelled any more, nor in place of its neighbours",
    function()
      local p, lane = ready({}, {})
      local slots = {
        p:change(lane, { "k", "a", "1" }), p:change(lane, { "k", "b", "2" }),
      }
      p.engine:release(slots[1])
      for _ = 1, 2 do p.engine:cancel(slots[1], p.now_ms) end
      assert.same({ 2 }, ends_of(p, { slots[2] }))
    end)

  it("is sent again whole after a lost connection, in order", function()
    local whole = #peer.encode { "MULTI" }
      + #peer.encode { "HSET", "k", "a", "1", "b", "2" }
    for written = 1, whole do
      local p, lane, stored = ready({}, {})
      local slots = {
        p:change(lane, { "k", "a", "1" }), p:change(lane, { "k", "b", "2" }),
      }
      p:flush()
      slots[3] = p:change(lane, { "k", "b", "3" })
      p:flush()
      p:write(written)
      p:closed()
      assert.same({ 1, 2, 3 }, ends_of(p, slots))
      assert.same({ "CLIENT KILL ID 1", "MULTI", "HSET k a 1 b 2", "HINCRBY meta ver 2",
        "EXISTS k meta", "EXEC", "MULTI", "HSET k b 3", "HINCRBY meta ver 1",
        "EXISTS k meta", "EXEC" }, p:operations())
      assert.same({ a = "1", b = "3" }, stored.k)
    end
  end)

  -- The one before it is sent again: alone, it would bring the older value back.
  for _, moment in ipairs { "before its stream ends", "after its stream has ended" } do
    it("that was sent is sent again in its place when its caller gave up " .. moment,
      function()
        local p, lane, stored = ready({}, {})
        p:change(lane, { "k", "a", "1" })
        p:flush()
        p:change(lane, { "k", "a", "2" }, { deadline_ms = p.now_ms + 50 })
        p:flush()
        p:write()
        -- The server carries out both; the replies are lost.
        stored.k, stored.meta = { a = "2" }, { ver = "2" }
        if moment == "before its stream ends" then p:pass(50) end
        p:closed()
        p.received[0] = ""
        if moment ~= "before its stream ends" then p:pass(50) end
        p:pump()
        p:pass(20)
        p:pump()
        assert.same({ "timeout", "ok" }, p:codes())
        assert.same({ a = "2" }, stored.k)
      end)
  end

  it("that was never sent is not sent when its caller gave up", function()
    local p, lane, stored = ready({}, {})
    p:change(lane, { "k", "a", "1" })
    p:flush()
    p:change(lane, { "k", "a", "2" }, { deadline_ms = p.now_ms + 50 })
    p:closed()
    p:pass(50)
    p:pump()
    p:pass(20)
    p:pump()
    assert.same({ a = "1" }, stored.k)
  end)

  it("raises for what is no list of keys, fields and values, and changes nothing",
    function()
      local p, lane = ready({}, {})
      p:change(lane, { "k", "a", "1" })
      local before = p.engine:statistics()
      for _, wrong in ipairs {
        {}, { "k" }, { "k", "f" }, { "k", "f", "1", "k" }, { 1, "f", "1" },
        { "k", false, "1" }, { "k", "f", 1 }, { "k", "f", {} }, { false, "f", "1" },
      } do
        assert.has_error(function() p.engine:write(lane, wrong, math.huge, 0) end)
      end
      assert.has_error(function() p.engine:write(lane, "k", math.huge, 0) end)
      assert.error_matches(function() p:change(lane, { "k", "f", "1" },
        { deadline_ms = 0 / 0 }) end, "not a number")
      assert.same(before, p.engine:statistics())
      p:pump()
      assert.same({ "ok" }, p:codes())
      assert.equal("HSET k a 1", p.commands[2])
    end)

  it("that is refused leaves nothing of itself in the transaction", function()
    local p, lane, stored = ready({ max_queued_bytes = 100 }, { k = { x = "1" } })
    local slot = p:change(lane, { "k", "a", "1" })
    local before = p.engine:statistics().queued_bytes
    for _, change in ipairs {
      { "k", "b", ("2"):rep(100) }, { "k", "x", false, "l", "b", ("2"):rep(100) },
      { "l", ("b"):rep(200), false, "k", "a", "2" },
    } do
      local refused, _, code = p.engine:write(lane, change, math.huge, p.now_ms)
      assert.same({ nil, "overloaded" }, { refused, code })
      assert.equal(before, p.engine:statistics().queued_bytes)
      assert.is_true(p.engine:validate())
    end
    local second = p:change(lane, { "k", "c", "3" })
    assert.same({ 1, 2 }, ends_of(p, { slot, second }))
    assert.equal("HSET k a 1 c 3", p.commands[2])
    assert.equal("HINCRBY meta ver 2", p.commands[3])
    assert.same({ k = { a = "1", c = "3", x = "1" }, meta = { ver = "2" } }, stored)
  end)
end)
