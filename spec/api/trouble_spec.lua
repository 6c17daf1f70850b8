-- SPDX-License-Identifier: MIT

-- What a program is told when its server is full, read-only, locked, gone or silent.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local redis_server = require "spec.support.redis_server"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails = outcome.fails

describe("a server", function()
  local servers, stores

  local function start(options)
    local server = redis_server.start(options)
    servers[#servers + 1] = server
    return server
  end

  local function open(options)
    local store = assert(authstate.open(options))
    stores[#stores + 1] = store
    return store
  end

  before_each(function()
    servers, stores = {}, {}
  end)

  after_each(function()
    for _, store in ipairs(stores) do store:close() end
    for _, server in ipairs(servers) do
      server:resume()
      server:kill()
    end
  end)

  local function stat(server, section, name)
    return tonumber(server:command("INFO", section):match(name .. "[:=](%d+)"))
  end

  -- Takes the time of a call, in ms.
  local function timed(call)
    local began_ms = clock.now_ms()
    local results = { n = 4, call() }
    return clock.now_ms() - began_ms, unpack(results, 1, 4)
  end

  describe("whose memory is used up", function()
    it("refuses a write as a whole: oom, none of its deletes and sets is done", function()
      local server = start()
      local session = open({ redis = server.url }):session "s"
      assert(session:commit_json(sample.text "small"))
      local before = stored.everything(server)
      server:command("CONFIG", "SET", "maxmemory", "1")
      local gone = {}
      for _, id in ipairs(sample.ids "pre-key") do gone[id] = authstate.null end
      for _, write in ipairs {
        function()
          return session:commit {
            creds = sample.creds(7),
            keys = { ["pre-key"] = gone, session = { new = "1" } },
          }
        end,
        function() return session.keys:set { ["pre-key"] = gone } end,
        function() return session:save_creds(sample.creds(8)) end,
      } do
        local _, details = fails("oom", write())
        assert.equal("no", details.applied)
        assert.is_true(details.retry)
      end
      assert.equal(#sample.ids "pre-key", session.keys:count "pre-key")
      server:command("CONFIG", "SET", "maxmemory", "0")
      assert.same(before, stored.everything(server))
      assert.same(sample.session("small").keys, session:load_json().keys)
      assert.equal(2, session.keys:set { ["pre-key"] = gone })
    end)

    it("refuses a new session too, and leaves no trace of it", function()
      local server = start { config = { maxmemory = "1" } }
      local session = open({ redis = server.url }):session "s"
      fails("oom", session:load_or_create(sample.creds))
      assert.equal(0, server:command("DBSIZE"))
    end)
  end)

  it("that is a replica is read from, and refuses writes as readonly", function()
    local config = { ["repl-diskless-sync-delay"] = "0" }
    local master, replica = start { tcp = true, config = config }, start()
    local session = open({ redis = master.url }):session "s"
    assert(session:commit { creds = sample.creds(3), keys = { session = { a = "1" } } })
    replica:command("REPLICAOF", "127.0.0.1", master.port)
    assert.is_truthy(clock.wait_for(function()
      return replica:command("INFO", "replication"):find("master_link_status:up", 1, true)
    end))
    local copy = open({ redis = replica.url }):session "s"
    assert.equal(3, copy:load_creds().registrationId)
    assert.same({ a = "1" }, copy.keys:get("session", { "a" }))
    local _, details = fails("readonly", copy:save_creds(sample.creds(4)))
    assert.equal("no", details.applied)
    fails("readonly", copy.keys:set { session = { a = authstate.null } })
    fails("readonly", copy:delete())
    local new = open({ redis = replica.url }):session "new"
    fails("readonly", new:load_or_create(sample.creds))
    assert.equal(3, session:load_creds().registrationId)
    assert.equal(1, stored.version(master, "s"))
  end)

  describe("with a password", function()
    it("says auth when it is missing or wrong, at once and without showing it", function()
      local server = start { password = "right", tcp = true }
      for _, redis in ipairs {
        server.url, { path = server.socket, password = "wrong-secret" },
        "redis://:wrong-secret@127.0.0.1:" .. server.port,
        "redis://nobody:wrong-secret@127.0.0.1:" .. server.port,
        { path = server.socket, username = "nobody", password = "right" },
      } do
        local store = open { redis = redis }
        local ms, value, message, code, details =
          timed(function() return store:ping() end)
        fails("auth", value, message, code, details)
        assert.is_nil(message:find("wrong-secret", 1, true), message)
        assert.is_true(ms < 1000, ms)
        fails("auth", store:session("s"):load_or_create(error))
      end
      assert.equal(0, server:command("DBSIZE"))
    end)

    it("is entered with it, in a URL or a table", function()
      local server = start { password = "p@ss/w:rd%", tcp = true }
      server:command("ACL", "SETUSER", "app", "on", ">p@ss/w:rd%", "~*", "&*", "+@all")
      for _, redis in ipairs {
        "redis://:p%40ss%2fw%3Ard%25@127.0.0.1:" .. server.port,
        "redis://default:p%40ss%2fw%3Ard%25@127.0.0.1:" .. server.port,
        "redis://app:p%40ss%2fw%3Ard%25@127.0.0.1:" .. server.port,
        "unix://app:p%40ss%2fw%3Ard%25@" .. server.socket,
        { path = server.socket, password = "p@ss/w:rd%" },
        { path = server.socket, username = "app", password = "p@ss/w:rd%" },
      } do
        assert.is_true(open({ redis = redis }):ping())
      end
    end)
  end)

  it("whose rules forbid the keys says denied", function()
    local server = start()
    server:command("ACL", "SETUSER", "app", "on", ">pw", "~other:*", "+@all")
    local redis = { path = server.socket, username = "app", password = "pw" }
    local session = open({ redis = redis }):session "s"
    fails("denied", session:load_creds())
    local _, details = fails("denied", session.keys:set { session = { a = "1" } })
    assert.equal("no", details.applied)
    local other = open { redis = redis, prefix = "other:" }
    assert(other:session("s"):save_creds(sample.creds()))
  end)

  describe("that is gone", function()
    it("is unavailable, with its address, within connect_timeout_ms", function()
      local path = "/tmp/no/such/authstate.sock"
      for address, redis in pairs {
        ["redis://127.0.0.1:1"] = { host = "127.0.0.1", port = 1 },
        ["redis://[::1]:1"] = { host = "::1", port = 1 },
        ["unix://" .. path] = { path = path },
        ["unix://" .. path .. "?db=2"] = { path = path, database = 2 },
      } do
        redis.socket = { connect_timeout_ms = 60 }
        local store = open { redis = redis }
        for _, call in ipairs {
          function() return store:ping() end,
          function() return store:session("s"):load_or_create(error) end,
          function() return store:session("s"):save_creds(sample.creds()) end,
        } do
          local ms, value, message, code, details = timed(call)
          fails("unavailable", value, message, code, details)
          assert.match(address, message, 1, true)
          assert.is_true(ms < 1000, ms)
          assert.is_false(details.sent)
          assert.equal("no", details.applied)
          assert.equal(address, details.node)
        end
      end
    end)

    it("is used again when it is back", function()
      local server = start { config = { appendonly = "yes", appendfsync = "always" } }
      local store = open {
        redis = { url = server.url, socket = { connect_timeout_ms = 200 } },
      }
      local session = store:session "s"
      assert.equal(1, session:save_creds(sample.creds(1)))
      server:kill()
      fails("unavailable", session:save_creds(sample.creds(2)))
      fails("unavailable", session:load_creds())
      server:restart()
      assert.equal(2, session:save_creds(sample.creds(3)))
      assert.equal(3, session:load_creds().registrationId)
    end)

    it("in the middle of a call is waited for until it is back", function()
      local server = start { config = { appendonly = "yes" } }
      local session = open({ redis = server.url }):session "s"
      session:save_creds(sample.creds(1))
      for n = 2, 4 do
        server:restart()
        assert.equal(n, session:save_creds(sample.creds(n)))
        assert.equal(n, stored.version(server, "s"))
      end
    end)
  end)

  describe("that is there but does not answer", function()
    it("is unavailable within connect_timeout_ms when it never did", function()
      local server = start { tcp = true }
      server:pause()
      for _, redis in ipairs { { path = server.socket }, { port = server.port } } do
        redis.socket = { connect_timeout_ms = 100 }
        local store = open { redis = redis }
        local ms, value, message, code, details =
          timed(function() return store:ping() end)
        fails("unavailable", value, message, code, details)
        assert.is_true(ms >= 99 and ms < 1000, ms)
      end
    end)

    it("is a timeout after timeout_ms, and the write may be applied", function()
      local server = start()
      local store = open { redis = server.url }
      local session = store:session "s"
      assert(session:save_creds(sample.creds(1)))
      local connections = stat(server, "stats", "total_connections_received")
      server:pause()
      local ms, value, message, code, details = timed(function()
        return session:save_creds(sample.creds(2), { timeout_ms = 100 })
      end)
      fails("timeout", value, message, code, details)
      assert.is_true(ms >= 99 and ms < 600, ms)
      assert.is_true(details.sent)
      assert.equal("maybe", details.applied)
      assert.match(server.socket, message, 1, true)
      assert.same({ 2, "maybe" }, { session:last_commit() })
      server:resume()

      -- The next call works on the same connection and learns what became of it.
      assert.equal(2, session:load_creds().registrationId)
      assert.same({ 2, "yes" }, { session:last_commit() })
      assert.equal(3, session:save_creds(sample.creds(3)))
      assert.equal(3, stored.version(server, "s"))
      assert.equal(connections, stat(server, "stats", "total_connections_received"))
    end)

    it("applies at most the write that was sent, not the one after it", function()
      local server = start()
      local session = open({ redis = server.url }):session "s"
      assert(session:save_creds(sample.creds(1)))
      server:pause()
      fails("timeout", session:save_creds(sample.creds(2), { timeout_ms = 20 }))
      local _, details =
        fails("timeout", session:save_creds(sample.creds(3), { timeout_ms = 20 }))
      assert.equal("no", details.applied)
      assert.same({ 2, "maybe" }, { session:last_commit() })
      server:resume()
      assert.equal(3, session:save_creds(sample.creds(4)))
      assert.equal(4, session:load_creds().registrationId)
      assert.equal(3, stored.version(server, "s"))
    end)

    it("never leaves a read unclear: nothing is applied", function()
      local server = start()
      local session = open({ redis = server.url }):session "s"
      assert(session:save_creds(sample.creds(1)))
      server:pause()
      local _, details =
        fails("timeout", session.keys:get("session", { "a" }, { timeout_ms = 20 }))
      assert.is_true(details.sent)
      assert.equal("no", details.applied)
    end)

    it("gets each of 100 impatient calls once, all on one connection", function()
      local server = start()
      local session = open({ redis = server.url }):session "s"
      assert(session.keys:set { session = { a = "1" } })
      server:command("CONFIG", "RESETSTAT")
      server:pause()
      for _ = 1, 100 do
        fails("timeout", session.keys:get("session", { "a" }, { timeout_ms = 5 }))
      end
      server:resume()
      assert.same({ a = "1" }, session.keys:get("session", { "a" }))
      assert.equal(101, stat(server, "commandstats", "cmdstat_hmget:calls"))
      assert.equal(0, stat(server, "stats", "total_connections_received"))
    end)

    it("never gives a reply to the wrong caller", function()
      local server = start()
      local session = open({ redis = server.url }):session "s"
      local records = {}
      for i = 1, 50 do records["id" .. i] = i end
      assert(session.keys:set { session = records })
      server:pause()
      for i = 1, 49 do
        fails("timeout", session.keys:get("session", { "id" .. i }, { timeout_ms = 2 }))
      end
      server:resume()
      assert.same({ id50 = 50 }, session.keys:get("session", { "id50" }))
      for i = 1, 50 do
        assert.same({ ["id" .. i] = i }, session.keys:get("session", { "id" .. i }))
      end
    end)

    it("never sees a write whose deadline is over while connecting", function()
      local server = start()
      local session = open({ redis = server.url }):session "s"
      server:pause()
      local ms, _, _, code, details = timed(function()
        return session:save_creds(sample.creds(1), { timeout_ms = 50 })
      end)
      assert.is_true(code == "unavailable" or code == "timeout", code)
      assert.is_true(ms >= 49 and ms < 500, ms)
      assert.equal("no", details.applied)
      server:resume()
      assert.equal(0, #stored.keys(server))
    end)
  end)

  it("whose disk is broken refuses writes as disk", function()
    local lfs = require "lfs"
    local server = start { tcp = true, unix = false, config = { save = "3600 1" } }
    local session = open({ redis = server.url }):session "s"
    assert(session:save_creds(sample.creds(1)))
    -- A directory in the place of the dump makes every save fail, for root too.
    assert(lfs.mkdir(server.directory .. "/dump.rdb"))
    assert(lfs.mkdir(server.directory .. "/dump.rdb/x"))
    server:command("BGSAVE")
    assert.is_truthy(clock.wait_for(function()
      return server:command("INFO", "persistence"):find "rdb_last_bgsave_status:err"
    end))
    local before = stored.everything(server)
    local _, details = fails("disk", session:save_creds(sample.creds(2)))
    assert.equal("no", details.applied)
    assert.same(before, stored.everything(server))
    assert.equal(1, session:load_creds().registrationId)
  end)
end)
