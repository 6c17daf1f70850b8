-- SPDX-License-Identifier: MIT

local replay = require "authstate.replay"
local script = require "authstate.script"
local temporary = require "spec.support.temporary"

local LARGE = "spec/fixtures/large.trace.jsonl.gz"
local SMALL = "spec/fixtures/small.trace.jsonl.gz"

local function read(text)
  return replay.read(temporary.file(text, "trace.jsonl"))
end

local function run(calls, settings)
  return assert(replay.run(calls, settings))
end

-- What a cache under LRU does, in plain Lua: hits, round trips.
local function run_plainly(calls, entries)
  local order, hits, round_trips = {}, 0, 0
  local function index_of(key)
    for i, each in ipairs(order) do
      if each == key then return i end
    end
  end
  local function admit(key)
    order[#order + 1] = key
    if #order > entries then table.remove(order, 1) end
  end
  for _, call in ipairs(calls) do
    local missing = {}
    for _, id in ipairs(call.ids or {}) do
      local key = call.type .. "\0" .. id
      local at = index_of(key)
      if at then
        hits = hits + 1
        table.insert(order, table.remove(order, at))
      else
        missing[#missing + 1] = key
      end
    end
    if missing[1] then round_trips = round_trips + 1 end
    for _, key in ipairs(missing) do
      if not index_of(key) then admit(key) end
    end
    for _, change in ipairs(call.changes or {}) do
      local key = change.type .. "\0" .. change.id
      local at = index_of(key)
      if change.kind == "remove" then
        if at then table.remove(order, at) end
      elseif not at then
        admit(key)
      end
    end
  end
  return hits, round_trips
end

describe("a trace", function()
  it("is read line by line, ids as texts or numbers, other lines left out", function()
    local calls = assert(read [=[
["get","session",["a",7]]
["creds"]

["set",{"pre-key":["-1",-2,3],"session":["-"]}]
["get","t",[]]
["other",{}]
]=])
    assert.same({
      { kind = "get", type = "session", ids = { "a", "7" } },
      { kind = "set", changes = {
        { kind = "remove", type = "pre-key", id = "1" },
        { kind = "remove", type = "pre-key", id = "2" },
        { kind = "set", type = "pre-key", id = "3" },
        { kind = "remove", type = "session", id = "" },
      } },
      { kind = "get", type = "t", ids = {} },
    }, calls)
  end)

  it("that is wrong names the line", function()
    for line, sentence in pairs {
      ["{"] = "^[^:]+: line 3: .*JSON",
      ['{"a":1}'] = ": line 3: is no list; accepted: %[\"get\",...%] or ",
      ["5"] = ": line 3: is no list",
      ['["get"]'] = ": line 3: a get names no type",
      ['["get",5,[]]'] = ": line 3: a get names no type",
      ['["get","t"]'] = ": line 3: a get has no list of ids",
      ['["get","t",{}]'] = ": line 3: a get has no list of ids",
      ['["get","t",["a",null]]'] = ": line 3: id 2 of a get is neither",
      ['["get","t",[1.5]]'] = ": line 3: id 1 of a get is neither",
      ['["set"]'] = ": line 3: a set has no object of types",
      ['["set",["a"]]'] = ": line 3: a set has no object of types",
      ['["set",{"t":"a"}]'] = ": line 3: a set has no list of ids for t",
      ['["set",{"t":[true]}]'] = ": line 3: an id of a set is neither",
    } do
      local calls, message = read('["get","t",["a"]]\n\n' .. line .. "\n")
      assert.is_nil(calls, line)
      assert.match(sentence, message)
    end
  end)

  it("that is not there is said to be so", function()
    local calls, message = replay.read "/nowhere/trace"
    assert.is_nil(calls)
    assert.match("^/nowhere/trace: No such file", message)
  end)
end)

describe("a replay", function()
  it("counts what a plain cache under LRU counts", function()
    for _, path in ipairs { SMALL, LARGE } do
      local calls = assert(replay.read(path))
      local events, keys = replay.events(calls)
      local asked = 0
      for _, event in ipairs(events) do
        if event.kind == "get" then asked = asked + 1 end
      end
      for _, entries in ipairs { 1, 20, math.floor(keys / 10) } do
        local hits, round_trips = run_plainly(calls, entries)
        local result = run(calls, { policy = "lru", entries = entries })
        assert.equal(hits / asked, result.hit_ratio)
        assert.equal(round_trips, result.round_trips)
        assert.equal(result.hit_ratio, result.demand_hit_ratio)
      end
    end
  end)

  it("asks once for all ids of a read that are missing", function()
    local calls = assert(read [=[
["get","t",["a","b"]]
["get","t",["a","b","c"]]
["get","t",["c"]]
]=])
    local result = run(calls, { policy = "lru", entries = 10 })
    assert.same({ 2, 3 / 6 }, { result.round_trips, result.hit_ratio })
  end)

  it("serves that a record is absent, and a record that was set", function()
    local calls = assert(read [=[
["get","t",["a"]]
["get","t",["a"]]
["set",{"t":["b"]}]
["get","t",["b"]]
["set",{"t":["-b"]}]
["get","t",["b"]]
["get","t",["b"]]
]=])
    local result = run(calls, { policy = "lru", entries = 10 })
    assert.same({ 2, 3 / 5 }, { result.round_trips, result.hit_ratio })
  end)

  it("counts what a rule brought as served, and apart what no rule brought", function()
    local rule = temporary.file([[
      return function()
        return { read = function(also, kind, ids)
          if kind == "identity-key" then also("session", ids[1]) end
        end }
      end]], "rule.lua")
    local calls = assert(read [=[
["get","identity-key",["a"]]
["get","session",["a"]]
["get","session",["a"]]
["get","identity-key",["b"]]
]=])
    local result = run(calls, { policy = "lru", entries = 10, preload = rule })
    assert.same({ 2, 0.5, 0.25, 1, 0 }, { result.round_trips, result.hit_ratio,
      result.demand_hit_ratio, result.useful, result.wasted })
  end)

  it("holds what fits into so many bytes", function()
    local calls, last = assert(replay.read(LARGE)), 0
    for _, bytes in ipairs { 2000, 30000, 100000, 1000000 } do
      local result = run(calls, { policy = "s3fifo", bytes = bytes })
      local events = replay.events(calls)
      assert.is_true(result.hit_ratio >= last)
      assert.is_true(result.hit_ratio <= replay.optimum(events, { bytes = bytes }))
      last = result.hit_ratio
    end
    assert.is_true(last > 0.8)
  end)

  it("fails with the policy's fault, and not as another one", function()
    local path = temporary.file([[
      return function(cache)
        local lru = require "authstate.policies.lru" (cache)
        function lru.evict() return 0 end
        return lru
      end]], "zero.lua")
    local result, message = replay.run(assert(replay.read(SMALL)),
      { policy = path, entries = 10 })
    assert.is_nil(result)
    assert.match("evict: returned 0, which is no entry", message)
  end)
end)

-- The fixtures are two of many traces that the policies and rules were tried on.
describe("at a tenth of the keys of a trace", function()
  for _, path in ipairs { SMALL, LARGE } do
    local calls = assert(replay.read(path))
    local events, keys = replay.events(calls)
    local entries = math.floor(keys / 10)
    local optimum = replay.optimum(events, { entries = entries })
    local lru = run(calls, { policy = "lru", entries = entries })

    it("no policy without preload passes the optimum, and tinylfu has 0.85 of it: "
      .. path, function()
        for _, policy in ipairs(script.names "policies") do
          local result = run(calls, { policy = policy, entries = entries })
          assert.is_true(result.hit_ratio <= optimum)
          assert.is_true(policy == "lfu" or result.hit_ratio >= 0.7 * optimum, policy)
        end
        local best = run(calls, { policy = "tinylfu", entries = entries })
        assert.is_true(best.hit_ratio >= 0.85 * optimum, best.hit_ratio / optimum)
      end)

    for _, rule in ipairs(script.names "preload") do
      it(("%s has 0.94 of it, and 0.70 of the round trips of lru: %s"):format(rule, path),
        function()
          local result = run(calls,
            { policy = "tinylfu", preload = rule, entries = entries })
          assert.is_true(result.hit_ratio >= 0.94 * optimum, result.hit_ratio / optimum)
          assert.is_true(result.round_trips <= 0.70 * lru.round_trips,
            result.round_trips / lru.round_trips)
        end)
    end
  end
end)
