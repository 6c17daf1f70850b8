-- SPDX-License-Identifier: MIT
--- A simulator: real stores, with their sessions, writers and engine in C, on a model of
-- Redis behind a network that loses, delays and cuts, in a time that leaps. All that
-- happens follows from a seed; a checker judges what the callers were told.
--
--     local sim = require "authstate.sim"
--     local report = sim.run { seed = 7, options = { pool_size = 2 } }
--     if report.violations[1] then error(sim.describe(report)) end
--
-- @module authstate.sim

local checker = require "authstate.sim.checker"
local clock = require "authstate.clock"
local coherence = require "authstate.coherence"
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
local story = require "authstate.sim.story"
local suggest = require "authstate.suggest"
local work = require "authstate.sim.work"

local sim = {}

local DEFAULT_STEPS = 120
local MAX_SEED = 2 ^ 32 - 1
local MAX_STEPS = 1000000
local MAX_TOLD = 3
local MAX_PAUSES = 100
local STORES = 2
local TASKS = 3 -- of each store
local SESSIONS = { "5511000000001", "5511000000002", "a{b}c", "5511000000003" }

-- What the clock of a run and that of its server begin with.
local BEGAN_MS = 1000000
local SERVER_BEGAN_MS = 1790000000000

-- How many of the calls are made before the faults stop.
local TROUBLED_SHARE = 0.8

local CALM_TIMEOUT_MS = 30000
-- For connections that were begun before to fail, and for others to be tried.
local SETTLE_MS = 4000
-- A silent connection is given up so much later than it is found out, at the latest.
local SLOWNESS_MS = 5000
local LONGEST_LATE_MS = 45000

--- The names of all faults and what each of them is.
sim.faults = faults.SENTENCES

-- ---- what a run consists of -----------------------------------------------------------

-- Choices of different things do not depend on each other.
local STREAMS = { faults = 1, options = 2, server = 3, names = 4, work = 10 }

-- Options that are not given vary with the seed; those of a profile are left alone.
local function draw_options(seed, given)
  local drawn = dice.new(seed, STREAMS.options)
  local socket = {
    command_timeout_ms = drawn:pick { 200, 1000, 5000, 60000 },
    connect_timeout_ms = drawn:pick { 100, 1000, 2000 },
    max_age_ms = drawn:chance(0.2) and 500 or 0,
  }
  local options = {
    pool_size = drawn:integer(1, 3), enable_batching = drawn:chance(0.7),
    batch_size = drawn:pick { 2, 8, 256 }, batch_window_ms = drawn:pick { 0, 1, 10 },
    redis = { socket = socket },
  }
  socket.health_timeout_ms = drawn:pick { 300, 3000, 10000, 10000 }
  options.enable_cache = drawn:chance(0.5)
  local base = { log = function() end, redis = { host = "127.0.0.1" } }
  if not given.profile then base = option_layers.merge_tables(options, base) end
  return option_layers.merge_tables(base, given)
end

local function new_world(settings)
  local seed = settings.seed
  local loop = loops.new(BEGAN_MS, function()
    for task in pairs(scheduler.living) do task:cancel() end
  end)
  local names, runs = dice.new(seed, STREAMS.names), dice.new(seed, STREAMS.server)
  local world = {
    settings = settings, loop = loop, stores = {}, handles = {}, unknown = {},
    writing = {},
  }
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
    world.unknown[place], world.writing[place] = {}, {}
    for i, id in ipairs(SESSIONS) do
      world.handles[place][i] = { session = opened:session(id), number = 1 }
    end
    table.insert(world.handles[place],
      { session = opened:session(SESSIONS[1]), number = 2 })
  end
end

-- The faults stop, once.
local function calm_down(world)
  if world.faults.is_calm then return end
  world.faults:stop()
  world.calm_ms = world.loop.now_ms
end

