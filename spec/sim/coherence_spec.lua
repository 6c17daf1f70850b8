-- SPDX-License-Identifier: MIT

-- Stores with a near cache live through faults: what a cache gives is never older than
-- what its store was told, than its own writes, or than the time between two checks. Each
-- rule of coherence, left out, is seen.

local core = require "authstate.core"
local sim = require "authstate.sim"

local SEEDS = tonumber(os.getenv "SIM_SEEDS" or 100)
local ONLY_SEED = tonumber(os.getenv "SEED" or nil)
local MOST_SEEDS = 400

local function fail(report)
  error(sim.describe(report), 0)
end

-- Runs seeds until the checker complains; false when it does not.
local function find(plant, settings)
  settings = settings or {}
  for seed = 1, MOST_SEEDS do
    local report = sim.run {
      seed = seed, options = { enable_cache = true }, faults = settings.faults,
      steps = settings.steps, prepare = plant,
    }
    if report.violations[1] then return seed end
  end
  return false
end

-- Lets the near caches of both stores do something else.
local function plant_in_near(name, make)
  return function(world)
    for _, store in ipairs(world.stores) do
      local near = store.near
      near[name] = make(near, near[name])
    end
  end
end

-- What the engine tells goes through `filter(kind, value)`: false takes it away.
local function plant_in_turn(filter)
  return plant_in_near("turn", function(_, turn)
    return function(self, engine)
      local seen = {}
      function seen.take_invalidations(_, out, now_ms)
        local taken, kept = {}, 0
        local count, is_live = engine:take_invalidations(taken, now_ms)
        for i = 1, 2 * count, 2 do
          if filter(taken[i], taken[i + 1]) then
            out[2 * kept + 1], out[2 * kept + 2] = taken[i], taken[i + 1]
            kept = kept + 1
          end
        end
        return kept, is_live
      end
      return turn(self, seen)
    end
  end)
end

-- The server runs another script than ours in the place of it.
local function plant_in_script(pattern, replacement)
  return function(world)
    local sandbox = world.server.sandbox
    local load = sandbox.load
    sandbox.load = function(self, source)
      local digest, wrong = load(self, source)
      local careless, count = source:gsub(pattern, replacement)
      if count > 0 then
        local other = load(self, careless)
        self.chunks[digest] = self.chunks[other]
      end
      return digest, wrong
    end
  end
end

-- What subscribers are told comes late, by more than the time between two checks.
local function hold_subscribers(world)
  local function hold()
    for _, stream in ipairs(world.network:open_streams()) do
      local is_subscriber = stream.connection == stream.member.engine:connections() - 1
      if is_subscriber then world.network:hold(stream, 2500) end
    end
    world.loop:after(700, hold)
  end
  world.loop:after(50, hold)
end

local FLUSHED_RUN = { faults = { flushall = true, others = false }, steps = 600 }
local PATIENT_RUN = { steps = 600 }
local LONG_RUN = { faults = { others = false }, steps = 600 }

local PLANTS = {
  { "what others change is not looked at", plant_in_turn(function(kind, key)
    return kind ~= "key" or key:find "meta$"
  end) },
  { "a lost connection is not noted", plant_in_turn(function(kind)
    return kind ~= "lost"
  end) },
  { "a lost subscriber is not noted", plant_in_turn(function(kind, why)
    return kind ~= "flush" or why == "flushed"
  end) },
  { "a server that has lost all is not noted", plant_in_turn(function(kind, why)
    return kind ~= "flush" or why ~= "flushed"
  end), FLUSHED_RUN },
  { "marks are not looked at", plant_in_near("is_unmarked", function()
    return function() return true end
  end), PATIENT_RUN },
  { "all is served while nobody answers", function(world)
    hold_subscribers(world)
    plant_in_near("turn", function(near, turn)
      return function(_, engine)
        turn(near, engine)
        near.serves = true
      end
    end)(world)
  end, LONG_RUN },
  { "what is being written is served", function(world)
    for _, store in ipairs(world.stores) do
      store.near.cache.withhold = function() end
    end
  end },
  { "a failed write is taken for one that was done", plant_in_near("end_write",
    function(near, end_write)
      return function(self, ticket, generation)
        return end_write(near, ticket, generation or ticket.record.known or "0"), self
      end
    end) },
  { "what is written is not watched again", plant_in_script(
    'call_on_keys%("EXISTS", 1%)', "") },
  { "reads of an unwatched connection are kept", plant_in_near("admit",
    function(_, admit)
      return function(self, ticket, ...)
        if ticket.stream == 0 then ticket.stream = 1 end
        return admit(self, ticket, ...)
      end
    end) },
}

describe("stores with a near cache", function()
  for _, layout in ipairs { "typed", "hbinduni-hash" } do
    it("give nothing older than is promised, whatever the seed, in " .. layout, function()
      local hits = 0
      for seed = ONLY_SEED or 1, ONLY_SEED or SEEDS do
        local stores
        sim.run {
          seed = seed, layout = layout, options = { enable_cache = true },
          on_failure = fail, prepare = function(world) stores = world.stores end,
        }
        hits = stores[1].cache:stats().hits
      end
      assert.is_true(ONLY_SEED ~= nil or hits > SEEDS)
    end)
  end

  it("do so encrypted, with a preload rule, and hardly any room", function()
    for seed = 1, 60 do
      sim.run {
        seed = seed, on_failure = fail,
        options = {
          enable_cache = true, preload = "signal", cache_max_bytes = 65536,
          encryption = { keys = { [1] = core.bytes(("k"):rep(32)) }, primary = 1 },
        },
      }
    end
  end)

  it("do so when the server loses all, and nothing else happens", function()
    for seed = 1, 30 do
      sim.run {
        seed = seed, on_failure = fail, options = { enable_cache = true },
        faults = FLUSHED_RUN.faults, steps = FLUSHED_RUN.steps,
      }
    end
  end)

  it("do so when they are told late", function()
    for seed = 1, 20 do
      sim.run {
        seed = seed, on_failure = fail, options = { enable_cache = true },
        faults = LONG_RUN.faults, steps = LONG_RUN.steps, prepare = hold_subscribers,
      }
    end
  end)

  for _, plant in ipairs(PLANTS) do
    it("and the checker sees that " .. plant[1], function()
      local seed = find(plant[2], plant[3])
      assert.is_truthy(seed, "nothing was seen")
    end)
  end
end)
