-- SPDX-License-Identifier: MIT
--- A simulator: real stores, with their sessions, writers and engine in C, on a model of
-- Redis behind a network that loses, delays and cuts, in a time that leaps. All that
-- happens follows from a seed; a checker judges what the callers were told.
--
--     local sim = require "authstate.sim"
--     local report = sim.run { seed = 7, options = { pool_size = 2 } }
--     if report.violations[1] then print(report.violations[1].sentence) end
--
-- @module authstate.sim

local checker = require "authstate.sim.checker"
local clock = require "authstate.clock"
local dice = require "authstate.sim.dice"
local entropy = require "authstate.entropy"
local failure = require "authstate.failure"
local faults = require "authstate.sim.faults"
local history = require "authstate.sim.history"
local loops = require "authstate.sim.loop"
local network = require "authstate.sim.network"
local observation = require "authstate.sim.observation"
local option_layers = require "authstate.option_layers"
local scheduler = require "authstate.scheduler"
local server = require "authstate.sim.server"
local store = require "authstate.store"
local work = require "authstate.sim.work"

local sim = {}

local DEFAULT_STEPS = 120
local MAX_SEED = 2 ^ 32 - 1
local MAX_STEPS = 1000000
local STORES = 2
local TASKS = 3 -- of each store
local SESSIONS = { "5511000000001", "5511000000002", "a{b}c", "5511000000003" }

-- What the clock of a run and that of its server begin with.
local BEGAN_MS = 1000000
local SERVER_BEGAN_MS = 1790000000000

local CALM_TIMEOUT_MS = 30000
-- For connections that were begun before to fail, and for others to be tried.
local SETTLE_MS = 4000
local LONGEST_LATE_MS = 45000

--- The names of all faults and what each of them is.
sim.faults = faults.SENTENCES

-- ---- what a run consists of -----------------------------------------------------------

-- Choices of different things do not depend on each other.
local STREAMS = { faults = 1, options = 2, server = 3, names = 4, work = 10 }

local function draw_options(seed, given)
  local drawn = dice.new(seed, STREAMS.options)
  local socket = {
    command_timeout_ms = drawn:pick { 200, 1000, 5000 },
    connect_timeout_ms = drawn:pick { 100, 1000, 2000 },
    max_age_ms = drawn:chance(0.2) and 500 or 0,
  }
  local options = {
    pool_size = drawn:integer(1, 3), enable_batching = drawn:chance(0.7),
    batch_size = drawn:pick { 2, 8, 256 }, batch_window_ms = drawn:pick { 0, 1, 10 },
    log = function() end,
  }
  options = option_layers.merge_tables(options, given)
  local redis = type(given.redis) == "table" and given.redis or {}
  options.redis = {
    host = "127.0.0.1", socket = option_layers.merge_tables(socket, redis.socket or {}),
    database = redis.database, username = redis.username, password = redis.password,
  }
  return options
end

local function new_world(settings)
  local seed = settings.seed
  local loop = loops.new(BEGAN_MS)
  local names, runs = dice.new(seed, STREAMS.names), dice.new(seed, STREAMS.server)
  local world = { settings = settings, loop = loop, stores = {}, handles = {} }
  world.options = draw_options(seed, settings.options)
  world.server = server.new {
    now_ms = function() return SERVER_BEGAN_MS + loop.now_ms end,
    random = function(count) return runs:bytes(count) end,
    password = world.options.redis.password,
  }
  world.random = function(count) return names:bytes(count) end
  world.faults = faults.new(dice.new(seed, STREAMS.faults), settings.faults)
  world.network = network.new(loop, world.server, world.faults)
  world.history = history.new(function() return loop.now_ms end, function()
    return #world.server.log
  end)
  return world
end

local function open_stores(world)
  for place = 1, STORES do
    local opened = assert(store.open(world.options))
    world.stores[place], world.handles[place] = opened, {}
    for i, id in ipairs(SESSIONS) do
      world.handles[place][i] = { session = opened:session(id), number = 1 }
    end
    table.insert(world.handles[place],
      { session = opened:session(SESSIONS[1]), number = 2 })
  end
end

local function worker(world, place, number, steps)
  return {
    dice = dice.new(world.settings.seed, STREAMS.work + place * 100 + number),
    history = world.history, place = place, handles = world.handles[place],
    timeout_ms = world.options.redis.socket.command_timeout_ms, steps = steps,
  }
