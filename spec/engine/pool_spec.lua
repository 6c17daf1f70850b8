-- SPDX-License-Identifier: MIT

-- Several connections to one server: which one a session's operations take, and how a
-- session keeps its order on it.

local hashes = require "spec.engine.hashes"
local peer = require "spec.engine.peer"

local REFUSED = "Connection refused"

local function pool_of(size, config)
  config = config or {}
  config.pool_size = size
  local p, lane = hashes.ready(config, { k = { a = "1" } })
  lane:close()
  return p
end

-- A lane whose reads can be told from those of others by their key.
local function new_lane(p, name)
  local lane = { name = name, lane = p.engine:lane(name) }
  function lane.read(field) return p:read(lane.lane, name, { field or "a" }) end
  return lane
end

local function lanes_of(p, count)
  local lanes = {}
  for i = 1, count do lanes[i] = new_lane(p, "lane" .. i) end
  return lanes
end

-- The numbers of the lanes whose commands a connection carried, in order.
local function lanes_on(p, connection)
  local numbers = {}
  for _, command in ipairs(p:operations(connection)) do
    local number = command:match "^%u+ lane(%d+)"
    if number then numbers[#numbers + 1] = tonumber(number) end
  end
  return numbers
end

describe("the lanes of a pool", function()
  it("take its connections in turn while these are equally busy", function()
    local p = pool_of(3)
    for _, lane in ipairs(lanes_of(p, 7)) do lane.read() end
    p:pump()
    assert.same({ { 1, 4, 7 }, { 2, 5 }, { 3, 6 } },
      { lanes_on(p, 0), lanes_on(p, 1), lanes_on(p, 2) })
    assert.equal(7, #p:ends())
  end)

  it("in turn also when each is done before the next one comes", function()
    local p = pool_of(3)
    for _, lane in ipairs(lanes_of(p, 6)) do
      lane.read()
      p:pump()
      p:ends()
    end
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } },
      { lanes_on(p, 0), lanes_on(p, 1), lanes_on(p, 2) })
  end)

  it("take the least busy one, whether its operations were sent or not", function()
    for _, is_sent in ipairs { false, true } do
      local p = pool_of(3)
      local lanes = lanes_of(p, 6)
      for _ = 1, 3 do lanes[1].read() end
      lanes[2].read()
      if is_sent then
        p:flush()
        p:write(nil, 0)
      end
      for i = 3, 6 do lanes[i].read() end
      p:pump()
      assert.same({ 3, 5 }, { unpack(lanes_on(p, 2), 1, 2) })
      assert.same({ 2, 4, 6 }, lanes_on(p, 1))
      assert.equal(1, lanes_on(p, 0)[1])
    end
  end)

  it("stay where they are, however busy it is", function()
    local p = pool_of(2)
    local lanes = lanes_of(p, 2)
    lanes[1].read()
    for i = 1, 20 do
      lanes[1].read("f" .. i)
      if i % 3 == 0 then p:flush() end
      if i % 5 == 0 then p:pump() end
    end
    lanes[2].read()
    p:pump()
    for _, number in ipairs(lanes_on(p, 0)) do assert.equal(1, number) end
    assert.same({ 2 }, lanes_on(p, 1))
    assert.equal(22, #p:ends())
  end)

  it("leave what belongs to no lane to the least busy connection", function()
    local p = pool_of(2)
    local lanes = lanes_of(p, 1)
    for _ = 1, 3 do lanes[1].read() end
    for i = 1, 5 do p:submit { { "ECHO", tostring(i) } } end
    p:pump()
    -- With the third one both are equally busy.
    assert.same({ "ECHO 1", "ECHO 2", "ECHO 3", "ECHO 5" }, p:operations(1))
    assert.equal(8, #p:ends())
  end)

  it("open no connection that is not needed", function()
    local p = peer.new()
    p:start { pool_size = 4 }
    local lanes = lanes_of(p, 2)
    lanes[1].read()
    lanes[1].read "b"
    lanes[2].read()
    p:pump()
    assert.equal(2, p.engine:statistics().used_connections)
    assert.equal(2, p.engine:statistics().ready_connections)
  end)
end)

describe("a lane whose connection is away", function()
  local function action_of(p)
    local action, connection = p:action()
    return action and action .. " " .. connection
  end

  -- Both lanes belong to connection 0, which was lost when it had nothing to do, was
  -- greeted again for lane 2's read, and is lost before it sends that: it waits before it
  -- connects once more.
  local function away()
    local p = pool_of(2)
    local lanes = lanes_of(p, 2)
    lanes[1].read()
    p:pump()
    p:ends()
    p:closed("lost", 0)
    p:forget_commands()
    -- Number 1 is the busier one now, so lane 2 takes number 0.
    p:submit { { "ECHO", "x" } }
    lanes[2].read()
    p:flush()
    assert.equal("connect 0", action_of(p))
    p:connected(0)
    p:write(nil, 0)
    p:feed((":%d\r\n"):format(p.client_ids[0]) .. peer.info(p.run_id), 0)
    assert.equal(2, p.engine:statistics().ready_connections)
    p:closed("lost", 0)
    assert.is_nil(action_of(p))
    return p, lanes
  end

  it("goes to another one when nothing of it can be on its way", function()
    local p, lanes = away()
    lanes[1].read "moved"
    p:pump()
    assert.same({ "ECHO x", "HMGET lane1 moved" }, p:operations(1))
    p:ends()
    -- And stays there.
    p:pass(p.engine:deadline_ms() - p.now_ms)
    lanes[1].read "again"
    p:pump()
    assert.same({ 1, 1 }, lanes_on(p, 1))
    assert.same({ 2 }, lanes_on(p, 0))
    assert.equal(2, #p:ends())
  end)

  it("stays while something of it is owed", function()
    local p, lanes = away()
    lanes[2].read "b"
    p:pump()
    assert.same({}, lanes_on(p, 1))
    p:pass(p.engine:deadline_ms() - p.now_ms)
    p:pump()
    assert.same({ "HMGET lane2 a", "HMGET lane2 b" }, p:operations(0))
    assert.same({}, lanes_on(p, 1))
  end)

  -- What lane 1 sent before may still be executed: nothing of it may overtake that.
  it("stays while the lost stream has not been killed", function()
    local p = pool_of(2)
    local lanes = lanes_of(p, 3)
    for i = 1, 3 do lanes[i].read() end
    p:pump()
    p:ends()
    local slot = lanes[1].read "sent"
    lanes[3].read "sent"
    p:flush()
    p:write(nil, 0)
    -- Nobody waits for it any more, so nothing of lane 1 is owed after the loss.
    p.engine:cancel(slot, p.now_ms)
    p:closed("lost", 0)
    assert.equal("connect 0", action_of(p))
    p:closed(REFUSED, 0)
    assert.is_nil(action_of(p))
    lanes[1].read "after"
    p:flush()
    p:pump()
    assert.same({ 2 }, lanes_on(p, 1))
    p:pass(p.engine:deadline_ms() - p.now_ms)
    p:pump()
    assert.same({ "CLIENT KILL ID 1", "HMGET lane3 sent", "HMGET lane1 after" },
      p:operations(0))
  end)

  it("is passed by while another one is there", function()
    local p = away()
    for i = 3, 6 do new_lane(p, "lane" .. i).read() end
    p:pump()
    assert.same({ 3, 4, 5, 6 }, lanes_on(p, 1))
  end)
end)

describe("a bound", function()
  it("on operations holds for all connections together", function()
    local p = pool_of(3, { max_operations = 4 })
    local lanes = lanes_of(p, 5)
    for i = 1, 4 do lanes[i].read() end
    local before = p.engine:statistics()
    local slot, _, code = p.engine:read(lanes[5].lane, "k", { "a" }, -1, 0, math.huge, 0)
    assert.same({ nil, "overloaded" }, { slot, code })
    slot, _, code = p.engine:write(lanes[5].lane, { "k", "a", "1" }, math.huge, 0)
    assert.same({ nil, "overloaded" }, { slot, code })
    slot, _, code = p.engine:submit(p.now_ms, math.huge, false, { { "PING" } })
    assert.same({ nil, "overloaded" }, { slot, code })
    local after = p.engine:statistics()
    after.memory_bytes = before.memory_bytes
    assert.same(before, after)
    p:pump()
    assert.equal(4, #p:ends())
    lanes[5].read()
  end)

  it("on bytes holds for all connections together, joined or sent", function()
    local p = pool_of(2, { max_queued_bytes = 300 })
    local lanes = lanes_of(p, 3)
    lanes[1].read(("a"):rep(100))
    p:flush()
    lanes[2].read(("b"):rep(100))
    local slot, _, code = p.engine:read(lanes[3].lane, "k", { ("c"):rep(100) }, -1, 0,
      math.huge, 0)
    assert.same({ nil, "overloaded" }, { slot, code })
    p:pump()
    assert.equal(2, #p:ends())
    assert.equal(0, p.engine:statistics().queued_bytes)
    lanes[3].read(("c"):rep(100))
  end)
end)

describe("a lane", function()
  it("that is closed while something is owed to it goes when that is done", function()
    for _, moment in ipairs { "collected", "sealed", "sent" } do
      local p = pool_of(1)
      local lanes = lanes_of(p, 3)
      assert.equal(3, p.engine:statistics().lanes)
      local slots = {}
      for i, lane in ipairs(lanes) do
        slots[i] = p:read(lane.lane, "k", { "a" })
        if i == 3 then slots[4] = p:change(lane.lane, { "k", "b", "2" }) end
      end
      if moment ~= "collected" then p:flush() end
      if moment == "sent" then p:write(5) end
      for _, lane in ipairs(lanes) do
        lane.lane:close()
        lane.lane:close()
      end
      assert.equal(3, p.engine:statistics().lanes)
      assert.same({ { "1" }, { "1" }, { "1" }, 1 }, hashes.ends_of(p, slots))
      assert.equal(0, p.engine:statistics().lanes)
    end
  end)

  it("that is closed with nothing owed goes at once, also when it never had anything",
    function()
      local p = pool_of(1)
      local lanes = lanes_of(p, 2)
      lanes[1].read()
      p:pump()
      p:ends()
      for i = 1, 2 do
        lanes[i].lane:close()
        assert.equal(2 - i, p.engine:statistics().lanes)
      end
    end)

  it("that nobody holds any more is collected, and its operations are answered",
    function()
      local p = pool_of(1)
      local lanes = lanes_of(p, 50)
      for _, lane in ipairs(lanes) do lane.read() end
      lanes = nil
      collectgarbage()
      collectgarbage()
      p:pump()
      assert.is_nil(lanes)
      assert.equal(50, #p:ends())
      assert.equal(0, p.engine:statistics().lanes)
    end)

  it("that is given up with its reads before they are sent leaves nothing", function()
    local p = pool_of(1)
    local lane = new_lane(p, "lane1")
    local slot = lane.read()
    p.engine:cancel(slot, p.now_ms)
    lane.lane:close()
    assert.same({ "cancelled" }, p:codes())
    p:flush()
    assert.equal(0, p.engine:statistics().lanes)
    assert.equal(0, p.engine:statistics().queued_operations)
    assert.equal(0, p.engine:statistics().queued_bytes)
  end)

  it("keeps a hash for each key, and gives the same one again", function()
    local p = pool_of(1)
    local lane, other = p.engine:lane "a", p.engine:lane "b"
    local hash = lane:hash "k"
    assert.equal(hash, lane:hash "k")
    assert.not_equal(hash, lane:hash "l")
    assert.not_equal(hash, other:hash "k")
  end)

  it("of another engine, closed, or no lane at all raises", function()
    local p, q = pool_of(1), pool_of(1)
    local own, foreign, closed = p.engine:lane "a", q.engine:lane "a", p.engine:lane "b"
    closed:close()
    for expected, lane in pairs {
      ["the lane of another engine"] = foreign, ["the lane is closed"] = closed,
      ["authstate.lane expected"] = {},
    } do
      for _, call in ipairs {
        function() p:read(lane, "k", { "a" }) end,
        function() p:change(lane, { "k", "a", "1" }) end,
        function() p:submit({ { "PING" } }, { lane = lane }) end,
      } do
        assert.error_matches(call, expected, 1, true)
      end
    end
    assert.error_matches(function() closed:hash "k" end, "the lane is closed")
    p.engine:close()
    assert.error_matches(function() p:read(own, "k", { "a" }) end, "the engine is closed")
    assert.error_matches(function() own:hash "k" end, "the engine is closed")
    own:close()
    assert.error_matches(function() p.engine:lane "c" end, "the engine is closed")
  end)
end)
