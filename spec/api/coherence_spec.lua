-- SPDX-License-Identifier: MIT

-- The near cache on real servers: what is served from it, and what makes it go. The other
-- writer is a bare client that knows nothing of authstate, as a Node program would be.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local outcome = require "spec.api.outcome"
local redis_server = require "spec.support.redis_server"

local fails = outcome.fails

-- What is waited for comes sooner, or never.
local LONG_MS = 20000

-- How the records of session "s" look in each layout: the key, and the field of one.
local LAYOUTS = {
  typed = function(kind, id) return "authstate:{s}:k:" .. kind, id end,
  ["hbinduni-hash"] = function(kind, id) return "s:auth", kind .. "-" .. id end,
}

for _, layout in ipairs { "typed", "hbinduni-hash" } do
  describe("the near cache, in " .. layout .. ",", function()
    local server, store, session, warned
    local place = LAYOUTS[layout]

    setup(function()
      server = redis_server.start { config = { appendonly = "yes", appendfsync = "no" } }
    end)

    teardown(function()
      server:stop()
    end)

    local function open(options)
      local given = { redis = server.url, layout = layout, enable_cache = true }
      function given.log(level, message)
        warned[#warned + 1] = level .. ": " .. message
      end
      for name, value in pairs(options or {}) do given[name] = value end
      return assert(authstate.open(given))
    end

    before_each(function()
      warned = {}
      server:command("FLUSHALL")
      store = open()
      session = store:session "s"
      assert(session.keys:set_json {
        ["pre-key"] = { a = '"old"', b = '{"n":1}' }, tctoken = { x = "1" },
      })
    end)

    after_each(function()
      store:close()
    end)

    -- Of all stores of this process that ask for the same cache.
    local function hits() return store:stats().cache.hits end

    -- Whether a read asks nobody.
    local function is_hit(kind, id)
      local before = hits()
      assert(session.keys:get(kind, { id }))
      return hits() > before
    end

    -- Reads until the answer comes from the cache, which it must.
    local function keep(kind, id)
      assert.is_truthy(clock.wait_for(function() return is_hit(kind, id) end))
    end

    local function value(id) return assert(session.keys:get("pre-key", { id }))[id] end

    -- What somebody else writes, with a bare client.
    local function write(kind, id, text)
      local key, field = place(kind, id)
      assert(server:command("HSET", key, field, text))
    end

    -- The same, until the store was told: what it has of that key goes.
    local function write_and_tell(kind, id, text)
      local before = store:stats().cache.invalidations
      write(kind, id, text)
      assert.is_truthy(clock.wait_for(function()
        store:step()
        return store:stats().cache.invalidations > before
      end))
    end

    -- The value is `wanted` soon, and never `old` again afterwards.
    local function becomes(id, wanted)
      assert.is_truthy(clock.wait_for(function() return value(id) == wanted end))
      for _ = 1, 20 do assert.equal(wanted, value(id)) end
    end

    -- Ends the connections of a kind: "normal" or "pubsub".
    local function kill_clients(kind)
      local own = server:command("CLIENT", "ID")
      local list = server:command("CLIENT", "LIST", "TYPE", kind)
      for id in list:gmatch "id=(%d+) " do
        if tonumber(id) ~= own then server:command("CLIENT", "KILL", "ID", id) end
      end
    end

    it("answers without asking anybody", function()
      keep("pre-key", "a")
      local calls = server:command("INFO", "commandstats"):match "hmget:calls=(%d+)"
      for _ = 1, 10 do assert.equal("old", value "a") end
      local after = server:command("INFO", "commandstats"):match "hmget:calls=(%d+)"
      assert.equal(calls, after)
    end)

    it("answers in tasks", function()
      authstate.run(function()
        clock.wait_for(function()
          authstate.sleep(1)
          return is_hit("pre-key", "a")
        end)
        local before = hits()
        for _ = 1, 1000 do value "a" end
        -- One in a thousand may meet the moment at which the server is asked whether it
        -- still watches.
        assert.is_true(hits() - before > 900)
      end)
    end)

    -- A task that waited for a change in such a loop waited for ever.
    it("lets others go on beside a task that reads nothing else", function()
      local began_ms = core.now_ms()
      local is_changed
      authstate.run(function()
        authstate.spawn(function()
          repeat
            is_changed = value "a" == "new"
          until is_changed or core.now_ms() - began_ms > LONG_MS
        end)
        authstate.spawn(function()
          authstate.sleep(20)
          assert(session.keys:set { ["pre-key"] = { a = "new" } })
        end)
      end)
      assert.is_true(is_changed)
    end)

    -- Once a second the server is asked whether it still watches, and a read that comes
    -- before the answer goes to Redis: others went on then in any case.
    it("lets others go on though no read goes to Redis", function()
      authstate.run(function()
        keep("pre-key", "a")
        assert.is_truthy(clock.wait_for(function()
          local misses, is_over = store:stats().cache.misses, false
          authstate.spawn(function()
            authstate.sleep(20)
            is_over = true
          end)
          repeat value "a" until is_over
          return store:stats().cache.misses == misses
        end))
      end)
    end)

    it("lets tasks go on beside a loop outside of them that reads nothing else",
      function()
        keep("pre-key", "a")
        local began_ms = core.now_ms()
        local is_changed
        local task = authstate.spawn(function()
          authstate.sleep(20)
          assert(session.keys:set { ["pre-key"] = { a = "new" } })
        end)
        repeat
          is_changed = value "a" == "new"
        until is_changed or core.now_ms() - began_ms > LONG_MS
        assert.is_true(is_changed)
        assert(task:wait())
      end)

    it("tells a task that was cancelled so, whatever it has", function()
      keep("pre-key", "a")
      local began_ms, told, reads = core.now_ms(), nil, 0
      authstate.run(function()
        local task = authstate.spawn(function()
          repeat
            told = { session.keys:get("pre-key", { "a" }) }
            reads = reads + 1
          until not told[1] or core.now_ms() - began_ms > LONG_MS
        end)
        authstate.sleep(10)
        task:cancel()
      end)
      assert.equal("cancelled", told[3])
      assert.is_true(reads > 100)
    end)

    it("gives each reader tables of its own, and texts as they were written", function()
      keep("pre-key", "b")
      local first = value "b"
      first.n = 2
      assert.same({ n = 1 }, value "b")
      assert.same({ b = '{"n":1}' }, session.keys:get_json("pre-key", { "b" }))
    end)

    it("has what it was warmed with, from the first read on", function()
      store:close()
      store = open()
      session = store:session "s"
      assert.equal(3, store:warm { "s", "nobody" })
      assert.is_true(is_hit("pre-key", "a"))
      assert.is_true(is_hit("pre-key", "b"))
      assert.is_true(is_hit("tctoken", "x"))
      assert.same({ n = 1 }, value "b")
      write_and_tell("pre-key", "a", '"new"')
      assert.equal("new", value "a")
    end)

    it("reads all records of a call when it lacks one, in one round trip", function()
      keep("pre-key", "a")
      assert.same({ a = "old", b = { n = 1 } },
        session.keys:get("pre-key", { "a", "b", "c" }))
      assert.is_true(is_hit("pre-key", "b"))
      assert.is_true(is_hit("pre-key", "c"))
    end)

    it("knows what is absent, until somebody writes it", function()
      keep("pre-key", "c")
      assert.is_nil(value "c")
      write_and_tell("pre-key", "c", '"new"')
      assert.equal("new", value "c")
    end)

    it("learns what others write", function()
      keep("pre-key", "a")
      write_and_tell("pre-key", "a", '"new"')
      assert.equal("new", value "a")
      keep("pre-key", "a")
      write_and_tell("pre-key", "a", '"newer"')
      assert.equal("newer", value "a")
    end)

    it("learns what others write behind a write of its own", function()
      for i = 1, 3 do
        keep("pre-key", "a")
        assert(session.keys:set { ["pre-key"] = { b = i } })
        write_and_tell("pre-key", "a", ('"%d"'):format(i))
        assert.equal(tostring(i), value "a")
      end
    end)

    it("learns it behind a plain write, too", function()
      store:close()
      store = open { writes = "plain" }
      session = store:session "s"
      for i = 1, 3 do
        keep("pre-key", "a")
        assert(session.keys:set { ["pre-key"] = { b = i } })
        write_and_tell("pre-key", "a", ('"%d"'):format(i))
        assert.equal(tostring(i), value "a")
      end
    end)

    it("has what its own writes wrote, and no more what they deleted", function()
      keep("pre-key", "a")
      assert(session.keys:set { ["pre-key"] = { a = "mine" } })
      assert.is_true(is_hit("pre-key", "a"))
      assert.equal("mine", value "a")
      assert(session.keys:set { ["pre-key"] = { a = authstate.null } })
      assert.is_true(is_hit("pre-key", "a"))
      assert.is_nil(value "a")
    end)

    it("keeps nothing of a key whose write failed", function()
      keep("pre-key", "a")
      fails("conflict",
        session.keys:set({ ["pre-key"] = { b = 1 } }, { expect = 77 }))
      assert.is_false(is_hit("pre-key", "a"))
    end)

    it("is read around on demand", function()
      keep("pre-key", "a")
      local before = hits()
      for _, options in ipairs { { cache = false }, { consistent = true } } do
        assert.same({ a = "old" }, session.keys:get("pre-key", { "a" }, options))
      end
      assert.equal(before, hits())
      local patient = { timeout_ms = 1000 }
      assert.same({ a = "old" }, session.keys:get("pre-key", { "a" }, patient))
      assert.equal(before + 1, hits())
    end)

    it("serves a new handle, and pins it", function()
      keep("pre-key", "a")
      local before, another = hits(), store:session "s"
      assert.same({ a = "old" }, another.keys:get("pre-key", { "a" }))
      assert.equal(before + 1, hits())
      assert.equal(session.pin, another.pin)
    end)

    it("has nothing of a session that was deleted here", function()
      keep("pre-key", "a")
      assert(session:delete())
      fails("fenced", session.keys:get("pre-key", { "a" }))
      assert(session:load_creds() == nil)
      assert.same({}, session.keys:get("pre-key", { "a" }))
    end)

    it("tells a handle that its session was deleted by another store", function()
      local other = open { enable_cache = false }
      -- Of what is not there nothing is told when the session goes, but of its meta.
      keep("identity-key", "x")
      local before = store:stats().cache.invalidations
      assert(other:session("s"):delete())
      assert.is_truthy(clock.wait_for(function()
        store:step()
        return store:stats().cache.invalidations > before
      end))
      fails("fenced", session.keys:get("identity-key", { "x" }))
      other:close()
    end)

    it("does not serve one generation to a handle of another", function()
      local other = open { enable_cache = false }
      keep("pre-key", "a")
      local another = other:session "s"
      assert(another:delete())
      assert(another:load_creds() == nil)
      assert(another:commit {
        creds = { n = 1 }, keys = { ["pre-key"] = { a = "second" } },
      })
      assert.is_truthy(clock.wait_for(function()
        local _, _, code = session.keys:get("pre-key", { "a" })
        return code == "fenced"
      end))
      assert(session:load_creds())
      assert.equal("second", value "a")
      other:close()
    end)

    it("is empty after FLUSHALL", function()
      keep("pre-key", "a")
      local flushes = store:stats().cache.flushes.flushed or 0
      server:command("FLUSHALL")
      assert.is_truthy(clock.wait_for(function()
        local _, _, code = session.keys:get("pre-key", { "a" })
        return code == "fenced"
      end))
      assert.equal(flushes + 1, store:stats().cache.flushes.flushed)
    end)

    it("loses what it read over a connection that is lost, and begins anew", function()
      keep("pre-key", "a")
      kill_clients "normal"
      write("pre-key", "a", '"new"')
      becomes("a", "new")
      assert.is_true(store:stats().cache.flushes.connection >= 1)
      keep("pre-key", "a")
      write_and_tell("pre-key", "a", '"newer"')
      assert.equal("newer", value "a")
    end)

    it("loses all when the subscriber is lost, and begins anew", function()
      keep("pre-key", "a")
      kill_clients "pubsub"
      write("pre-key", "a", '"new"')
      becomes("a", "new")
      assert.is_true(store:stats().cache.flushes.subscriber >= 1)
      keep("pre-key", "a")
      write_and_tell("pre-key", "a", '"newer"')
      assert.equal("newer", value "a")
    end)

    it("begins anew with another run of the server", function()
      keep("pre-key", "a")
      server:restart()
      write("pre-key", "a", '"new"')
      becomes("a", "new")
      keep("pre-key", "a")
      write_and_tell("pre-key", "a", '"newer"')
      assert.equal("newer", value "a")
    end)

    it("is not served when the server says nothing any more", function()
      keep("pre-key", "a")
      server:pause()
      local code
      authstate.run(function()
        -- The longest that something is served: the time between two checks.
        authstate.sleep(1100)
        code = select(3, session.keys:get("pre-key", { "a" }, { timeout_ms = 50 }))
      end)
      server:resume()
      assert.equal("timeout", code)
    end)

    it("is not served longer than cache_ttl_ms", function()
      store:close()
      store = open { cache_ttl_ms = { ["pre-key"] = 200 } }
      session = store:session "s"
      keep("pre-key", "a")
      keep("tctoken", "x")
      clock.sleep(250)
      assert.is_true(is_hit("tctoken", "x"))
      assert.is_false(is_hit("pre-key", "a"))
    end)

    it("is not there where the server does not let it be, which is said once", function()
      server:command("ACL", "SETUSER", "narrow", "on", ">p", "~*", "+@all",
        "resetchannels")
      local socket = server.socket
      store:close()
      store = open { redis = { path = socket, username = "narrow", password = "p" } }
      session = store:session "s"
      local before = hits()
      for _ = 1, 50 do
        assert.equal("old", value "a")
        clock.sleep(2)
      end
      assert.equal(before, hits())
      assert.equal(1, #warned)
      assert.match("^warn: the cache is off: .*NOPERM", warned[1])
    end)

    it("leaves nothing of the key that it probes with, and no connection to spare",
      function()
        keep("pre-key", "a")
        for _, key in ipairs(server:command("KEYS", "*")) do
          assert.not_match("probe", key)
        end
        local list = server:command("CLIENT", "LIST")
        local own = ("id=%d "):format(server:command("CLIENT", "ID"))
        local count = 0
        for line in list:gmatch "[^\n]+" do
          if line:sub(1, #own) ~= own then count = count + 1 end
        end
        assert.equal(2, count) -- one of data, one that is told
      end)

    -- It was off for a minute, with a warning, when a connection was made just then.
    it("begins later, and without a word, where the server has no memory for now",
      function()
        local refused = store:stats().cache.flushes.refused
        store:close()
        server:command("CONFIG", "RESETSTAT")
        server:command("CONFIG", "SET", "maxmemory", "1")
        store = open()
        session = store:session "s"
        assert.is_true(clock.wait_for(function()
          assert(store:ping())
          local stats = server:command("INFO", "commandstats")
          return stats:find("cmdstat_hset:.-rejected_calls=[1-9]") ~= nil
        end))
        server:command("CONFIG", "SET", "maxmemory", "0")
        keep("pre-key", "a")
        assert.same({}, warned)
        assert.equal(refused, store:stats().cache.flushes.refused)
      end)

    it("is there for the user of doc/cache.md, but for none with a rule less", function()
      local words
      for line in io.lines "doc/cache.md" do
        local rules = line:match "^ACL SETUSER authstate%-cached (.*)$"
        if rules then
          words = {}
          for word in rules:gmatch "%S+" do words[#words + 1] = word end
        end
      end
      local needed = {
        ["&__redis__:invalidate"] = true, ["+client|tracking"] = true,
        ["+client|trackinginfo"] = false, ["+subscribe"] = true, ["+hset"] = true,
        ["+hdel"] = true, ["+exists"] = true,
      }
      local function try(without)
        local rules, found = { "ACL", "SETUSER", "cached", "reset" }, false
        for _, word in ipairs(words) do
          if word == "~authstate:*" then rules[#rules + 1] = "~s:auth" end
          if word ~= without then rules[#rules + 1] = word else found = true end
        end
        assert.is_true(found or without == nil)
        assert(server:command(unpack(rules)))
        store:close()
        warned = {}
        store = open {
          redis = { path = server.socket, username = "cached", password = "SECRET" },
        }
        session = store:session "s"
      end
      try(nil)
      keep("pre-key", "a")
      assert.same({}, warned)
      for rule, is_asked_first in pairs(needed) do
        if is_asked_first then
          try(rule)
          local before = hits()
          assert.is_truthy(clock.wait_for(function()
            assert.equal("old", value "a")
            return warned[1]
          end))
          assert.match("NOPERM", warned[1])
          assert.equal(before, hits())
        end
      end
    end)

    it("is not there in a database that may be swapped, which is said", function()
      store:close()
      store = open { redis = server.url .. "?db=1" }
      assert.match("^warn: the cache is off: database 1", warned[1])
      session = store:session "s"
      assert(session.keys:set { ["pre-key"] = { a = "x" } })
      assert.equal("x", value "a")
      assert.equal(0, store:stats().cache.entries)
    end)
  end)
end

describe("shared tables", function()
  local server, store, session, said

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    said = {}
    store = assert(authstate.open {
      redis = server.url, enable_cache = true, memory_efficient = false, debug = true,
      log = function(level, message)
        if level == "error" then said[#said + 1] = message end
      end,
    })
    session = store:session "s"
    assert(session.keys:set { ["pre-key"] = { a = { n = { 1 } } } })
    assert.is_truthy(clock.wait_for(function()
      local before = store:stats().cache.hits
      assert(session.keys:get("pre-key", { "a" }))
      return store:stats().cache.hits > before
    end))
  end)

  after_each(function()
    store:close()
  end)

  local function shared()
    return assert(session.keys:get("pre-key", { "a" }, { shared = true })).a
  end

  it("are the same for all who only look, and for nobody else", function()
    assert.equal(shared(), shared())
    assert.not_equal(shared(), session.keys:get("pre-key", { "a" }).a)
    assert.same({}, said)
  end)

  it("that somebody has changed are told with `debug`, and made anew", function()
    shared().n[1] = 2
    assert.same({ n = { 1 } }, shared())
    assert.equal(1, #said)
    assert.match("a shared value was changed: a record of type pre%-key", said[1])
  end)
end)
