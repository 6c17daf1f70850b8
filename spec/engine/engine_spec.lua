-- SPDX-License-Identifier: MIT

-- The engine as a whole: random orders, memory, and what must not depend on how much is
-- under way.

local model = require "spec.engine.model"
local peer = require "spec.engine.peer"
local random = require "spec.support.random"

local RUNS = 20
local STEPS = 1500

local function run_model(seed, options)
  local world = model.new(random.new(seed), options)
  local ok, message = pcall(function()
    for _ = 1, STEPS do world:step() end
    world:finish()
  end)
  world.engine:close()
  if ok then return end
  local words = type(message) == "table" and message.message or message
  error(("random.new(%d): %s"):format(seed, tostring(words)), 0)
end

describe("an engine in random order", function()
  for _, pool_size in ipairs { 1, 3 } do
    for _, may_kill in ipairs { true, false } do
      it(("gives each operation its own replies, exactly once, over %d connections%s")
        :format(pool_size, may_kill and "" or ", also when it may not kill"), function()
          local base = random.new():word()
          for run = 1, random.rounds(RUNS) do
            run_model((base + run) % 2 ^ 32,
              { pool_size = pool_size, may_kill = may_kill })
          end
        end)
    end
  end
end)

-- ---- memory ---------------------------------------------------------------------------

describe("the memory of an engine", function()
  local function run(p, count)
    for i = 1, count, 10 do
      for j = i, i + 9 do
        p.engine:submit(p.now_ms, p.now_ms + 1000, false,
          { { "ECHO", tostring(j % 10) } })
      end
      p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
      p.engine:on_bytes(0, p.reply, p.now_ms)
      for slot in p.engine.next_completion, p.engine do p.engine:take(slot) end
      p.now_ms = p.now_ms + 1
      p.engine:on_time(p.now_ms)
    end
    return p.engine:statistics().memory_bytes
  end

  it("is the same after 10, 1,000 and 100,000 operations", function()
    local p = peer.new()
    p:start {}
    p:ready()
    p.reply = peer.bulk("x"):rep(10)
    local first = run(p, 10)
    assert.equal(first, run(p, 1000))
    assert.equal(first, run(p, 100000))
    assert.equal(0, p.engine:statistics().queued_operations)
  end)

  -- One turn: what two lanes read and write, in one batch. Returns how many operations.
  local function turn(p, lanes)
    for _, lane in ipairs(lanes) do
      for i = 1, 5 do
        p.engine:read(lane, "k" .. i % 2, { "f" .. i, "g" }, -1, 0, math.huge, p.now_ms)
      end
      for i = 1, 3 do
        p.engine:write(lane, { "k" .. i % 2, "f" .. i, "1" }, math.huge, p.now_ms)
      end
      p.engine:submit(p.now_ms, math.huge, false, { { "ECHO", "1" } }, lane)
    end
    p.engine:flush(p.now_ms)
    p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
    p.engine:on_bytes(0, p.reply, p.now_ms)
    local count = 0
    for slot, code, message in p.engine.next_completion, p.engine do
      assert(code == nil, message)
      p.engine:take(slot)
      count = count + 1
    end
    return count
  end

  it("is the same after 200,000 joined reads and writes and 100,000 more", function()
    local p = peer.new()
    p:start {}
    p:ready()
    local lanes = { p.engine:lane "a", p.engine:lane "b" }
    local six, four = peer.bulk("v"):rep(6), peer.bulk("v"):rep(4)
    p.reply = ("*6\r\n" .. six .. "*4\r\n" .. four .. "+OK\r\n"
      .. ("+QUEUED\r\n"):rep(4) .. "*4\r\n:1\r\n:1\r\n:3\r\n:2\r\n"
      .. peer.bulk "1"):rep(2)
    local function run_mixed(count)
      while count > 0 do
        local ended = turn(p, lanes)
        assert.equal(18, ended)
        count = count - ended
      end
      return p.engine:statistics().memory_bytes
    end
    local first = run_mixed(200000)
    assert.equal(first, run_mixed(100000))
    assert.equal(0, p.engine:statistics().queued_operations)
    assert.is_true(p.engine:validate())
  end)

  it("shrinks again after large requests and replies", function()
    local p = peer.new()
    p:start { max_queued_bytes = 1e8 }
    p:ready()
    p.answers.ECHO = function(words) return peer.bulk(words[2]) end
    for _ = 1, 5 do
      p:submit { { "ECHO", ("x"):rep(5000000) } }
      p:pump()
      assert.equal(5000000, #p:ended().replies[1])
    end
    assert.is_true(p.engine:statistics().memory_bytes < 200000)
  end)

  it("stays small while one connection is never idle", function()
    local p = peer.new()
    p:start {}
    p:ready()
    local reply = peer.bulk("x")
    p:submit { { "ECHO", "first" } }
    for _ = 1, 20000 do
      p:submit { { "ECHO", ("x"):rep(100) } }
      p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
      p.engine:on_bytes(0, reply, p.now_ms)
      p.engine:take((p.engine:next_completion()))
    end
    assert.is_true(p.engine:statistics().memory_bytes < 400000)
    assert.equal(1, p.engine:statistics().queued_operations)
  end)

  it("is given back by close with everything under way", function()
    local p = peer.new()
    p:start {}
    p:ready()
    p:submit { { "ECHO", "1" } }
    p:write()
    p:feed "$100"
    p:submit { { "ECHO", "2" } }
    p.engine:cancel(0, p.now_ms)
    p.engine:close()
  end)
end)

describe("many operations in flight", function()
  -- Every write walked over all that were in flight.
  it("do not slow down the writes of others", function()
    local function seconds(in_flight)
      local p = peer.new()
      p:start { max_operations = 100000, max_queued_bytes = 1e9 }
      p:ready()
      for _ = 1, in_flight do p:submit { { "PING" } } end
      p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
      local began = os.clock()
      for _ = 1, 5000 do
        p:submit { { "PING" } }
        p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
      end
      local took = os.clock() - began
      p.engine:close()
      return took
    end
    local few, many = seconds(1), seconds(50000)
    assert.is_true(many < 20 * few + 0.1, ("%f s, with many %f s"):format(few, many))
  end)

  it("and a long block of replies to them are read in linear time", function()
    local p = peer.new()
    p:start { max_operations = 300000, max_queued_bytes = 1e9 }
    p:ready()
    local count = 200000
    for _ = 1, count do p:submit { { "PING" } } end
    p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
    local began = os.clock()
    p.engine:on_bytes(0, ("+PONG\r\n"):rep(count), p.now_ms)
    assert.is_true(os.clock() - began < 2)
    p.engine:close()
  end)
end)
