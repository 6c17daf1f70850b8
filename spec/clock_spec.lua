-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local clock = require "authstate.clock"
local core = require "authstate.core"
local entropy = require "authstate.entropy"
local scheduler = require "authstate.scheduler"
local writer = require "authstate.writer"

describe("another clock", function()
  local now_ms, before

  -- A loop without sockets, which passes the time at once.
  local leap = {}

  function leap.step(_, wait_ms)
    now_ms = now_ms + wait_ms
    return true
  end

  before_each(function()
    now_ms = 5000
    clock.replace(function() return now_ms end)
    before = scheduler.use_loop(leap)
  end)

  after_each(function()
    scheduler.use_loop(before)
    clock.replace(nil)
    entropy.replace(nil)
  end)

  it("and another loop let tasks sleep for an hour in no time", function()
    local started_ms = core.now_ms()
    authstate.run(function()
      authstate.spawn(function()
        authstate.sleep(1800000)
        assert.equal(1805000, clock.now_ms())
      end)
      authstate.sleep(3600000)
    end)
    assert.equal(3605000, now_ms)
    assert.is_true(core.now_ms() - started_ms < 60000)
  end)

  it("is that of the sockets' loop again when it is taken away", function()
    scheduler.use_loop(before)
    clock.replace(nil)
    local started_ms = core.now_ms()
    assert.is_true(clock.now_ms() >= started_ms)
    authstate.run(function() authstate.sleep(1) end)
    assert.is_true(core.now_ms() >= started_ms + 1)
    assert.equal(5000, now_ms)
  end)

  it("names writers alike when the random bytes are alike", function()
    entropy.replace(function(count) return ("x"):rep(count) end)
    assert.equal("7878787878787878", writer.new_token())
    entropy.replace(nil)
    assert.not_equal(writer.new_token(), writer.new_token())
  end)
end)

describe("an engine that is told the time", function()
  local engine

  before_each(function()
    engine = core.engine {
      pool_size = 1, batch_size = 8, batch_window_ms = 4, max_operations = 10,
      max_queued_bytes = 1000, max_value_bytes = 100, max_age_ms = math.huge,
      quarantine_ms = 0, seed = 0,
      connect_timeout_ms = 50, health_timeout_ms = 80, database = 0,
    }
  end)

  after_each(function() engine:close() end)

  local function read()
    assert(engine:read(engine:lane "m", "k", { "f" }, -1, core.shapes.raw, math.huge))
  end

  it("takes it for what is submitted without one", function()
    engine:set_now(70)
    read()
    assert.equal(74, engine:deadline_ms())
  end)

  it("reads the clock again when it is told nil", function()
    engine:set_now(70)
    engine:set_now(nil)
    local began_ms = core.now_ms()
    read()
    assert.is_true(engine:deadline_ms() >= began_ms + 4)
  end)
end)
