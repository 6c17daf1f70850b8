-- SPDX-License-Identifier: MIT

-- Stores live through faults by the hundred, in simulated time; what their callers were
-- told is judged. SIM_SEEDS=10000 runs as many seeds, SEED=n one.

local authstate = require "authstate"
local clock = require "authstate.clock"
local core = require "authstate.core"
local entropy = require "authstate.entropy"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local sim = require "authstate.sim"
local temporary = require "spec.support.temporary"

local SEEDS = tonumber(os.getenv "SIM_SEEDS" or 500)
local ONLY_SEED = tonumber(os.getenv "SEED" or nil)

-- Faults that are there all the time, and are not counted.
local UNCOUNTED = {
  cut = true, delay = true, partial = true, lost = true, late = true, nokill = true,
}

local function fail(report)
  error(sim.describe(report), 0)
end

local function run(settings)
  settings.on_failure = fail
  return sim.run(settings)
end

-- All that can be told of a run.
local function story_of(report)
  local lines = { ("%d %d %.4f"):format(report.calls, report.changes, report.elapsed_ms) }
  for _, call in ipairs(report.run.calls) do
    lines[#lines + 1] = ("%d %s %s %.4f %.4f %s %s"):format(call.number, call.operation,
      call.session, call.began_ms, call.ended_ms, tostring(call.outcome.version),
      tostring(call.outcome.message))
  end
  return table.concat(lines, "\n")
end

describe("stores that live through faults", function()
  it("do what is promised, whatever the seed", function()
    local happened, told = {}, {}
    for seed = ONLY_SEED or 1, ONLY_SEED or SEEDS do
      local report = run { seed = seed }
      for name in pairs(report.faults) do happened[name] = true end
      for _, call in ipairs(report.run.calls) do
        told[call.outcome.code or "done"] = true
      end
    end
    if ONLY_SEED or SEEDS < 100 then return end
    for name in pairs(sim.faults) do
      assert.is_true(UNCOUNTED[name] or happened[name], name .. " never happened")
    end
    for _, code in ipairs {
      "done", "timeout", "unavailable", "cancelled", "fenced", "conflict", "oom",
      "readonly", "disk", "loading",
    } do
      assert.is_true(told[code], "nobody was told " .. code)
    end
  end)

  it("keep the engine's structures whole at every step", function()
    for seed = 1, 30 do
      run {
        seed = seed,
        prepare = function(world)
          local step = world.loop.step
          world.loop.step = function(...)
            for _, member in ipairs(world.loop.members) do
              assert(member.engine:validate())
            end
            return step(...)
          end
        end,
      }
    end
  end)

  it("do so in a layout of a Node package", function()
    for seed = 1, 60 do run { seed = seed, layout = "hbinduni-hash" } end
  end)

  it("do so with options and a profile of the user's", function()
    local profile = temporary.file("return { options = { pool_size = 3 } }", ".lua")
    for seed = 1, 10 do
      run { seed = seed, options = { pool_size = 8, batch_size = 1 }, steps = 60 }
      run { seed = seed, options = { profile = profile }, steps = 60 }
    end
  end)

  -- The checker looked for who wrote a value in bytes that were encrypted.
  it("do so with values that are encrypted", function()
    local encryption = { keys = { [1] = ("6b"):rep(32) }, primary = 1 }
    -- How many values of a run have text that can be read in them.
    local function count_readable(options, seed)
      local log, count
      run {
        seed = seed, options = options,
        prepare = function(world) log, count = world.server.log, 0 end,
      }
      for _, unit in ipairs(log) do
        for _, change in ipairs(unit.changes) do
          if tostring(change.value):find("--------", 1, true) then count = count + 1 end
        end
      end
      return count
    end
    assert.is_true(count_readable({}, 1) > 0)
    for seed = 1, 40 do
      assert.equal(0, count_readable({ encryption = encryption }, seed))
    end
  end)

  it("do so with values that are compressed, or of another serializer", function()
    for seed = 1, 10 do
      run { seed = seed, options = { compression = "zstd" } }
      run { seed = seed, options = { serializer = "json" } }
    end
  end)

  it("need no luck without faults: every call is answered within 20 ms", function()
    for seed = 1, 30 do
      local report = run { seed = seed, faults = { others = false } }
      for _, call in ipairs(report.run.calls) do
        assert.is_true(call.ended_ms - call.began_ms < 20, call.operation)
        assert.is_true(call.outcome.code ~= "timeout" or call.timeout_ms < 20)
      end
    end
  end)

  -- It was `nil` without a message, which means that Redis says there is nothing.
  it("do not take an answer that no script gives for an absence", function()
    local report = run {
      seed = 1, faults = { others = false },
      prepare = function(world)
        local request, count = world.server.request, 0
        world.server.request = function(self, client, words)
          local is_script = words[1] == "EVALSHA" and not world.faults.is_calm
          if is_script then count = count + 1 end
          if is_script and count % 5 == 0 then return { ok = "OK" } end
          return request(self, client, words)
        end
      end,
    }
    local misunderstood = 0
    for _, call in ipairs(report.run.calls) do
      if call.outcome.code == "server" then
        misunderstood = misunderstood + 1
        assert.equal("maybe", call.outcome.details.applied)
      end
    end
    assert.is_true(misunderstood > 0)
  end)

  for name in pairs(sim.faults) do
    it("do so when " .. sim.faults[name], function()
      for seed = 1, 10 do
        run { seed = seed, faults = { [name] = true, reset = true, others = false } }
      end
    end)
  end
end)

