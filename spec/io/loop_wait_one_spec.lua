-- SPDX-License-Identifier: MIT

-- A lone caller waits for his reply in recv, which is quicker than epoll, and in epoll
-- whenever there is more to wait for than one reply.

local client = require "spec.io.client"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local MIB = 1024 * 1024

local server

setup(function()
  server = redis_server.start { tcp = true, config = { bind = "127.0.0.1" } }
end)

local function elapsed_ms(work)
  local began_ms = core.now_ms()
  work()
  return core.now_ms() - began_ms
end

describe("a lone caller", function()
  local peer

  before_each(function()
    server:command("FLUSHALL")
    peer = client.open { path = server.socket }
  end)
  after_each(function() peer:close() end)

  local function perform(commands, options)
    return peer:wait_alone(peer:submit(commands, options))
  end

  it("gets his replies from the first one on, while it still connects", function()
    for i = 1, 100 do
      assert.same({ "OK", "x" .. i },
        perform { { "SET", "k", "x" .. i }, { "GET", "k" } }.replies)
    end
    assert.equal(1, peer.engine:statistics().streams)
  end)

  it("reads and writes hashes of his session", function()
    local lane = peer.engine:lane "meta"
    assert.equal(1, peer:wait_alone(peer:change(lane, { "k", "a", "1" })).replies)
    assert.equal(2, peer:wait_alone(peer:change(lane, { "k", "b", "2" })).replies)
    assert.same({ { "1", nil, "2" } },
      peer:wait_alone(peer:read(lane, "k", { "a", "none", "b" })).replies)
  end)

  it("waits no longer than told", function()
    perform { { "PING" } }
    server:pause()
    local slot = peer:submit { { "PING" } }
    for _, timeout_ms in ipairs { 0, 30, 30, 15 } do
      local took_ms = elapsed_ms(function() peer:step_alone(timeout_ms) end)
      assert.is_true(took_ms >= timeout_ms and took_ms < timeout_ms + 8000, took_ms)
    end
    assert.is_nil(peer.ended[slot])
    server:resume()
    assert.same({ "PONG" }, peer:wait_alone(slot).replies)
  end)

  it("waits no longer than his deadline", function()
    perform { { "PING" } }
    server:pause()
    local slot
    local took_ms = elapsed_ms(function()
      slot = peer:submit({ { "PING" } }, { timeout_ms = 40 })
      peer:step_alone(math.huge)
    end)
    server:resume()
    assert.is_true(took_ms >= 40 and took_ms < 30000, took_ms)
    assert.equal("timeout", peer.ended[slot].code)
  end)

  -- The completion was there, and recv waited for the reply of another one.
  it("does not wait when something has ended already", function()
    perform { { "PING" } }
    server:pause()
    peer:submit({ { "PING" } }, { timeout_ms = 60000 })
    peer:step_alone(0)
    local slot = peer:submit { { "PING" } }
    peer.engine:cancel(slot, core.now_ms())
    local took_ms = elapsed_ms(function() peer:step_alone(60000) end)
    server:resume()
    assert.is_true(took_ms < 30000, took_ms)
    assert.equal("cancelled", peer.ended[slot].code)
  end)

  it("learns that the server is not there, or goes while he waits", function()
    local nobody = client.open { path = temporary.directory() .. "/none" }
    local ended = nobody:wait_alone(nobody:submit { { "PING" } })
    assert.same({ "unavailable", "No such file or directory" },
      { ended.code, ended.message })
    nobody:close()
    local mortal = redis_server.start()
    local visitor = client.open({ path = mortal.socket }, { connect_timeout_ms = 100 })
    visitor:wait_alone(visitor:submit { { "PING" } })
    mortal:pause()
    local slot = visitor:submit({ { "PING" } }, { timeout_ms = 300 })
    visitor:step_alone(0)
    mortal:kill()
    assert.equal("timeout", visitor:wait_alone(slot).code)
    visitor:close()
  end)

  it("may send and be sent 10 MiB at the same time, over one connection", function()
    local large = ("0123456789abcdef"):rep(10 * MIB / 16)
    local lane = peer.engine:lane "meta"
    server:command("SET", "large", large)
    local slots = {}
    for i = 1, 3 do
      slots[i] = peer:submit { { "GET", "large" }, { "SET", "large", large } }
    end
    slots[4] = peer:change(lane, { "k", "large", large })
    slots[5] = peer:read(lane, "k", { "large" })
    for i = 1, 3 do
      assert.is_true(peer:wait_alone(slots[i]).replies[1] == large)
    end
    assert.equal(1, peer:wait_alone(slots[4]).replies)
    assert.is_true(peer:wait_alone(slots[5]).replies[1][1] == large)
    assert.equal(1, peer.engine:statistics().streams)
  end)

  it("whose bytes the kernel does not take waits until it does", function()
    perform { { "PING" } }
    server:pause()
    local slot = peer:submit { { "SET", "large", ("x"):rep(10 * MIB) } }
    local took_ms = elapsed_ms(function() peer:step_alone(30) end)
    assert.is_true(took_ms >= 30 and took_ms < 8000, took_ms)
    assert.is_nil(peer.ended[slot])
    server:resume()
    assert.same({ "OK" }, peer:wait_alone(slot).replies)
    assert.equal(10 * MIB, server:command("STRLEN", "large"))
  end)

  it("is not kept by one connection from the reply of another", function()
    local pool = client.open({ path = server.socket }, { pool_size = 2 })
    local lanes = { pool.engine:lane "a", pool.engine:lane "b" }
    for _, lane in ipairs(lanes) do
      pool:wait_alone(pool:submit({ { "PING" } }, { lane = lane }))
    end
    assert.equal(2, pool.engine:statistics().ready_connections)
    for i = 1, 2 do
      local blocked = pool:submit({ { "BLPOP", "list", "0" } }, { lane = lanes[i] })
      local free = pool:submit({ { "PING" } }, { lane = lanes[3 - i] })
      local took_ms = elapsed_ms(function()
        assert.same({ "PONG" }, pool:wait_alone(free).replies)
      end)
      assert.is_true(took_ms < 8000, took_ms)
      assert.is_nil(pool.ended[blocked])
      server:command("RPUSH", "list", "x")
      assert.same({ { "list", "x" } }, pool:wait_alone(blocked).replies)
    end
    pool:close()
  end)

  it("is not kept by one connection from another that is being made", function()
    local address = { host = "127.0.0.1", port = tostring(server.port) }
    local pool = client.open(address, { pool_size = 2 })
    local lanes = { pool.engine:lane "a", pool.engine:lane "b" }
    local blocked = pool:submit({ { "BLPOP", "list", "0" } }, { lane = lanes[1] })
    pool:step_alone(1000)
    pool:step_alone(100)
    local took_ms = elapsed_ms(function()
      local slot = pool:submit({ { "PING" } }, { lane = lanes[2] })
      assert.same({ "PONG" }, pool:wait_alone(slot).replies)
    end)
    assert.is_true(took_ms < 8000, took_ms)
    server:command("RPUSH", "list", "x")
    assert.same({ { "list", "x" } }, pool:wait_alone(blocked).replies)
    pool:close()
  end)

  -- recv returns when the process goes on after it was stopped; the caller's turn ends.
  it("is interrupted by a signal, and goes on", function()
    local path = temporary.directory() .. "/output"
    local program = temporary.file(([[
      package.path, package.cpath = %q, %q
      local client = require "spec.io.client"
      local peer = client.open({ path = %q }, { health_timeout_ms = 60000 })
      local out = assert(io.open(%q, "w"))
      out:setvbuf "no"
      peer:wait_alone(peer:submit { { "PING" } })
      local slot = peer:submit({ { "BLPOP", "list", "0" } }, { timeout_ms = 60000 })
      peer:step_alone(30000)
      out:write(peer.ended[slot] and "ended\n" or "interrupted\n")
      out:write(peer:wait_alone(slot).replies[1][2], "\n")
    ]]):format(package.path, package.cpath, server.socket, path))
    local child = process.start { os.getenv "LUAJIT" or "luajit", program }
    local function output()
      local file = io.open(path)
      local text = file and file:read "*a" or ""
      if file then file:close() end
      return text
    end
    assert(clock.wait_for(function()
      return server:command("CLIENT", "LIST"):find "cmd=blpop"
    end))
    -- It may be on its way into recv: again and again until it was interrupted there.
    assert(clock.wait_for(function()
      child:signal "STOP"
      child:signal "CONT"
      return output() == "interrupted\n"
    end))
    server:command("RPUSH", "list", "x")
    assert(clock.wait_for(function() return output() == "interrupted\nx\n" end))
    clock.wait_for(function() return not child:alive() end)
  end)
end)
