-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local redis_server = require "spec.support.redis_server"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails = outcome.fails

describe("a commit", function()
  local server, store, session

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    store = assert(authstate.open { redis = server.url })
    session = store:session "s"
  end)

  after_each(function()
    store:close()
  end)

  it("writes creds and keys together", function()
    local key, ratchet = sample.value "pre-key", sample.value "session"
    local version = session:commit {
      creds = sample.creds(9),
      keys = { ["pre-key"] = { ["74"] = key }, session = { x = ratchet } },
    }
    assert.equal(1, version)
    local loaded = store:session("s"):load()
    assert.equal(9, loaded.creds.registrationId)
    assert.equal(key.private, loaded.keys["pre-key"]["74"].private)
    assert.same(ratchet, loaded.keys.session.x)
  end)

  it("makes the version one greater, each time, whoever writes", function()
    local other = authstate.open { redis = server.url }
    local writers = { session, store:session "s", other:session "s" }
    for version = 1, 30 do
      local writer = writers[version % 3 + 1]
      assert.equal(version, writer:commit { keys = { ["lid-mapping"] = { a = "b" } } })
      assert.equal(version, stored.version(server, "s"))
    end
    other:close()
  end)

  it("leaves what it does not name", function()
    session:commit { creds = sample.creds(1), keys = { ["lid-mapping"] = { a = "1" } } }
    session:commit { keys = { ["lid-mapping"] = { b = "2" } } }
    session:commit { creds = sample.creds(2) }
    local loaded = session:load()
    assert.equal(2, loaded.creds.registrationId)
    assert.same({ ["lid-mapping"] = { a = "1", b = "2" } }, loaded.keys)
  end)

  it("writes and deletes in the same step", function()
    local text, id = sample.record "pre-key"
    session:commit { keys = { ["pre-key"] = { [id] = authstate.from_json(text) } } }
    session:commit {
      creds = sample.creds(),
      keys = {
        ["pre-key"] = { [id] = authstate.null }, session = { x = sample.value "session" },
      },
    }
    assert.same({ session = 1 }, session.keys:types())
  end)

  describe("with an expected version", function()
    it("goes through when that is stored", function()
      local _, version = nil, session:save_creds(sample.creds(1))
      assert.equal(2, session:commit { creds = sample.creds(2), expect = version })
      assert.equal(3, session.keys:set({ ["lid-mapping"] = { a = "b" } }, { expect = 2 }))
      assert.equal(4, session:save_creds(sample.creds(3), { expect = 3 }))
    end)

    it("is a conflict when another is, and changes nothing", function()
      session:commit { creds = sample.creds(1), keys = { ["lid-mapping"] = { a = "1" } } }
      session:save_creds(sample.creds(2))
      local before = stored.everything(server)
      for _, expect in ipairs { 0, 1, 3, 1e15 } do
        local message, details = fails("conflict", session:commit {
          creds = sample.creds(3), expect = expect,
          keys = { ["lid-mapping"] = { a = authstate.null, b = "2" } },
        })
        assert.match("the stored version is 2", message)
        assert.equal(2, details.version)
        assert.equal("no", details.applied)
        assert.is_false(details.retry)
      end
      assert.same(before, stored.everything(server))
    end)

    it("expects 0 of a session that is not there", function()
      fails("conflict", session:commit { creds = sample.creds(), expect = 1 })
      assert.same({}, stored.keys(server))
      assert.equal(1, session:commit { creds = sample.creds(), expect = 0 })
    end)

    it("lets exactly one of two who read the same version write", function()
      session:save_creds(sample.creds(1))
      local one, two = store:session "s", store:session "s"
      local _, version_one = one:load_creds()
      local _, version_two = two:load_creds()
      assert(two:commit { creds = sample.creds(2), expect = version_two })
      fails("conflict", one:commit { creds = sample.creds(3), expect = version_one })
      assert.equal(2, one:load_creds().registrationId)
    end)

    it("does not disturb the writes that follow", function()
      session:save_creds(sample.creds(1))
      fails("conflict", session:commit { creds = sample.creds(2), expect = 7 })
      assert.equal(2, session:save_creds(sample.creds(3)))
      assert.equal(3, session:save_creds(sample.creds(4)))
    end)
  end)

  describe("that meets a key of another kind", function()
    local KEY = "authstate:{s}:k:session"

    local function change()
      return {
        creds = sample.creds(2),
        keys = {
          ["lid-mapping"] = { a = authstate.null, b = "2" }, session = { x = "2" },
          ["pre-key"] = { ["1"] = authstate.null },
        },
      }
    end

    it("names it and changes nothing: not one of its sets and deletes", function()
      session:commit {
        creds = sample.creds(1),
        keys = { ["lid-mapping"] = { a = "1" }, ["pre-key"] = { ["1"] = "1" } },
      }
      for _, command in ipairs {
        { "SET", KEY, "text" }, { "RPUSH", KEY, "item" }, { "SADD", KEY, "member" },
        { "ZADD", KEY, "1", "member" }, { "XADD", KEY, "*", "field", "value" },
      } do
        server:command("DEL", KEY)
        server:command(unpack(command))
        local before = stored.everything(server)
        local message, details = fails("wrong_type", session:commit(change()))
        assert.match(KEY, message, 1, true)
        assert.equal("no", details.applied)
        assert.same(before, stored.everything(server))
      end
      server:command("DEL", KEY)
      assert.equal(2, session:commit(change()))
    end)

    it("names the meta key too", function()
      server:command("SET", "authstate:{s}:meta", "text")
      local message = fails("wrong_type", session:commit(change()))
      assert.match("meta", message, 1, true)
      assert.same({ "authstate:{s}:meta" }, stored.keys(server))
    end)

    it("is told so by reads as well", function()
      session:save_creds(sample.creds())
      server:command("SET", KEY, "text")
      fails("wrong_type", session.keys:get("session", { "x" }))
      fails("wrong_type", session.keys:list "session")
      fails("wrong_type", session:load())
    end)
  end)

  describe("from JSON text", function()
    it("takes a whole account: creds and 478 records", function()
      assert.equal(1, session:commit_json(sample.text "small"))
      local loaded = session:load_json()
      assert.equal(sample.creds_text(), loaded.creds)
      assert.same(sample.session("small").keys, loaded.keys)
      assert.equal(1, loaded.version)
    end)

    it("deletes records that are null", function()
      session:commit_json '{"keys":{"lid-mapping":{"a":"1","b":"2"}}}'
      session:commit_json '{"keys":{"lid-mapping":{"a":null,"c":"3"}}}'
      assert.same({ b = '"2"', c = '"3"' },
        session.keys:get_json("lid-mapping", { "a", "b", "c" }))
    end)

    it("leaves the creds when they are null or not named", function()
      session:save_creds(sample.creds(3))
      session:commit_json '{"creds":null,"keys":{"lid-mapping":{"a":"1"}}}'
      session:commit_json '{"keys":{"lid-mapping":{"b":"1"}}}'
      session:commit_json '{}'
      assert.equal(3, session:load_creds().registrationId)
      assert.equal(2, session.keys:count "lid-mapping")
    end)

    it("obeys the expected version", function()
      fails("conflict", session:commit_json('{"creds":{}}', { expect = 4 }))
      assert.equal(1, session:commit_json('{"creds":{}}', { expect = 0 }))
    end)
  end)

  it("survives that the server forgets its scripts", function()
    session:save_creds(sample.creds(1))
    for n = 2, 5 do
      server:command("SCRIPT", "FLUSH")
      assert.equal(n, session:save_creds(sample.creds(n)))
      assert.equal(n, stored.version(server, "s"))
    end
    server:command("SCRIPT", "FLUSH")
    assert.equal(1, session:delete().records)
  end)

  it("survives a restart of a server that persists", function()
    local keeper = redis_server.start { config = { appendonly = "yes" } }
    local kept = authstate.open { redis = keeper.url }
    local handle = kept:session "s"
    assert.equal(1, handle:commit_json(sample.text "small"))
    keeper:restart()
    assert.equal(2, handle:save_creds(sample.creds(2)))
    assert.same(sample.session("small").keys, handle:load_json().keys)
    assert.equal(2, stored.version(keeper, "s"))
    kept:close()
    keeper:stop()
  end)
end)