describe("a simulated run", function()
  it("is the same each time, in every process", function()
    local reports = {}
    for seed = 1, 20 do reports[seed] = story_of(sim.run { seed = seed }) end
    for seed = 1, 20 do
      assert.equal(reports[seed], story_of(sim.run { seed = seed }), seed)
    end
    assert.not_equal(reports[1], reports[2])
    local program = temporary.file([[
      local sim = require "authstate.sim"
      for seed = 1, 20 do
        local report = sim.run { seed = seed }
        print(("%d %d %.4f"):format(report.calls, report.changes, report.elapsed_ms))
      end
    ]])
    local lines = {}
    for seed = 1, 20 do lines[seed] = reports[seed]:match "^[^\n]*" end
    local status, out, err = process.run { "luajit", program }
    assert.equal(0, status, err)
    assert.equal(table.concat(lines, "\n") .. "\n", out)
  end)

  it("passes minutes in a moment", function()
    local began_ms, simulated_ms = core.now_ms(), 0
    for seed = 1, 20 do
      simulated_ms = simulated_ms + sim.run { seed = seed }.elapsed_ms
    end
    assert.is_true(simulated_ms > 60000)
    assert.is_true(core.now_ms() - began_ms < simulated_ms)
  end)

  it("leaves time, random bytes and the loop as they were", function()
    sim.run { seed = 1 }
    assert.equal(core.now_ms, clock.now_ms)
    assert.equal(core.random, entropy.bytes)
    local server = redis_server.start()
    local store = assert(authstate.open { redis = server.url })
    assert.is_true(store:ping())
    sim.run { seed = 2 }
    assert.is_true(store:ping())
    authstate.run(function()
      assert.equal(1, store:session("s").keys:set { t = { i = 1 } })
    end)
    store:close()
    server:stop()
  end)

  it("makes as many calls as it is told, and those of the end", function()
    local few, many = sim.run { seed = 3, steps = 12 }, sim.run { seed = 3, steps = 600 }
    assert.is_true(few.calls >= 12 and few.calls < 100)
    assert.is_true(many.calls >= 600)
  end)

  it("tells what was not as promised, with the last events of the session", function()
    local report = sim.run {
      seed = 5, faults = { others = false },
      prepare = function(world)
        -- A server that forgets a write.
        local request = world.server.request
        world.server.request = function(self, client, words)
          local reply = request(self, client, words)
          if words[1] == "EVALSHA" then table.remove(self.log) end
          return reply
        end
      end,
    }
    assert.is_true(#report.violations > 0)
    local text = sim.describe(report)
    assert.match("^SEED=5\n", text)
    assert.match("was acknowledged and never took effect", text)
    assert.match("call %d+, store %d: ", text)
  end)

  it("ends when nothing will ever happen", function()
    local report = sim.run {
      seed = 1, faults = { others = false },
      options = { redis = { socket = { command_timeout_ms = 3600000 } } },
      prepare = function(world)
        world.loop.deadline_ms = function() return math.huge end
        world.network.connect = function() end
      end,
    }
    assert.match("nothing was to come", report.violations[1].sentence)
    assert.same({}, sim.run { seed = 1 }.violations)
  end)

  for wrong, message in pairs {
    ["unknown setting \"seeds\""] = { seeds = 1 },
    ["seed: %-1; accepted: a whole number from 0"] = { seed = -1 },
    ["seed: 1.5; accepted"] = { seed = 1.5 },
    ["steps: 0; accepted: a whole number from 1"] = { steps = 0 },
    ["faults: unknown fault \"rest\""] = { faults = { rest = true } },
    ["options.redis: \"redis://x\"; accepted: a table"] =
      { options = { redis = "redis://x" } },
    ["options.writes"] = { options = { writes = "plain" } },
    ["pool_size"] = { options = { pool_size = -1 } },
    ["there is no layout"] = { layout = "no-such" },
  } do
    it("is refused: " .. wrong, function()
      local is_run, complaint = pcall(sim.run, message)
      assert.is_false(is_run)
      assert.match(wrong, complaint)
      assert.equal(core.now_ms, clock.now_ms)
    end)
  end

  it("is refused in a task", function()
    authstate.run(function()
      assert.has_error(function() sim.run { seed = 1 } end)
    end)
  end)
end)
