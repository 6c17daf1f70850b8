-- SPDX-License-Identifier: MIT

-- store:use_profile with other options of the near cache, which stores may share.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local outcome = require "spec.api.outcome"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local MIB = 1024 * 1024

-- No other spec asks for such a bound: what is measured here is not shared with it.
local BOUND = 3 * MIB + 7

local server, stores, logged

setup(function() server = redis_server.start {} end)
teardown(function() server:stop() end)

before_each(function()
  server:command "FLUSHALL"
  stores, logged = {}, {}
end)

after_each(function()
  for _, each in ipairs(stores) do each:close() end
end)

local function open(options)
  local given = { redis = server.url, profile = options.profile or "default" }
  given.enable_cache = options.enable_cache ~= false
  function given.log(level, message) logged[#logged + 1] = level .. ": " .. message end
  local store = assert(authstate.open(given))
  stores[#stores + 1] = store
  return store
end

local function profile(text)
  return temporary.file("return { options = { " .. text .. " } }", "p.lua")
end

local function bounded(text)
  return profile(("cache_max_bytes = %d, %s"):format(BOUND, text or ""))
end

local function hits(store) return store:stats().cache.hits end

local function is_hit(store, id)
  local before = hits(store)
  assert(store:session("s").keys:get("t", { id }))
  return hits(store) > before
end

local function keep(store, id)
  assert.is_truthy(clock.wait_for(function() return is_hit(store, id) end))
end

local function write(store, count)
  local records = {}
  for i = 1, count do records[tostring(i)] = { text = ("x"):rep(1000) .. i } end
  assert(store:session("s").keys:set { t = records })
end

describe("a cache that one store has for itself", function()
  it("has another bound and policy at once, and keeps what it holds", function()
    local store = open { profile = bounded() }
    write(store, 100)
    for i = 1, 100 do keep(store, tostring(i)) end
    local before = store:stats().cache
    assert.equal(BOUND, before.capacity_bytes)
    assert.equal(100, before.entries)
    local path = profile 'cache_max_bytes = 65536, policy = "lru"'
    assert.same({ applied = { "cache_max_bytes", "policy" }, reopen = {} },
      store:use_profile(path))
    local now = store:stats().cache
    assert.equal(65536, now.capacity_bytes)
    assert.is_true(now.bytes <= 65536 and now.entries > 10 and now.entries < 100)
    assert.equal(before.entries - now.entries, now.evictions - before.evictions)
    -- Under lru the last ones that were read are left.
    assert.is_true(is_hit(store, "100"))
    assert.is_false(is_hit(store, "1"))
    -- And a larger bound holds all of them again.
    assert.same({ "cache_max_bytes" }, store:use_profile(
      profile(('cache_max_bytes = %d, policy = "lru"'):format(BOUND))).applied)
    assert.equal(BOUND, store:stats().cache.capacity_bytes)
    for i = 1, 100 do keep(store, tostring(i)) end
    assert.equal(100, store:stats().cache.entries)
  end)

  it("forgets what it holds when the time to live is another one", function()
    local store = open { profile = bounded "cache_ttl_ms = 600000" }
    write(store, 2)
    keep(store, "1")
    assert.same({ "cache_ttl_ms" },
      store:use_profile(bounded "cache_ttl_ms = { t = 1 }").applied)
    assert.equal(0, store:stats().cache.entries)
    assert(store:session("s").keys:get("t", { "1" }))
    clock.wait_for(function() return not is_hit(store, "1") end)
    store:use_profile(bounded "cache_ttl_ms = 600000")
    keep(store, "1")
  end)

  it("has another rule of preloading for the reads that come", function()
    local rule = temporary.file([[return function()
      return { read = function(also, kind) also(kind, "2") end }
    end]], "rule.lua")
    local store = open { profile = bounded() }
    write(store, 2)
    keep(store, "1")
    assert.same({ "preload", "preload_limit" },
      store:use_profile(bounded(('preload = "%s", preload_limit = 1'):format(rule)))
        .applied)
    assert.is_true(is_hit(store, "1"))
    server:command("HSET", "authstate:{s}:k:t", "other", "1") -- all of the key go
    clock.wait_for(function() return not is_hit(store, "1") end)
    assert.is_true(is_hit(store, "2"))
    assert.equal(1, store:stats().cache.preload.useful)
  end)

  it("keeps decoded tables, or keeps them no longer", function()
    local store = open { profile = bounded() }
    write(store, 1)
    keep(store, "1")
    local keys = store:session("s").keys
    local function shared()
      return assert(keys:get("t", { "1" }, { shared = true }))["1"]
    end
    assert.not_equal(shared(), shared())
    assert.same({ "memory_efficient" },
      store:use_profile(bounded "memory_efficient = false").applied)
    assert.equal(shared(), shared())
    assert(store:use_profile(bounded()))
    assert.not_equal(shared(), shared())
  end)

  it("raises what is wrong with a policy or a rule, and nothing changes", function()
    local store = open { profile = bounded() }
    write(store, 1)
    keep(store, "1")
    local junk = temporary.file("return 5", "junk.lua")
    local before = store:stats().cache
    for text, words in pairs {
      ['policy = "lruu", batch_size = 7'] = 'option "policy": .*lruu',
      ['preload = "sginal", batch_size = 7'] = 'option "preload": .*sginal',
      [('policy = "%s", batch_size = 7'):format(junk)] = 'option "policy": .*returns 5',
    } do
      local message = outcome.raises(function() store:use_profile(bounded(text)) end)
      assert.match("p%.lua:1: " .. words, message)
    end
    assert.same(before, store:stats().cache)
    assert.equal("tinylfu", store.options.policy)
    assert.equal(256, store.options.batch_size)
    assert.is_true(is_hit(store, "1"))
  end)
end)

describe("stores that share a cache", function()
  it("part when one of them asks for another one", function()
    local one, other = open { profile = bounded() }, open { profile = bounded() }
    write(one, 10)
    for i = 1, 10 do
      keep(one, tostring(i))
      keep(other, tostring(i))
    end
    assert.same(one:stats().cache, other:stats().cache)
    assert(one:use_profile(profile 'cache_max_bytes = 65536, policy = "fifo"'))
    -- The other one has its bound, and what it holds; what was the first one's has gone.
    assert.equal(BOUND, other:stats().cache.capacity_bytes)
    assert.equal(10, other:stats().cache.entries)
    assert.is_true(is_hit(other, "1"))
    assert.equal(65536, one:stats().cache.capacity_bytes)
    assert.equal(0, one:stats().cache.entries)
    keep(one, "1")
    assert.equal(1, one:stats().cache.entries)
    -- A third one that asks for the same has it, too, and so has the first one again.
    assert(other:use_profile(profile 'cache_max_bytes = 65536, policy = "fifo"'))
    assert.same(one:stats().cache, other:stats().cache)
    -- What a store asks for is found by that, not by what it was at first.
    local third = open { profile = bounded() }
    assert.equal(0, third:stats().cache.entries)
    assert.equal(BOUND, third:stats().cache.capacity_bytes)
  end)

  it("find what is theirs in a cache that others have filled", function()
    local small = profile 'cache_max_bytes = 65536, policy = "fifo"'
    local one, other = open { profile = bounded() }, open { profile = small }
    write(one, 2)
    keep(one, "1")
    -- There the type that is the first one here is the second.
    assert(other:session("o").keys:set { u = { a = 1 }, t = { ["1"] = 1 } })
    clock.wait_for(function()
      return next(assert(other:session("o").keys:get("u", { "a" }))) and
        other:stats().cache.hits > 0
    end)
    assert(other:session("o").keys:get("t", { "1" }))
    assert(one:use_profile(small))
    keep(one, "1")
    local before = one:stats().cache.invalidations
    server:command("HSET", "authstate:{s}:k:t", "1", "5")
    local found
    assert.is_truthy(clock.wait_for(function()
      found = assert(one:session("s").keys:get("t", { "1" }))
      return one:stats().cache.invalidations > before
    end))
    assert.same({ ["1"] = 5 }, found)
    assert.same({ ["1"] = 1 }, other:session("o").keys:get("t", { "1" }))
  end)

  it("do not count one that is closed", function()
    local one, other = open { profile = bounded() }, open { profile = bounded() }
    write(one, 3)
    keep(one, "1")
    other:close()
    assert(one:use_profile(bounded 'policy = "sieve"'))
    assert.is_true(is_hit(one, "1"))
  end)

  it("are each told of what their own rule has added", function()
    local seen = {}
    local function rule(name)
      return temporary.file(([[
        local told = ...
        return function()
          return {
            read = function(also, kind) also(kind, "2") end,
            seen = function() _G.told_of_rules["%s"] = true end,
          }
        end]]):format(name), name .. ".lua")
    end
    rawset(_G, "told_of_rules", seen)
    local one = open { profile = bounded(('preload = "%s"'):format(rule "one")) }
    local other = open { profile = bounded(('preload = "%s"'):format(rule "other")) }
    write(one, 2)
    keep(one, "1")
    keep(one, "2")
    assert(one:session("s").keys:get("t", { "1", "2" }))
    server:command("HSET", "authstate:{s}:k:t", "x", "1")
    clock.wait_for(function() return not is_hit(one, "1") end)
    keep(one, "2")
    rawset(_G, "told_of_rules", nil)
    assert.same({ one = true }, seen)
    assert(other:ping())
  end)
end)

describe("a store without a cache", function()
  it("puts off what belongs to one", function()
    local store = open { enable_cache = false }
    assert.same({ "cache_max_bytes", "policy" },
      store:use_profile(bounded 'policy = "lru"').reopen)
  end)
end)

describe("another cache under load", function()
  -- A foreign writer counts a record up and says, after Redis has answered, how far it
  -- is: no read that begins later may see less. Two stores, one of which goes through
  -- caches of its own and shared ones.
  it("never serves what is older than an own write", function()
    local one, other = open { profile = bounded() }, open { profile = bounded() }
    local profiles = {
      bounded(), bounded 'policy = "lru"', profile "cache_max_bytes = 65536",
      bounded "cache_ttl_ms = 1000", bounded 'preload = "learned"',
      bounded "memory_efficient = false", "low-latency",
    }
    local SESSIONS, WRITES = 8, 120
    local done, changes, served = 0, 0, 0
    authstate.run(function()
      for number = 1, SESSIONS do
        authstate.spawn(function()
          local store = number % 2 == 0 and one or other
          local keys = store:session("s" .. number).keys
          local options = { timeout_ms = 60000 }
          local acknowledged = 0
          local reader = authstate.spawn(function()
            while acknowledged < WRITES do
              local least = acknowledged
              local found = assert(keys:get("t", { "a" }, options))
              assert.is_true((found.a or 0) >= least)
              -- A hit of one record, which needs no options.
              least = acknowledged
              local again = keys:get("t", { "a" })
              assert.is_true(again == nil or (again.a or 0) >= least)
              served = served + 1
              authstate.sleep(0)
            end
          end)
          for i = 1, WRITES do
            assert(keys:set({ t = { a = i } }, options))
            acknowledged = i
            if i % 3 == 0 then authstate.sleep(1) end
          end
          assert(reader:wait())
          done = done + 1
        end)
      end
      authstate.spawn(function()
        while done < SESSIONS do
          changes = changes + 1
          assert(one:use_profile(profiles[changes % #profiles + 1]))
          authstate.sleep(2)
        end
      end)
    end)
    assert.equal(SESSIONS, done)
    assert.is_true(changes > #profiles)
    assert.is_true(one:stats().cache.hits + other:stats().cache.hits > 0)
    assert.same({}, logged)
  end)

  it("serves what another writer changed no longer, once that was told", function()
    local one, other = open { profile = bounded() }, open { profile = bounded() }
    write(one, 1)
    local writer = open { enable_cache = false }
    local profiles = { bounded 'policy = "lru"', profile "cache_max_bytes = 65536",
      bounded() }
    authstate.run(function()
      for i = 1, 60 do
        assert(writer:session("s").keys:set { t = { a = i } })
        assert(one:use_profile(profiles[i % #profiles + 1]))
        for _, store in ipairs { one, other } do
          -- The message may still be under way; it must come.
          assert.is_truthy(clock.wait_for(function()
            authstate.sleep(0)
            return assert(store:session("s").keys:get("t", { "a" })).a == i
          end))
        end
      end
    end)
    assert.is_true(hits(other) > 0)
  end)
end)
