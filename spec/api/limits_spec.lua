-- SPDX-License-Identifier: MIT

-- What is too much is refused before anything is sent.

local authstate = require "authstate"
local core = require "authstate.core"
local clock = require "spec.support.clock"
local redis_server = require "spec.support.redis_server"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails = outcome.fails

local MIB = 1024 * 1024

describe("a limit", function()
  local server, stores

  local function open(options)
    options.redis = options.redis or server.url
    local store = assert(authstate.open(options))
    stores[#stores + 1] = store
    return store
  end

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    stores = {}
  end)

  after_each(function()
    for _, store in ipairs(stores) do store:close() end
  end)

  local function blob(size)
    return authstate.bytes(("\255"):rep(size))
  end

  describe("of one value", function()
    it("is 8 MiB: up to it a value is kept, above it is too large", function()
      local session = open({}):session "s"
      session:save_creds(sample.creds())
      local fits = blob(8 * MIB - 64)
      assert(session.keys:set { session = { x = fits } })
      assert.is_true(fits == session.keys:get("session", { "x" }).x)
      local before = stored.everything(server)
      local message, details = fails("too_large",
        session.keys:set { session = { x = blob(8 * MIB), y = "1" } })
      assert.match("max_value_bytes", message, 1, true)
      assert.equal("session", details.type)
      assert.equal("x", details.id)
      assert.is_false(details.sent)
      assert.equal("no", details.applied)
      assert.same(before, stored.everything(server))
    end)

    it("is what max_value_bytes says", function()
      local session = open({ max_value_bytes = 1024 }):session "s"
      local long_text = '"' .. ("-"):rep(1100) .. '"' -- no base64, which is packed
      assert(session.keys:set { session = { x = blob(1000) } })
      for _, write in ipairs {
        function() return session.keys:set { session = { a = 1, big = blob(1100) } } end,
        function()
          return session.keys:set_json { session = { a = "1", big = long_text } }
        end,
        function()
          return session:commit { keys = { session = { big = blob(1100) } } }
        end,
        function()
          return session:commit_json('{"keys":{"session":{"big":' .. long_text .. "}}}")
        end,
      } do
        local message, details = fails("too_large", write())
        assert.equal("big", details.id)
        assert.match('session "big"', message, 1, true)
        assert.is_false(details.sent)
      end
      assert.same({ "x" }, session.keys:list "session")
      assert.equal(1, stored.version(server, "s"))
    end)

    it("counts for creds", function()
      local session = open({ max_value_bytes = 1024 }):session "s"
      local function creds()
        local large = sample.creds()
        large.more = blob(1000)
        return large
      end
      local _, details = fails("too_large", session:save_creds(creds()))
      assert.equal("creds", details.type)
      fails("too_large", session:load_or_create(creds))
      fails("too_large",
        session:commit_json('{"creds":' .. core.to_json(creds()) .. "}"))
      assert.equal(0, server:command("DBSIZE"))
    end)

    it("counts for what is read: more is corrupt, not handed out", function()
      local session = open({}):session "s"
      session.keys:set { session = { x = blob(5000), y = "1" } }
      local strict = open({ max_value_bytes = 1024 }):session "s"
      local message, details = fails("corrupt", strict.keys:get("session", { "y", "x" }))
      assert.equal("x", details.id)
      assert.match("1024", message, 1, true)
    end)
  end)

  describe("of one commit", function()
    it("is what max_commit_bytes says", function()
      local session = open({ max_commit_bytes = 10000 }):session "s"
      local records = {}
      for i = 1, 9 do records["id" .. i] = blob(1000) end
      assert(session.keys:set { session = records })
      for i = 10, 11 do records["id" .. i] = blob(1000) end
      local message, details = fails("too_large", session.keys:set { session = records })
      assert.match("max_commit_bytes", message, 1, true)
      assert.is_false(details.sent)
      assert.equal(9, session.keys:count "session")
    end)

    it("is 64 MiB", function()
      local session = open({}):session "s"
      local records, part = {}, blob(8 * MIB - 64)
      for i = 1, 9 do records["id" .. i] = part end
      fails("too_large", session.keys:set { session = records })
      assert.equal(0, server:command("DBSIZE"))
    end)

    it("counts ids and deletions too", function()
      local session = open({ max_commit_bytes = 10000 }):session "s"
      local records = {}
      for i = 1, 2000 do records["deleted" .. i] = authstate.null end
      fails("too_large", session.keys:set { session = records })
      assert.equal(0, server:command("DBSIZE"))
    end)

    it("is half a million records", function()
      local session = open({}):session "s"
      local records = {}
      for i = 1, 500001 do records[tostring(i)] = authstate.null end
      local message = fails("too_large", session.keys:set { ["pre-key"] = records })
      assert.match("500000 records", message, 1, true)
      assert.equal(0, server:command("DBSIZE"))
    end)
  end)

  describe("of the queue", function()
    it("counts bytes: a request that can never fit is overloaded at once", function()
      local store = open { queue_max_bytes = 4096 }
      local session = store:session "s"
      local began_ms = clock.now_ms()
      local _, details =
        fails("overloaded", session.keys:set { session = { x = blob(5000) } })
      assert.is_true(clock.now_ms() - began_ms < 4800)
      assert.is_false(details.sent)
      assert.equal("no", details.applied)
      assert.is_true(details.retry)
      assert.equal(0, #stored.keys(server))
      assert(session.keys:set { session = { x = blob(100) } })
    end)

    it("counts operations, those nobody waits for any more too", function()
      local store = open { queue_max_operations = 5 }
      local session = store:session "s"
      assert(session:save_creds(sample.creds()))
      server:pause()
      for _ = 1, 5 do
        fails("timeout", session.keys:get("session", { "x" }, { timeout_ms = 5 }))
      end
      local began_ms = clock.now_ms()
      for _ = 1, 20 do
        local _, details = fails("overloaded", session.keys:get("session", { "x" }))
        assert.is_false(details.sent)
      end
      assert.is_true(clock.now_ms() - began_ms < 4800)
      server:resume()
      assert.is_truthy(clock.wait_for(function() return (store:ping()) end))
      assert(session.keys:set { session = { x = "1" } })
    end)

    it("counts bytes of what nobody waits for any more", function()
      local store = open { queue_max_bytes = 4096 }
      local session = store:session "s"
      assert(session:save_creds { registrationId = 1 })
      server:pause()
      local overloaded
      for _ = 1, 100 do
        local _, _, code =
          session.keys:get("session", { ("x"):rep(200) }, { timeout_ms = 2 })
        overloaded = overloaded or code == "overloaded"
      end
      assert.is_true(overloaded)
      server:resume()
      assert.is_truthy(clock.wait_for(function() return (store:ping()) end))
    end)
  end)
end)
