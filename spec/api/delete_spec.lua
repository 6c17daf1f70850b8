-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local core = require "authstate.core"
local redis_server = require "spec.support.redis_server"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails, is_absent = outcome.fails, outcome.is_absent

local META = "authstate:{s}:meta"
local DAY_MS = 24 * 3600 * 1000

describe("deleting a session", function()
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

  it("removes the whole account in one step and gives a receipt", function()
    session:commit_json(sample.text "small")
    local generation = session:load().generation
    local receipt = assert(session:delete())
    assert.equal(479, receipt.records) -- 478 keys and the creds
    assert.is_true(receipt.bytes > 50000)
    assert.is_true(receipt.generation > generation)
    assert.same({ META }, stored.session_keys(server, "s"))
    is_absent(session:load_creds())
    is_absent(session:load())
    is_absent(store:session_info "s")
    assert.same({}, session.keys:types())
  end)

  it("takes exactly one EVALSHA for the records, whatever types there are", function()
    session:commit_json(sample.text "small")
    server:command("CONFIG", "RESETSTAT")
    assert(session:delete())
    -- The delete, and the entry of the index.
    local statistics = server:command("INFO", "commandstats")
    assert.equal("2", statistics:match "cmdstat_evalsha:calls=(%d+)")
  end)

  it("removes types this handle has never heard of", function()
    local other = authstate.open { redis = server.url }
    local types = {}
    for i = 1, 40 do types["type-" .. i] = { id = i } end
    assert(other:session("s"):commit { creds = sample.creds(), keys = types })
    assert.equal(41, assert(session:delete()).records)
    assert.same({ META }, stored.session_keys(server, "s"))
    other:close()
  end)

  it("leaves a tombstone that knows the id only as a hash", function()
    session:commit_json(sample.text "small")
    session:delete()
    local meta = stored.meta(server, "s")
    assert.equal(core.sha256_hex "s", meta.tombstone)
    assert.equal("043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89",
      meta.tombstone)
    assert.equal("479", meta.records)
    assert.equal("2", meta.ver)
    for field in pairs(meta) do
      assert.is_nil(field:find "^t:", field)
      assert.not_equal("registered", field)
    end
  end)

  it("lets the tombstone go after 30 days", function()
    session:save_creds(sample.creds())
    session:delete()
    local ttl_ms = server:command("PTTL", META)
    assert.is_true(ttl_ms > 30 * DAY_MS - 60000 and ttl_ms <= 30 * DAY_MS)
  end)

  it("lets the tombstone go after tombstone_ttl_ms", function()
    local hasty = authstate.open { redis = server.url, tombstone_ttl_ms = 5000 }
    hasty:session("s"):save_creds(sample.creds())
    hasty:session("s"):delete()
    local ttl_ms = server:command("PTTL", META)
    assert.is_true(ttl_ms > 1000 and ttl_ms <= 5000)
    hasty:close()
  end)

  it("frees the memory even when the server's is used up", function()
    session:commit_json(sample.text "small")
    server:command("CONFIG", "SET", "maxmemory", "1")
    fails("oom", session:save_creds(sample.creds()))
    local receipt = session:delete()
    server:command("CONFIG", "SET", "maxmemory", "0")
    assert.equal(479, receipt.records)
  end)

  it("of one that is not there is done: no records", function()
    local receipt = assert(session:delete())
    assert.equal(0, receipt.records)
    assert.same({}, stored.keys(server, { index = true }))
  end)

  it("twice is done the second time too: no records, and no new generation", function()
    session:save_creds(sample.creds())
    local first = session:delete()
    local before = stored.everything(server)
    local second = assert(store:session("s"):delete())
    assert.equal(0, second.records)
    assert.equal(first.generation, second.generation)
    assert.same(before, stored.everything(server))
  end)

  it("meets a key of another kind: it is named and nothing is deleted", function()
    session:commit { creds = sample.creds(), keys = { ["lid-mapping"] = { a = "b" } } }
    server:command("SET", "authstate:{s}:k:session", "text")
    local before = stored.everything(server)
    local message = fails("wrong_type", session:delete())
    assert.match("authstate:{s}:k:session", message, 1, true)
    assert.same(before, stored.everything(server))
  end)

  it("leaves all other sessions alone", function()
    for _, id in ipairs { "s:", "s}", "ss", "S", "*", "s*" } do
      store:session(id):commit {
        creds = sample.creds(), keys = { session = { a = "b" } },
      }
    end
    local before = stored.everything(server)
    session:save_creds(sample.creds())
    session:delete()
    local after = stored.everything(server)
    after[META] = nil
    assert.same(before, after)
  end)

  describe("and beginning anew", function()
    it("goes on with the version and has no trace of what was before", function()
      session:commit_json(sample.text "small")
      session:delete()
      is_absent(session:load_creds())
      assert.equal(3, session:save_creds(sample.creds(2)))
      local loaded = session:load()
      assert.same({}, loaded.keys)
      assert.equal(2, loaded.creds.registrationId)
      local meta = stored.meta(server, "s")
      for _, field in ipairs { "tombstone", "records", "bytes", "deleted" } do
        assert.is_nil(meta[field], field)
      end
    end)

    it("takes the TTL away: nothing of a live session ever expires", function()
      local function assert_no_ttl()
        for _, key in ipairs(stored.keys(server, { index = true })) do
          assert.equal(-1, server:command("PTTL", key), key)
        end
      end
      session:commit_json(sample.text "small")
      assert_no_ttl()
      session:delete()
      session:load_creds()
      session:save_creds(sample.creds())
      assert_no_ttl()
      session.keys:set { ["lid-mapping"] = { a = "b" } }
      assert_no_ttl()
    end)
  end)
end)
