-- SPDX-License-Identifier: MIT

-- One loop serves all engines of a Lua state, each with its own server.

local lfs = require "lfs"
local socket = require "socket"

local client = require "spec.io.client"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local redis_server = require "spec.support.redis_server"

-- The open descriptors of this process.
local function descriptors()
  local count = 0
  for _ in lfs.dir "/proc/self/fd" do count = count + 1 end
  return count
end

-- Whether a descriptor becomes readable within some time.
local function is_readable(fd, timeout_ms)
  local watched = {
    getfd = function() return fd end, dirty = function() return false end,
  }
  return #socket.select({ watched }, nil, timeout_ms / 1000) > 0
end

local function collect()
  for _ = 1, 4 do collectgarbage() end
end

local first, second

setup(function()
  first, second = redis_server.start(), redis_server.start()
  first:command("SET", "name", "first")
  second:command("SET", "name", "second")
end)

describe("a loop with two engines", function()
  local loop, a, b

  before_each(function()
    loop = assert(core.loop())
    a = client.open({ path = first.socket }, { pool_size = 2 }, loop)
    b = client.open({ path = second.socket }, {}, loop)
  end)

  after_each(function()
    a:close()
    b:close()
    loop:close()
  end)

  it("gives each the replies of its own server, in one turn for both", function()
    local slots = {}
    for i = 1, 200 do
      slots[i] = {
        a:submit { { "GET", "name" }, { "ECHO", "a" .. i } },
        b:submit { { "ECHO", "b" .. i }, { "GET", "name" } },
      }
    end
    assert(clock.wait_for(function()
      assert(loop:step(100))
      a:collect()
      b:collect()
      return a.ended[slots[200][1]] and b.ended[slots[200][2]]
    end))
    for i = 1, 200 do
      assert.same({ "first", "a" .. i }, a:wait(slots[i][1]).replies)
      assert.same({ "b" .. i, "second" }, b:wait(slots[i][2]).replies)
    end
    assert.equal(2, a.engine:statistics().streams)
    assert.equal(1, b.engine:statistics().streams)
  end)

  it("does not keep one waiting while the other's server is silent", function()
    assert.equal("first", a:command("GET", "name"))
    assert.equal("second", b:command("GET", "name"))
    first:pause()
    local slot = a:submit { { "GET", "name" } }
    local began_ms = core.now_ms()
    for _ = 1, 20 do assert.equal("second", b:command("GET", "name")) end
    assert.is_true(core.now_ms() - began_ms < 8000)
    assert.is_nil(a.ended[slot])
    first:resume()
    assert.same({ "first" }, a:wait(slot).replies)
  end)

  it("goes on with one when the other is closed amid its operations, and takes in a "
    .. "third", function()
      assert.equal("second", b:command("GET", "name"))
      first:pause()
      for _ = 1, 10 do a:submit { { "GET", "name" } } end
      loop:step(0)
      local before = descriptors()
      a.engine:close()
      assert.equal(before - 2, descriptors())
      first:resume()
      assert.equal("second", b:command("GET", "name"))
      local third = client.open({ path = first.socket }, {}, loop)
      local slot = third:submit { { "GET", "name" } }
      assert.equal("second", b:command("GET", "name"))
      assert.same({ "first" }, third:wait(slot).replies)
      third:close()
    end)

  it("tells the first deadline of all", function()
    assert.equal(math.huge, loop:deadline_ms())
    a:command("PING")
    b:command("PING")
    local now_ms = core.now_ms()
    first:pause()
    second:pause()
    a:submit({ { "PING" } }, { timeout_ms = 5000 })
    b:submit({ { "PING" } }, { timeout_ms = 1000 })
    loop:step(0)
    local deadline_ms = loop:deadline_ms()
    assert.is_true(deadline_ms >= now_ms + 1000 and deadline_ms < now_ms + 4000)
    first:resume()
    second:resume()
  end)

  it("counts the losses of each", function()
    a:command("PING")
    b:command("PING")
    second:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert(clock.wait_for(function()
      loop:step(10)
      return loop:losses(b.engine) > 0
    end))
    assert.equal(0, loop:losses(a.engine))
    assert.equal(1, loop:losses(b.engine))
    -- One that takes the place of the other begins anew.
    b.engine:close()
    local third = client.open({ path = second.socket }, {}, loop)
    assert.equal(0, loop:losses(third.engine))
    third:close()
  end)

  it("has a descriptor that is readable when a turn has something to do", function()
    a:command("PING")
    b:command("PING")
    assert.is_false(is_readable(loop:fd(), 0))
    first:pause()
    local slot = a:submit { { "ECHO", "x" } }
    loop:step(0)
    assert.is_false(is_readable(loop:fd(), 20))
    first:resume()
    assert.is_true(is_readable(loop:fd(), 5000))
    loop:step(0)
    a:collect()
    assert.same({ "x" }, a:wait(slot).replies)
  end)
end)

