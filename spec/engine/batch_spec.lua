-- SPDX-License-Identifier: MIT

-- What is submitted in one turn leaves together: reads of one hash as one HMGET, plain
-- writes of one session as one transaction; and each caller gets his own part.

local hashes = require "spec.engine.hashes"
local peer = require "spec.engine.peer"

local ready, each_cut, ends_of = hashes.ready, hashes.each_cut, hashes.ends_of

local K = { a = "1", b = "2", c = "3" }

describe("reads of one turn", function()
  it("of one hash leave as one HMGET, its fields in order, each to who asked", function()
    local result = each_cut({ k = K }, function(p, lane)
      local slots = {
        p:read(lane, "k", { "c" }), p:read(lane, "k", { "a", "b" }),
        p:read(lane, "k", { "none" }), p:read(lane, "k", { "b", "none", "c" }),
      }
      return { ends = ends_of(p, slots), commands = p.commands }
    end)
    assert.same({ "HMGET k c a b none b none c" }, result.commands)
    assert.same({ "3" }, result.ends[1])
    assert.same({ "1", "2" }, result.ends[2])
    assert.same({}, result.ends[3])
    assert.same({ "2", nil, "3" }, result.ends[4])
  end)

  it("that are equal share a field", function()
    local result = each_cut({ k = K }, function(p, lane)
      local slots = {}
      local fields = { "a", "b", "none" }
      for i = 1, 9 do slots[i] = p:read(lane, "k", { fields[i % 3 + 1] }) end
      return { ends = ends_of(p, slots), commands = p.commands }
    end)
    assert.same({ "HMGET k b none a" }, result.commands)
    for i = 1, 9 do
      assert.same({ ({ "1", "2" })[i % 3 + 1] }, result.ends[i])
    end
  end)

  it("share a run of fields that is asked for in the same order, no other", function()
    local result = each_cut({ k = K }, function(p, lane)
      local slots = {
        p:read(lane, "k", { "a", "b", "c" }), p:read(lane, "k", { "b", "c" }),
        p:read(lane, "k", { "a", "b", "c" }), p:read(lane, "k", { "c", "a" }),
        p:read(lane, "k", { "a" }),
      }
      return { ends = ends_of(p, slots), commands = p.commands }
    end)
    assert.same({ "HMGET k a b c c a" }, result.commands)
    assert.same({ { "1", "2", "3" }, { "2", "3" }, { "1", "2", "3" }, { "3", "1" },
      { "1" } }, result.ends)
  end)

  -- The fields of the turn before lie in the same memory.
  it("share no field that only an earlier turn asked for", function()
    local result = each_cut({ k = K }, function(p, lane)
      local slots = { p:read(lane, "k", { "a", "b", "c" }) }
      p:flush()
      slots[2] = p:read(lane, "k", { "a" })
      slots[3] = p:read(lane, "k", { "a", "b" })
      return { ends = ends_of(p, slots), commands = p.commands }
    end)
    assert.same({ "HMGET k a b c", "HMGET k a a b" }, result.commands)
    assert.same({ { "1", "2", "3" }, { "1" }, { "1", "2" } }, result.ends)
  end)

  it("of fields that differ only in length, or hold any byte, are told apart", function()
    local result = each_cut({ k = { [""] = "empty", a = "1", ["a\0"] = "zero" } },
      function(p, lane)
        return ends_of(p, {
          p:read(lane, "k", { "a" }), p:read(lane, "k", { "a\0" }),
          p:read(lane, "k", { "" }), p:read(lane, "k", { "", "a\0", "a" }),
        })
      end)
    assert.same({ { "1" }, { "zero" }, { "empty" }, { "empty", "zero", "1" } }, result)
  end)

  it("of different hashes of a session leave together, in any order", function()
    local result = each_cut({ k = K, l = { a = "l1" } }, function(p, lane)
      local slots = {
        p:read(lane, "l", { "a" }), p:read(lane, "k", { "a" }),
        p:read(lane, "m", { "a" }), p:read(lane, "l", { "a", "b" }),
        p:read(lane, "k", { "c" }),
      }
      return { ends = ends_of(p, slots), commands = p.commands }
    end)
    assert.same({ "HMGET l a a b", "HMGET k a c", "HMGET m a" }, result.commands)
    assert.same({ { "l1" }, { "1" }, {}, { "l1" }, { "3" } }, result.ends)
  end)

  it("of hashes of the same key in two sessions stay apart", function()
    local result = each_cut({ k = K }, function(p, lane)
      local other = p.engine:lane "other"
      local slots = { p:read(lane, "k", { "a" }), p:read(other, "k", { "a" }) }
      return { ends = ends_of(p, slots), commands = p.commands }
    end)
    assert.same({ "HMGET k a", "HMGET k a" }, result.commands)
    assert.same({ { "1" }, { "1" } }, result.ends)
  end)

  -- What is on its way may be older than what another process was told to be stored.
  it("do not share what was sent before", function()
    local result = each_cut({ k = K }, function(p, lane, stored)
      local first = p:read(lane, "k", { "a" })
      p:flush()
      stored.k.a = "new"
      local second = p:read(lane, "k", { "a" })
      return { ends = ends_of(p, { first, second }), commands = p.commands }
    end)
    assert.same({ "HMGET k a", "HMGET k a" }, result.commands)
    assert.same({ { "new" }, { "new" } }, result.ends)
  end)

  it("may be very many", function()
    local fields, places = {}, {}
    for i = 1, 10000 do fields["f" .. i] = tostring(i) end
    local p, lane = ready({ max_operations = 20000, batch_size = 20000 }, { k = fields })
    for i = 1, 10000 do
      local slot = assert(p.engine:read(lane, "k", { "f" .. i }, -1, 0, math.huge))
      places[slot] = i
    end
    local began = os.clock()
    p:pump()
    for _, ended in ipairs(p:ends()) do
      assert.same({ { tostring(places[ended.slot]) } }, ended.replies)
    end
    assert.is_true(os.clock() - began < 20)
    assert.equal(1, #p.commands)
  end)
end)

describe("the generation", function()
  local FENCED = "fenced: another generation of the session is stored; load it again"

  local function read_under(gen, generations)
    local stored = { k = K, l = K, meta = gen and { gen = gen } or nil }
    return each_cut(stored, function(p, lane)
      local slots = {}
      for i, generation in ipairs(generations) do
        slots[i] = p:read(lane, i % 2 == 0 and "l" or "k", { "a" },
          { generation = generation })
      end
      return { ends = ends_of(p, slots), commands = p.commands }
    end)
  end

  it("is asked once, at the end, when a read wants one", function()
    assert.same({ "HMGET k a", "HMGET l a", "HGET meta gen" },
      read_under("7", { -1, 7, -1, 7 }).commands)
    assert.same({ "HMGET k a", "HMGET l a" }, read_under("7", { -1, -1, -1 }).commands)
  end)

  for _, case in ipairs {
    { "equal", "7", { 7, 0, 8, -1 }, { { "1" }, FENCED, FENCED, { "1" } } },
    { "in microseconds", "1790000000000001", { 1790000000000001, 1790000000000000 },
      { { "1" }, FENCED } },
    { "absent", nil, { 0, 7, -1 }, { { "1" }, FENCED, { "1" } } },
    { "no number", "7x", { 7, 0, -1 }, { FENCED, FENCED, { "1" } } },
    { "no number at all", "", { 1, -1 }, { FENCED, { "1" } } },
    { "too long for a number", ("9"):rep(17), { 99999999999999999, -1 },
      { FENCED, { "1" } } },
    { "negative", "-7", { 7, 0, -1 }, { FENCED, FENCED, { "1" } } },
  } do
    local name, gen, generations, expected = unpack(case)
    it(("that is %s fences who read under another one, and nobody else"):format(name),
      function() assert.same(expected, read_under(gen, generations).ends) end)
  end

  it("that cannot be read fails who asked for it, in the server's words", function()
    local result = each_cut({ k = K, meta = "no hash" }, function(p, lane)
      return ends_of(p, {
        p:read(lane, "k", { "a" }, { generation = 7 }), p:read(lane, "k", { "a" }),
      })
    end)
    assert.same({ "wrong_type: " .. hashes.WRONG_TYPE, { "1" } }, result)
  end)

  it("that comes as another reply than a string fences", function()
    for _, reply in ipairs { ":7\r\n", "*0\r\n", "+7\r\n", "*1\r\n:7\r\n" } do
      local result = each_cut({ k = K }, function(p, lane)
        p.answers["HGET meta"] = reply
        return ends_of(p, {
          p:read(lane, "k", { "a" }, { generation = 7 }), p:read(lane, "k", { "a" }),
        })
      end)
      assert.same({ FENCED, { "1" } }, result, reply)
    end
  end)
end)

describe("a joined read", function()
  it("of what is no hash fails those who asked for it, and no other", function()
    local result = each_cut({ k = K, bad = "string", meta = { gen = "7" } },
      function(p, lane)
        return ends_of(p, {
          p:read(lane, "bad", { "a" }), p:read(lane, "k", { "a" }),
          p:read(lane, "bad", { "b" }, { generation = 7 }),
          p:read(lane, "k", { "b", "c" }, { generation = 7 }),
        })
      end)
    local wrong = "wrong_type: " .. hashes.WRONG_TYPE
    assert.same({ wrong, { "1" }, wrong, { "2", "3" } }, result)
  end)

  -- One row each: what comes for HMGET k a b, and what it means for who asked for a, for
  -- b, and for another hash.
  local SHAPELESS = "server: the reply has not the shape of fields of hashes"
  for _, case in ipairs {
    { "an array that is too short", "*1\r\n$1\r\n1\r\n", { "1" }, SHAPELESS },
    { "an empty array", "*0\r\n", SHAPELESS, SHAPELESS },
    { "a null array", "*-1\r\n", SHAPELESS, SHAPELESS },
    { "no array", ":2\r\n", SHAPELESS, SHAPELESS },
    { "a null string", "$-1\r\n", SHAPELESS, SHAPELESS },
    { "an error", "-LOADING x\r\n", "loading: LOADING x", "loading: LOADING x" },
    { "an error without words", "-\r\n", "server: the server answered with an error",
      "server: the server answered with an error" },
  } do
    local name, wire, first, second = unpack(case)
    it(("that gets %s is never an absence, and its neighbour is well"):format(name),
      function()
        local result = each_cut({ l = K }, function(p, lane)
          p.answers["HMGET k"] = wire
          return ends_of(p, {
            p:read(lane, "k", { "a" }), p:read(lane, "k", { "b" }),
            p:read(lane, "l", { "a" }),
          })
        end)
        assert.same({ first, second, { "1" } }, result)
      end)
  end

  it("that is given up leaves the others", function()
    for given_up = 1, 3 do
      for _, way in ipairs { "cancel", "deadline" } do
        local result = each_cut({ k = K }, function(p, lane)
          local slots = {}
          for i, field in ipairs { "a", "b", "c" } do
            local ends = i == given_up and way == "deadline"
            slots[i] = p:read(lane, "k", { field },
              { deadline_ms = ends and p.now_ms + 5 or nil })
          end
          if way == "cancel" then p.engine:cancel(slots[given_up], p.now_ms) end
          p:pass(5)
          return ends_of(p, slots)
        end)
        local expected = { { "1" }, { "2" }, { "3" } }
        expected[given_up] = way == "cancel"
          and "cancelled: the caller withdrew the operation"
          or "unavailable: " .. result[given_up]:match "unavailable: (.*)"
        assert.same(expected, result)
      end
    end
  end)

  it("that nobody waits for is not sent", function()
    local result = each_cut({ k = K }, function(p, lane)
      local slots = { p:read(lane, "k", { "a" }), p:read(lane, "k", { "b" }) }
      for _, slot in ipairs(slots) do p.engine:cancel(slot, p.now_ms) end
      local ends = ends_of(p, slots)
      p:submit { { "ECHO", "after" } }
      p:pump()
      return { codes = #ends, commands = p.commands, last = p:ended().replies }
    end)
    assert.same({ codes = 2, commands = { "ECHO after" }, last = { "after" } }, result)
  end)

  it("that nobody waits for any more keeps its place until its reply", function()
    local result = each_cut({ k = K }, function(p, lane)
      local slots = { p:read(lane, "k", { "a" }), p:read(lane, "k", { "b" }) }
      p:flush()
      local after = p:read(lane, "k", { "c" })
      p:write()
      for _, slot in ipairs(slots) do p.engine:cancel(slot, p.now_ms) end
      local cancelled = p:codes()
      local owed = p.engine:statistics().queued_operations
      return { cancelled, owed, ends_of(p, { after }), p.commands }
    end)
    assert.same({ { "cancelled", "cancelled" }, 3, { { "3" } },
      { "HMGET k a b", "HMGET k c" } }, result)
  end)

  it("that is let go without being asked still goes, and its neighbour is answered",
    function()
      local result = each_cut({ k = K }, function(p, lane)
        local first, second = p:read(lane, "k", { "a" }), p:read(lane, "k", { "b" })
        p.engine:release(first)
        return { ends_of(p, { second }), p.commands }
      end)
      assert.same({ { { "2" } }, { "HMGET k a b" } }, result)
    end)

  it("is sent again after a lost connection, in order, with what shared it", function()
    local request = #peer.encode { "HMGET", "k", "a", "b" }
    for written = 1, request do
      local p, lane = ready({}, { k = K })
      local slots = {
        p:read(lane, "k", { "a" }), p:read(lane, "k", { "b" }),
        p:read(lane, "k", { "a" }),
      }
      p:flush()
      slots[4] = p:read(lane, "k", { "c" })
      p:flush()
      p:write(written)
      p:closed()
      assert.same({ { "1" }, { "2" }, { "1" }, { "3" } }, ends_of(p, slots))
      assert.same({ "CLIENT KILL ID 1", "HMGET k a b", "HMGET k c" }, p:operations())
    end
  end)
end)

describe("a batch", function()
  -- How many were flushed, how many operations these were, and why.
  local function flushes(p)
    local now = p.engine:statistics()
    return {
      now.batches, now.batched_operations, now.flushed_by_size, now.flushed_by_age,
      now.flushed_when_idle,
    }
  end

  it("leaves when it has batch_size operations", function()
    local p, lane = ready({ batch_size = 3 }, { k = K })
    local before = flushes(p)
    for i = 1, 7 do
      p:read(lane, "k", { "a" })
      local expected = math.floor(i / 3)
      assert.equal(before[1] + expected, flushes(p)[1])
      assert.equal(expected, flushes(p)[3])
      assert.equal(expected * #peer.encode { "HMGET", "k", "a" }, #p.engine:next_write(0))
    end
    p:pump()
    assert.same({ before[1] + 3, before[2] + 7, 2, 0, before[5] + 1 }, flushes(p))
    assert.equal(7, #p:ends())
  end)

  it("counts what cannot be joined, too: it leaves together with the rest", function()
    local p, lane = ready({ batch_size = 3 }, { k = K })
    p:read(lane, "k", { "a" })
    p:submit { { "ECHO", "x" } }
    assert.same({ 0, 0 }, { flushes(p)[3], flushes(p)[4] })
    p:change(lane, { "k", "a", "2" })
    assert.equal(1, flushes(p)[3])
    p:pump()
    assert.same({ "ECHO x", "HMGET k a", "MULTI" },
      { unpack(p.commands, 1, 3) })
  end)

  it("leaves when its oldest operation has waited for the window, not before", function()
    local p, lane = ready({ batch_window_ms = 10 }, { k = K })
    local began_ms = p.now_ms
    p:read(lane, "k", { "a" })
    assert.equal(began_ms + 10, p.engine:deadline_ms())
    p:pass(6)
    p:read(lane, "k", { "b" })
    assert.equal(began_ms + 10, p.engine:deadline_ms())
    p:pass(3.5)
    assert.equal("", p.engine:next_write(0))
    p:pass(0.5)
    assert.equal(peer.encode { "HMGET", "k", "a", "b" }, p.engine:next_write(0))
    assert.equal(1, flushes(p)[4])
    p:pump()
    assert.same({ "ok", "ok" }, p:codes())
    assert.equal(math.huge, p.engine:deadline_ms())
  end)

  it("leaves with the operation that finds the oldest too old", function()
    local p, lane = ready({ batch_window_ms = 10 }, { k = K })
    p:read(lane, "k", { "a" })
    p.now_ms = p.now_ms + 10
    p:read(lane, "k", { "b" })
    assert.equal(peer.encode { "HMGET", "k", "a", "b" }, p.engine:next_write(0))
    assert.equal(1, flushes(p)[4])
  end)

  it("with a window of 0, or of size 1, sends each operation at once", function()
    for name, config in pairs {
      flushed_by_age = { batch_window_ms = 0 }, flushed_by_size = { batch_size = 1 },
    } do
      local p, lane = ready(config, { k = K })
      local before = p.engine:statistics()[name]
      for i = 1, 3 do
        p:read(lane, "k", { "a" })
        assert.equal(i * #peer.encode { "HMGET", "k", "a" }, #p.engine:next_write(0))
      end
      p:change(lane, { "k", "a", "2" })
      assert.equal(before + 4, p.engine:statistics()[name])
      p:pump()
      assert.equal(4, #p:ends())
      assert.equal(0, p.engine:statistics().flushed_when_idle)
    end
  end)

  it("that is empty is none", function()
    local p = ready({}, { k = K })
    local before = flushes(p)
    p:flush()
    p:pass(1000)
    assert.same(before, flushes(p))
  end)

  it("is bounded in bytes and operations like all that waits", function()
    local p, lane = ready({ max_queued_bytes = 100 }, { k = K })
    p:read(lane, "k", { ("a"):rep(60) })
    local before = p.engine:statistics()
    local slot, _, code = p.engine:read(lane, "k", { ("b"):rep(60) }, -1, 0, math.huge,
      p.now_ms)
    assert.same({ nil, "overloaded" }, { slot, code })
    slot, _, code = p.engine:write(lane, { "k", "f", ("b"):rep(60) }, math.huge, p.now_ms)
    assert.same({ nil, "overloaded" }, { slot, code })
    assert.is_true(p.engine:validate())
    assert.equal(before.queued_operations, p.engine:statistics().queued_operations)
    p:pump()
    assert.same({ "ok" }, p:codes())
    assert.equal(0, p.engine:statistics().queued_bytes)
    assert.equal(1, #p.commands)
  end)
end)

describe("a lane", function()
  it("keeps the order of reads, writes and other commands", function()
    local result = each_cut({ k = K }, function(p, lane, stored)
      local slots = {
        p:read(lane, "k", { "a" }),
        p:change(lane, { "k", "a", "new" }),
        p:read(lane, "k", { "a" }),
        p:submit({ { "HSET", "k", "a", "newest" } }, { lane = lane }),
        p:read(lane, "k", { "a" }),
        p:change(lane, { "k", "a", false }),
        p:submit({ { "HGET", "k", "a" } }, { lane = lane }),
      }
      return { ends = ends_of(p, slots), commands = p.commands, stored = stored }
    end)
    assert.same({
      "HMGET k a", "MULTI", "HSET k a new", "HINCRBY meta ver 1", "EXISTS k meta", "EXEC",
      "HMGET k a", "HSET k a newest", "HMGET k a",
      "MULTI", "HDEL k a", "HINCRBY meta ver 1", "EXISTS k meta", "EXEC", "HGET k a",
    }, result.commands)
    assert.same({ { "1" }, 1, { "new" }, 0, { "newest" }, 2, false }, result.ends)
    assert.is_nil(result.stored.k.a)
  end)

  it("does not seal what another one collects", function()
    local result = each_cut({ k = K }, function(p, lane)
      local other = p.engine:lane "other"
      local slots = {
        p:read(lane, "k", { "a" }), p:read(other, "k", { "b" }),
        p:change(lane, { "k", "a", "new" }), p:read(other, "k", { "c" }),
        p:submit({ { "ECHO", "x" } }, { lane = lane }), p:read(other, "k", { "a" }),
      }
      return { ends = ends_of(p, slots), commands = p.commands }
    end)
    assert.same({
      "HMGET k a", "MULTI", "HSET k a new", "HINCRBY meta ver 1", "EXISTS k meta", "EXEC",
      "ECHO x", "HMGET k b c a",
    }, result.commands)
    assert.same({ { "1" }, { "2" }, 1, { "3" }, "x", { "new" } }, result.ends)
  end)
end)
