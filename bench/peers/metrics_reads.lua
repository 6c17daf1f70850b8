-- SPDX-License-Identifier: MIT

-- What counting and telling of calls costs: the same reads of one record by stores that
-- differ in nothing else, in slices that alternate. Prints for each way of watching the
-- median of its slices, microseconds of processor time a read: by 1,000 tasks, alone, and
-- as a hit of the cache.
--
--     luajit bench/peers/metrics_reads.lua SLICES

local authstate = require "authstate"
local redis_server = require "spec.support.redis_server"
local statistics = require "bench.harness.statistics"

local KIND, COUNT, SESSION, TASKS = "pre-key", 512, "5511999999999", 1000

-- How many reads a slice has.
local READS = { tasks = 40000, alone = 1000, hit = 100000 }

local WAYS = {
  { name = "plain", options = {} },
  { name = "again", options = {} },
  { name = "enable_metrics", options = { enable_metrics = true } },
  { name = "on_operation", options = { on_operation = function() end } },
}

-- Lists of one id, made beforehand.
local ids = {}
for i = 1, COUNT do ids[i] = { tostring(i) } end

local function read(keys, first, count, step)
  for i = first, count, step do
    assert(keys:get(KIND, ids[i % COUNT + 1]))
  end
end

local situations = {}

function situations.tasks(keys, count)
  authstate.run(function()
    for number = 1, TASKS do authstate.spawn(read, keys, number, count, TASKS) end
  end)
end

function situations.alone(keys, count) read(keys, 1, count, 1) end

function situations.hit(keys, count)
  authstate.run(function() read(keys, 1, count, 1) end)
end

local function open(server, way, has_cache)
  local given = { redis = server.url, enable_cache = has_cache }
  for name, value in pairs(way.options) do given[name] = value end
  return assert(authstate.open(given))
end

-- Until all reads are hits.
local function fill(store, keys)
  repeat
    local before = store:stats().cache.misses
    situations.hit(keys, COUNT)
    authstate.sleep(1)
  until store:stats().cache.misses == before and store:stats().cache.hits > 0
end

local function contestants(server, situation)
  local list = {}
  for i, way in ipairs(WAYS) do
    local store = open(server, way, situation == "hit")
    list[i] = { store = store, keys = store:session(SESSION).keys, slices = {} }
    if situation == "hit" then fill(store, list[i].keys) end
  end
  return list
end

local function write_records(server)
  local store, records = open(server, WAYS[1], false), {}
  for i = 1, COUNT do
    records[tostring(i)] = { public = ("p"):rep(33), private = ("s"):rep(32) }
  end
  assert(store:session(SESSION).keys:set { [KIND] = records })
  store:close()
end

local function measure(situation, list, slices)
  local play, count = situations[situation], READS[situation]
  for slice = 0, slices do -- the first one is for warming up
    for turn = 1, #list do
      -- Another one is first, and none follows always upon the same one.
      local place = slice % 2 == 0 and turn or -turn
      local each = list[(math.floor(slice / 2) + place) % #list + 1]
      collectgarbage()
      local started_s = os.clock()
      play(each.keys, count)
      each.slices[slice] = os.clock() - started_s
    end
  end
  for i, each in ipairs(list) do
    local median_s = statistics.quartiles(each.slices).median
    print(("%s\t%s\t%.4f"):format(situation, WAYS[i].name, median_s / count * 1e6))
    each.store:close()
  end
end

local server = redis_server.start()
write_records(server)
for _, situation in ipairs { "tasks", "alone", "hit" } do
  measure(situation, contestants(server, situation), tonumber(arg[1]))
end
server:stop()