describe("an engine whose loop was closed", function()
  it("keeps what it has, takes more, and is closed like any other", function()
    local peer = client.open { path = first.socket }
    peer:command("PING")
    local before = descriptors()
    peer.loop:close()
    -- The socket, and the one of epoll.
    assert.equal(before - 2, descriptors())
    local slot = peer:submit { { "PING" } }
    assert.is_true(peer.engine:validate())
    peer.engine:cancel(slot, core.now_ms())
    assert.equal(slot, (peer.engine:next_completion()))
    assert.error_matches(function() peer.loop:step(0) end, "the loop is closed")
    peer.engine:close()
  end)

  it("is not attached to another one", function()
    local peer = client.open { path = first.socket }
    local other = assert(core.loop())
    peer.loop:close()
    assert.error_matches(function()
      other:attach(peer.engine, { path = first.socket })
    end, "the engine is attached")
    peer.engine:close()
    other:close()
  end)
end)

describe("what nobody holds any more", function()
  -- Six orders in which an engine, a lane and a loop may be forgotten.
  local ORDERS = {
    { "engine", "lane", "loop" }, { "engine", "loop", "lane" },
    { "lane", "engine", "loop" }, { "lane", "loop", "engine" },
    { "loop", "engine", "lane" }, { "loop", "lane", "engine" },
  }

  local function made(moment)
    local peer = client.open { path = first.socket }
    local lane = peer.engine:lane "meta"
    local slot = peer:read(lane, "k", { "a" })
    if moment ~= "submitted" then peer:step(0) end
    if moment == "answered" then peer:wait(slot) end
    return { engine = peer.engine, lane = lane, loop = peer.loop }
  end

  for _, order in ipairs(ORDERS) do
    it("is collected with its sockets: first the " .. table.concat(order, ", then the "),
      function()
        made "answered"
        collect()
        local before = descriptors()
        for _, moment in ipairs { "submitted", "sent", "answered" } do
          local objects = made(moment)
          for _, name in ipairs(order) do
            objects[name] = nil
            collect()
          end
          assert.equal(before, descriptors())
        end
      end)
  end

  it("is collected all at once, and many of them", function()
    collect()
    local before = descriptors()
    for i = 1, 30 do made(i % 2 == 0 and "sent" or "answered") end
    collect()
    assert.equal(before, descriptors())
  end)

  it("is kept while a lane or a loop needs it", function()
    local objects = made "answered"
    objects.engine = nil
    collect()
    assert.is_userdata(objects.lane:hash "k")
    assert.is_true(objects.loop:step(0))
  end)
end)

describe("a turn of a loop", function()
  local loop

  before_each(function()
    loop = assert(core.loop())
  end)

  after_each(function()
    loop:close()
  end)

  it("looks at all sockets, however many have something", function()
    local clients, slots = {}, {}
    for i = 1, 100 do
      clients[i] = client.open({ path = first.socket }, {}, loop)
      assert.equal("PONG", clients[i]:command "PING")
    end
    for i, each in ipairs(clients) do slots[i] = each:submit { { "INCR", "count" } } end
    assert(loop:step(0)) -- sends
    assert(clock.wait_for(function() return first:command("GET", "count") == "100" end))
    first:command "PING" -- behind its answer all others were written
    assert(loop:step(0))
    for i, each in ipairs(clients) do
      each:collect()
      assert.is_truthy(each.ended[slots[i]])
      each:close()
    end
  end)

  it("tells since when it has looked, also when it has waited", function()
    assert.equal(-math.huge, loop:looked_ms())
    local each = client.open({ path = first.socket }, {}, loop)
    assert.equal("PONG", each:command "PING")
    for _, wait_ms in ipairs { 0, 20 } do
      local began_ms = core.now_ms()
      assert(loop:step(wait_ms))
      local ended_ms = core.now_ms()
      assert.is_true(loop:looked_ms() >= began_ms + wait_ms - 1)
      assert.is_true(loop:looked_ms() <= ended_ms)
      local looked_ms = loop:looked_ms()
      each:step_alone(0)
      local slot = each:submit { { "PING" } }
      looked_ms = math.max(looked_ms, loop:looked_ms())
      while not each.ended[slot] do each:step_alone(9000) end
      assert.equal(looked_ms, loop:looked_ms()) -- one socket is not all
    end
    each:close()
  end)
end)