-- What each store was told: by key, the last change of which it knows; and of all keys,
-- when it lost a connection and so all that it had.
local function watch_stores(world)
  local told = {}
  for place, opened in ipairs(world.stores) do
    if opened.near then told[place] = { keys = {}, all = 0 } end
  end
  local function told_by(engine)
    for place, opened in ipairs(world.stores) do
      if opened.driver.engine == engine then return told[place], opened end
    end
  end
  function world.network.on_told(engine, key, position)
    local of_store = told_by(engine)
    if of_store and key then
      of_store.keys[key] = position
    elseif of_store then
      of_store.all = position
    end
  end
  function world.network.on_lost(engine, connection, position)
    local of_store, opened = told_by(engine)
    if not of_store then return end
    local is_subscriber = connection == engine:connections() - 1
    -- With several connections it lost only what it had read over that one.
    local is_only = connection == 0 and opened.options.pool_size == 1
    if is_subscriber or is_only then of_store.all = position end
  end
  world.told = told
end

local function told_at(world, place)
  local told, layout = world.told[place], world.stores[place].layout
  if not told then return nil end
  return function(session, kind)
    local key = layout.key(session, kind, "")
    return math.max(told.all, told.keys[key] or 0)
  end
end

local function worker(world, place, number, steps)
  return {
    dice = dice.new(world.settings.seed, STREAMS.work + place * 100 + number),
    history = world.history, place = place, handles = world.handles[place],
    told_at = told_at(world, place),
    unknown = world.unknown[place], writing = world.writing[place],
    timeout_ms = world.stores[place].server.socket.command_timeout_ms, steps = steps,
    on_step = function()
      local calls = #world.history.calls
      if calls >= TROUBLED_SHARE * world.settings.steps then calm_down(world) end
    end,
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

local function observe(world)
  return observation.entries(world.server.log, world.stores[1], SESSIONS)
end

local function happen(world)
  world.faults:begin(world.network)
  live(world)
  calm_down(world)
  -- Sessions refuse writes when a server did not let a client end its lost connection.
  if world.server.refused_kills > 0 then
    scheduler.sleep(world.stores[1].server.socket.quarantine_ms)
  end
  repeat scheduler.sleep(SETTLE_MS) until world.network:is_well()
  each_store(recover, world)
  local latest_ms = world.loop.now_ms + LONGEST_LATE_MS
  while world.network.late > 0 and world.loop.now_ms < latest_ms do
    scheduler.sleep(100)
  end
  each_store(read_all, world)
  world.entries = observe(world) -- a store that is closed has forgotten its keys
  for _, opened in ipairs(world.stores) do opened:close() end
end

-- ---- a run ----------------------------------------------------------------------------

-- Calls a function with time, loop and random bytes of the world's own.
local function within(world, fn)
  local before = scheduler.use_loop(world.loop)
  clock.replace(function() return world.loop.now_ms end)
  entropy.replace(world.random)
  local is_whole, message = pcall(fn, world)
  scheduler.use_loop(before)
  clock.replace(nil)
  entropy.replace(nil)
  return is_whole, message
end

-- After an error in the middle of a run: its tasks end, so that another one can begin.
local function end_tasks()
  for task in pairs(scheduler.living) do task:cancel() end
  scheduler.run(function()
    for _ = 1, MAX_PAUSES do
      local first = next(scheduler.living)
      if next(scheduler.living, first) == nil then break end
      scheduler.sleep(1)
    end
  end)
end

local function check_number(name, value, least, most, level)
  if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
    error(("%s: %s; accepted: a whole number from %d to %.0f"):format(name,
      failure.show(value), least, most), level + 1)
  end
end

local function check_table(name, value, level)
  if value ~= nil and type(value) ~= "table" then
    error(("%s: %s; accepted: a table"):format(name, failure.show(value)), level + 1)
  end
  return value or {}
end

local function check_faults(given, level)
  for name in pairs(given) do
    if name ~= "others" and not faults.SENTENCES[name] then
      error(("faults: unknown fault %s%s; accepted: %s, others"):format(
        failure.show(name), suggest.phrase(tostring(name), faults.NAMES),
        table.concat(faults.NAMES, ", ")), level + 1)
    end
  end
end

local function check_options(given, level)
  check_table("options.redis", given.redis, level + 1)
  if given.writes == "plain" then
    error('options.writes: "plain" promises less than the checker asks for; accepted: '
      .. '"checked"', level + 1)
  end
end

local SETTINGS = {
  "seed", "steps", "options", "layout", "faults", "on_failure", "prepare",
}

local function check_settings(given, level)
  if type(given) ~= "table" then
    error(("settings: %s; accepted: a table"):format(failure.show(given)), level + 1)
  end
  for name in pairs(given) do
    local is_known = false
    for _, known in ipairs(SETTINGS) do is_known = is_known or known == name end
    if not is_known then
      error(("unknown setting %s%s; accepted: %s"):format(failure.show(name),
        suggest.phrase(tostring(name), SETTINGS), table.concat(SETTINGS, ", ")),
        level + 1)
    end
  end
  local settings = {
    seed = given.seed or 1, steps = given.steps or DEFAULT_STEPS,
    faults = check_table("faults", given.faults, level + 1),
    options = option_layers.merge_tables(
      check_table("options", given.options, level + 1), { layout = given.layout }),
  }
  check_number("seed", settings.seed, 0, MAX_SEED, level + 1)
  check_number("steps", settings.steps, 1, MAX_STEPS, level + 1)
  check_faults(settings.faults, level + 1)
  check_options(settings.options, level + 1)
  if scheduler.has_tasks() then error("run: there are tasks", level + 1) end
  return settings
end

-- What the checker says of a world in which all has happened.
local function report_on(world, message)
  local calls, log = world.history.calls, world.server.log
  local entries = world.entries or observe(world)
  local violations = checker.judge(calls, entries, {
    cached_ms = coherence.CHECK_MS, server_ms = SERVER_BEGAN_MS,
    calm_ms = world.calm_ms, are_late_writes_allowed = world.server.refused_kills > 0,
    recovery_ms = world.stores[1].server.socket.health_timeout_ms + SLOWNESS_MS,
  })
  if message then table.insert(violations, 1, { sentence = tostring(message) }) end
  return {
    seed = world.settings.seed, violations = violations, calls = #calls, changes = #log,
    faults = world.faults.counts, elapsed_ms = world.loop.now_ms - BEGAN_MS,
    run = {
      calls = calls, entries = entries, began_ms = BEGAN_MS, server_ms = SERVER_BEGAN_MS,
    },
  }
end

--- Lets two stores live through a run, in which all follows from the seed.
-- @param settings { seed = number (1), steps = how many calls, about (120), options = of
--   `open` but for where the server is, layout = name or path, faults = { [name] = true
--   or false }: whether a fault is there, which the seed decides otherwise; `others =
--   false`: no other ones; on_failure = function(report) that is called when something
--   was not as promised }
-- @return { seed, violations = list of { sentence, session, call }, calls = how many,
--   changes = how many the server made, faults = { [name] = how often }, elapsed_ms = how
--   long it took in the simulated time }
-- @raise for settings and options that are wrong
function sim.run(settings)
  local checked = check_settings(settings, 2)
  local world = new_world(checked)
  local is_open, mistake = within(world, open_stores)
  if not is_open then error((tostring(mistake):gsub("^[^\n]-:%d+: ", "")), 2) end
  watch_stores(world)
  if settings.prepare then settings.prepare(world) end
  local is_whole, message = within(world, function()
    scheduler.run(happen, world)
  end)
  if scheduler.has_tasks() then within(world, end_tasks) end
  if world.loop.is_stuck then
    is_whole, message = false, "all waited, and nothing was to come"
  end
  local report = report_on(world, not is_whole and message)
  if report.violations[1] and settings.on_failure then settings.on_failure(report) end
  return report
end

--- What was not as promised in a run, in words, with the last events of the sessions
-- concerned.
-- @param report of `run`
-- @return text, several lines
function sim.describe(report)
  local lines = { ("SEED=%.0f"):format(report.seed) }
  for i, violation in ipairs(report.violations) do
    if i > MAX_TOLD then
      lines[#lines + 1] = ("and %d more"):format(#report.violations - MAX_TOLD)
      break
    end
    lines[#lines + 1] = violation.sentence
    local call = violation.call
    if violation.session then
      local told = story.tell(report.run, violation.session, call and call.ended_ms)
      for _, line in ipairs(told) do lines[#lines + 1] = "  " .. line end
    end
  end
  return table.concat(lines, "\n")
end

return sim
