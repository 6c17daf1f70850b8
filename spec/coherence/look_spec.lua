-- SPDX-License-Identifier: MIT

-- What a socket has counts as received: it must have been looked at before something is
-- served, and that a process was busy, blocked or stopped meanwhile is no excuse.

local clock = require "spec.support.clock"
local monotonic = require "spec.coherence.monotonic"
local planted = require "spec.coherence.planted"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local world = require "spec.coherence.world"

local LUAJIT = os.getenv "LUAJIT" or "luajit"

describe("a program that was stopped while it waited", function()
  local ROUNDS, WAIT_MS, STOPPED_AFTER_MS = 5, 150, 20

  it("looks at what has come before it serves", function()
    local server = redis_server.start()
    local program = process.start {
      LUAJIT, "spec/coherence/stopped_program.lua", server.url, ROUNDS, WAIT_MS,
    }
    local count = 0
    for round = 1, ROUNDS do
      local lines = ("[^\n]*\n"):rep(2 * round - 1)
      assert.is_truthy(clock.wait_for(function()
        return program:output():find("^" .. lines .. "$")
      end), program:errors())
      clock.sleep(STOPPED_AFTER_MS)
      program:signal "STOP"
      server:command("HSET", "authstate:{s}:k:pre-key", "a", ('"%d"'):format(round))
      server:command "PING" -- with its answer all was told
      local told_ms = monotonic.now_ms()
      clock.sleep(WAIT_MS)
      program:signal "CONT"
      local began_ms, seen
      assert.is_truthy(clock.wait_for(function()
        began_ms, seen = program:output():match("^" .. lines .. "(%S+)\t(%S+)\n")
        return seen
      end), program:errors())
      if tonumber(began_ms) > told_ms then
        assert.equal(tostring(round), seen)
        count = count + 1
      end
    end
    assert.is_true(count > 0, "it never was stopped in time")
    assert.equal(0, program:wait())
    server:stop()
  end)
end)

describe("a call that was blocked for long", function()
  local place

  setup(function()
    place = world.start()
  end)

  teardown(function()
    place.proxy:stop()
    place.server:stop()
  end)

  -- What a task reads right behind a blocking call, during which somebody wrote.
  local function read_behind(made)
    local key, field = made.layout.place("s", "pre-key", "a")
    made:hold()
    local other = process.start {
      LUAJIT, "spec/coherence/release_program.lua", place.server.socket,
      place.proxy.directory .. "/control", key, field, '"new"',
    }
    assert(made.session.keys:get("pre-key", { "c" }, { timeout_ms = 10000 }))
    local seen
    made:run(function() seen = made:get "a" end)
    assert.equal(0, other:wait())
    return seen
  end

  local function try(plant, layout)
    return assert(select(2, planted.with(plant, function(authstate)
      local made = world.new(place, authstate, layout)
      local seen = read_behind(made)
      made:close()
      return seen
    end)))
  end

  -- A turn counts from when it ended, whatever it has looked at.
  local LATE_STAMP = { {
    "authstate.drivers.native", "self.near:turn(engine, self.loop:looked_ms())",
    "self.near:turn(engine)",
  } }

  for _, layout in ipairs { "typed", "hbinduni-hash" } do
    it("does not count as a look at what has come, in " .. layout, function()
      for _ = 1, 5 do assert.equal("new", try({}, layout)) end
    end)

    it("is seen to, when a turn counts from its end, in " .. layout, function()
      -- A call that falls together with a check of the connections looks at all of them.
      local is_seen = false
      for _ = 1, 10 do
        is_seen = is_seen or try(LATE_STAMP, layout) == "old"
      end
      assert.is_true(is_seen, "nothing was seen")
    end)
  end
end)