end

-- ---- what happens in it ---------------------------------------------------------------

local function live(world)
  local tasks, count = {}, STORES * TASKS
  local steps = math.ceil(world.settings.steps / count)
  for place = 1, STORES do
    for number = 1, TASKS do
      tasks[#tasks + 1] = scheduler.spawn(work.live, worker(world, place, number, steps))
    end
  end
  for _, task in ipairs(tasks) do
    local is_fine, message = task:wait()
    if not is_fine then error(message, 0) end
  end
end

-- After the faults: every session of every store can be read and written.
local function recover(world, place)
  local self = worker(world, place, 0, 0)
  local options = { timeout_ms = CALM_TIMEOUT_MS }
  for _, handle in ipairs(world.handles[place]) do
    work.insist(self, "load", handle, options)
    local outcome = work.insist(self, "load_or_create", handle, options)
    if outcome.is_fine then work.insist(self, "get_one", handle, options) end
  end
end

local function read_all(world, place)
  local self = worker(world, place, 99, 0)
  for i in ipairs(SESSIONS) do
    local call, run = work.prepare(self, "load", world.handles[place][i],
      { timeout_ms = CALM_TIMEOUT_MS })
    call.must_succeed, call.is_last = true, true
    work.carry_out(self, call, run)
  end
end

local function each_store(act, world)
  local tasks = {}
  for place = 1, STORES do tasks[place] = scheduler.spawn(act, world, place) end
  for _, task in ipairs(tasks) do
    local is_fine, message = task:wait()
    if not is_fine then error(message, 0) end
  end
end

local function happen(world)
  world.faults:begin(world.network)
  live(world)
  world.faults:stop()
  repeat scheduler.sleep(SETTLE_MS) until world.network:is_well()
  each_store(recover, world)
  local latest_ms = world.loop.now_ms + LONGEST_LATE_MS
  while world.network.late > 0 and world.loop.now_ms < latest_ms do
    scheduler.sleep(100)
  end
  each_store(read_all, world)
  for _, opened in ipairs(world.stores) do opened:close() end
end

-- ---- a run ----------------------------------------------------------------------------

-- Calls a function with time, loop and random bytes of the world's own.
local function within(world, fn)
  local before = scheduler.use_loop(world.loop)
  clock.replace(function() return world.loop.now_ms end)
  entropy.replace(world.random)
  local is_whole, message = pcall(fn)
  scheduler.use_loop(before)
  clock.replace(nil)
  entropy.replace(nil)
  return is_whole, message
end

local function check_number(name, value, max, level)
  if type(value) ~= "number" or value % 1 ~= 0 or value < 0 or value > max then
    error(("%s: %s; accepted: a whole number from 0 to %.0f"):format(name,
      failure.show(value), max), level + 1)
  end
end

local function check_settings(given, level)
  local settings = {
    seed = given.seed, steps = given.steps or DEFAULT_STEPS, faults = given.faults or {},
    options = option_layers.merge_tables(given.options or {}, { layout = given.layout }),
  }
  check_number("seed", settings.seed, MAX_SEED, level + 1)
  check_number("steps", settings.steps, MAX_STEPS, level + 1)
  if scheduler.current() then error("run: is called in a task", level + 1) end
  return settings
end

--- Lets stores live through a run.
-- @param settings { seed = number, steps = how many calls, options = of `open`, layout =
--   name or path, faults = { [name] = boolean } }
-- @return { seed, violations = list of { sentence, call, session }, calls = how many,
--   changes = how many the server made, faults = { [name] = how often }, elapsed_ms = of
--   the simulated time }
function sim.run(settings)
  settings = check_settings(settings, 2)
  local world = new_world(settings)
  local is_whole, message = within(world, function()
    open_stores(world)
    scheduler.run(happen, world)
  end)
  local entries = observation.entries(world.server.log, world.stores[1].layout, SESSIONS)
  local violations = checker.judge(world.history.calls, entries)
  if not is_whole then table.insert(violations, 1, { sentence = tostring(message) }) end
  return {
    seed = settings.seed, violations = violations, calls = #world.history.calls,
    changes = #world.server.log, faults = world.faults.counts,
    elapsed_ms = world.loop.now_ms - BEGAN_MS, history = world.history, entries = entries,
  }
end

return sim
