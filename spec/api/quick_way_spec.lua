-- SPDX-License-Identifier: MIT

-- One record, read or written without options, takes a way of its own through a store
-- with a near cache: it must do, and count, what the long way does.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local redis_server = require "spec.support.redis_server"

local KEY = "authstate:{s}:k:pre-key"

for _, writes in ipairs { "checked", "plain" } do
  describe("one record, with a near cache and " .. writes .. " writes,", function()
    local server, store, session

    setup(function() server = redis_server.start() end)

    teardown(function() server:stop() end)

    before_each(function()
      server:command("FLUSHALL")
      store = assert(authstate.open {
        redis = server.url, enable_cache = true, writes = writes, enable_metrics = true,
      })
      session = store:session "s"
      assert(session.keys:set { ["pre-key"] = { first = "x" } })
    end)

    after_each(function() store:close() end)

    local function get(id, kind)
      return assert(session.keys:get(kind or "pre-key", { id }))
    end

    -- Reads of one type until the next one goes the quick way, and the cache serves.
    local function prepare()
      assert.is_truthy(clock.wait_for(function()
        local before = store:stats().cache.hits -- of all stores that share the cache
        get "first"
        return store:stats().cache.hits > before
      end))
    end

    local function counts()
      local stats = store:stats()
      return { hits = stats.cache.hits, misses = stats.cache.misses,
        gets = stats.operations.get.count }
    end

    local function since(before)
      local after = counts()
      for name, count in pairs(before) do after[name] = after[name] - count end
      return after
    end

    local function in_both_ways(fn)
      fn()
      authstate.run(fn)
    end

    it("is missed once, then hit, whatever it is", function()
      local values = {
        text = "some text", bytes = authstate.bytes "\1\2", number = 7,
        object = { a = { 1, 2 } }, list = authstate.array { "a" },
      }
      assert(session.keys:set { tctoken = values })
      for name in pairs(values) do
        for number = 1, 2 do
          server:command("HSET", "authstate:{s}:k:lid-mapping", name .. number, "7")
        end
      end
      prepare()
      local number = 0
      in_both_ways(function()
        number = number + 1
        for name, value in pairs(values) do
          local id = name .. number
          local before = counts()
          assert.same(7, get(id, "lid-mapping")[id])
          assert.same(7, get(id, "lid-mapping")[id])
          assert.same({ hits = 1, misses = 1, gets = 2 }, since(before))
          before = counts()
          assert.same(value, get(name, "tctoken")[name])
          assert.same(value, get(name, "tctoken")[name])
          assert.equal(2, since(before).gets)
        end
      end)
    end)

    it("is known to be absent", function()
      prepare()
      local before = counts()
      assert.same({}, get "none")
      assert.same({}, get "none")
      assert.same({ hits = 1, misses = 1, gets = 2 }, since(before))
    end)

    it("is what was written last, here or elsewhere", function()
      prepare()
      in_both_ways(function()
        for i = 1, 20 do
          assert(session.keys:set { ["pre-key"] = { a = "mine " .. i } })
          assert.equal("mine " .. i, get("a").a)
          server:command("HSET", KEY, "a", ('"foreign %d"'):format(i))
          assert.is_truthy(clock.wait_for(function()
            return get("a").a == "foreign " .. i
          end))
        end
      end)
    end)

    -- Until the server has answered the first write that a store makes in a session,
    -- nothing says in which turn it goes.
    it("is read behind the first write, which was called before it", function()
      local other = assert(authstate.open {
        redis = server.url, enable_cache = true, writes = writes, enable_metrics = true,
      })
      local reader = other:session "s"
      local function read() return assert(reader.keys:get("pre-key", { "first" })) end
      authstate.run(function()
        assert.is_truthy(clock.wait_for(function()
          local before = other:stats().cache.hits
          read()
          return other:stats().cache.hits > before
        end))
        local writing = authstate.spawn(function()
          return reader.keys:set { ["pre-key"] = { first = "new" } }
        end)
        local reading = authstate.spawn(read)
        local _, found = reading:wait()
        assert.same({ first = "new" }, found)
        assert(writing:wait())
      end)
      other:close()
    end)

    it("is kept when it was written", function()
      prepare()
      in_both_ways(function()
        assert(session.keys:set { ["pre-key"] = { w = { n = 1 } } })
        local before = counts()
        assert.same({ n = 1 }, get("w").w)
        assert.same({ hits = 1, misses = 0, gets = 1 }, since(before))
      end)
    end)

    it("that cannot be opened is corrupt each time, by its name", function()
      prepare()
      server:command("HSET", KEY, "bad", "{")
      for _ = 1, 3 do
        local found, message, code, details = session.keys:get("pre-key", { "bad" })
        assert.is_nil(found)
        assert.match('pre%-key "bad"', message)
        assert.equal("corrupt", code)
        assert.equal("bad", details.id)
      end
    end)

    it("is asked for again when its connection was lost meanwhile", function()
      prepare()
      server:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
      assert(session.keys:set { ["pre-key"] = { a = "after" } })
      assert.equal("after", get("a").a)
      server:command("HSET", KEY, "a", '"foreign"')
      assert.is_truthy(clock.wait_for(function() return get("a").a == "foreign" end))
    end)
  end)
end
