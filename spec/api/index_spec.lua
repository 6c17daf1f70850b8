-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails, is_absent = outcome.fails, outcome.is_absent

describe("the list of sessions", function()
  local server, store

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    store = assert(authstate.open { redis = server.url })
  end)

  after_each(function()
    store:close()
  end)

  -- All pages; checks that no page is longer than asked.
  local function list(limit)
    local ids, after = {}, nil
    local pages = 0
    repeat
      local page
      page, after = assert(store:sessions { after = after, limit = limit })
      assert.is_true(#page <= (limit or 1000))
      for _, id in ipairs(page) do ids[#ids + 1] = id end
      pages = pages + 1
    until not after
    table.sort(ids)
    return ids, pages
  end

  it("is empty without any", function()
    local ids, after = store:sessions()
    assert.same({}, ids)
    assert.is_nil(after)
  end)

  describe("of an account each for 300 people", function()
    local expected

    before_each(function()
      expected = {}
      for i = 1, 300 do
        expected[i] = ("55119%08d"):format(i * 7919 % 100000000)
        assert(store:session(expected[i]):save_creds { registrationId = i })
      end
      table.sort(expected)
    end)

    for _, limit in ipairs { 1, 7, 299, 300, 301, 1000 } do
      it("is whole in pages of " .. limit, function()
        local ids, pages = list(limit)
        assert.same(expected, ids)
        assert.is_true(pages >= 300 / limit)
      end)
    end

    it("does not have those that were deleted", function()
      for i = #expected, 1, -3 do
        assert(store:session(expected[i]):delete())
        assert.is_nil((stored.index_entry(server, expected[i])))
        table.remove(expected, i)
      end
      for _, limit in ipairs { 1, 7, 1000 } do assert.same(expected, (list(limit))) end
    end)

    it("stays whole while others come and go between its pages", function()
      local seen, after, n = {}, nil, 0
      repeat
        local page
        page, after = assert(store:sessions { after = after, limit = 7 })
        for _, id in ipairs(page) do seen[id] = (seen[id] or 0) + 1 end
        n = n + 1
        assert(store:session("new" .. n):save_creds { registrationId = n })
        if n % 2 == 0 then store:session("new" .. n - 1):delete() end
      until not after
      for _, id in ipairs(expected) do assert.equal(1, seen[id], id) end
    end)
  end)

  it("has every kind of id", function()
    local expected = {}
    for byte = 0, 255 do
      local id = "id" .. string.char(byte)
      expected[#expected + 1] = id
      assert(store:session(id):save_creds { registrationId = byte })
    end
    expected[#expected + 1] = "1:2:3"
    expected[#expected + 1] = ("x"):rep(512)
    for i = #expected - 1, #expected do
      assert(store:session(expected[i]):save_creds { registrationId = i })
    end
    table.sort(expected)
    assert.same(expected, (list(3)))
  end)

  it("does not name what has no session, whatever the index says", function()
    store:session("real"):save_creds { registrationId = 1 }
    for bucket = 0, 63 do
      local key = ("authstate:{index:%d}"):format(bucket)
      server:command("ZADD", key, bucket, "ghost" .. bucket)
    end
    assert.same({ "real" }, (list(1)))
    assert.same({ "real" }, (list(1000)))
  end)

  it("pages through many ids of one generation", function()
    for i = 1, 50 do
      local id = ("id%02d"):format(i)
      store:session(id):save_creds { registrationId = i }
      local _, key = stored.index_entry(server, id)
      server:command("ZADD", key, 5, id)
    end
    assert.equal(50, #list(1))
    assert.equal(50, #list(3))
  end)

  it("has a session again after it was deleted and made anew, once", function()
    local session = store:session "s"
    session:save_creds { registrationId = 1 }
    session:delete()
    assert.same({}, (list()))
    is_absent(session:load_creds())
    session:save_creds { registrationId = 2 }
    assert.same({ "s" }, (list()))
    assert.equal(stored.meta(server, "s").gen, (stored.index_entry(server, "s")))
  end)

  it("keeps a session that was made anew when an older delete ends late", function()
    local session = store:session "s"
    session:save_creds { registrationId = 1 }
    local old = session:load().generation
    session:delete()
    is_absent(session:load_creds())
    session:save_creds { registrationId = 2 }
    assert(store:unindex(store:begin("s", nil, 1), "s", ("%.0f"):format(old)))
    assert.same({ "s" }, (list()))
  end)

  it("never puts an older generation in place of a newer", function()
    store:session("s"):save_creds { registrationId = 1 }
    local _, key = stored.index_entry(server, "s")
    server:command("FLUSHALL")
    server:command("ZADD", key, "9000000000000000", "s")
    store:session("s"):load_creds()
    assert(store:session("s"):load_or_create(sample.creds))
    assert.equal("9000000000000000", (stored.index_entry(server, "s")))
    assert.same({ "s" }, (list()))
  end)

  describe("has a session before its first write is sent:", function()
    local between, cut_store

    before_each(function()
      between = proxy.start { server = server, count = { "EVALSHA", "ZADD" } }
      cut_store = assert(authstate.open { redis = between.url })
      cut_store:ping()
    end)

    after_each(function()
      cut_store:close()
      between:stop()
    end)

    local function commit()
      return cut_store:session("s"):commit({
        creds = sample.creds(), keys = { ["lid-mapping"] = { a = "b" } },
      }, { timeout_ms = 150 })
    end

    it("no entry, no write", function()
      between:cut_request { from = "ZADD", after_bytes = 0 }
      between:refuse()
      local _, message, code, details = commit()
      assert.is_truthy(code == "timeout" or code == "unavailable", message)
      assert.equal("no", details.applied)
      assert.equal(0, between:stats().counts.EVALSHA)
      assert.equal(0, server:command("DBSIZE"))
    end)

    it("an entry whose reply is missing, no write", function()
      between:cut_reply { from = "ZADD", after_bytes = 0 }
      between:refuse()
      local _, _, code, details = commit()
      assert.equal("timeout", code)
      assert.equal("no", details.applied)
      assert.equal(0, between:stats().counts.EVALSHA)
      assert.is_truthy((stored.index_entry(server, "s")))
      assert.same({}, (list()))
      assert.same({}, stored.keys(server))
    end)

    it("its generation is the very one that the write opens", function()
      assert.equal(1, commit())
      assert.same({ EVALSHA = 1, ZADD = 1 }, between:stats().counts)
      assert.equal(stored.meta(server, "s").gen, (stored.index_entry(server, "s")))
      commit()
      assert.same({ EVALSHA = 2, ZADD = 1 }, between:stats().counts)
    end)
  end)

  it("is an error, not shorter, when the server does not answer", function()
    store:session("s"):save_creds { registrationId = 1 }
    server:pause()
    fails("timeout", store:sessions { timeout_ms = 30 })
    server:resume()
    assert.same({ "s" }, (list()))
  end)
end)

describe("what is known of a session", function()
  local server, store

  setup(function()
    server = redis_server.start()
    store = assert(authstate.open { redis = server.url })
  end)

  teardown(function()
    store:close()
    server:stop()
  end)

  it("is its counts, memory, version, generation and last write", function()
    local clock = require "spec.support.clock"
    local before_ms = clock.now_ms()
    assert(store:session("s"):commit_json(sample.text "small"))
    local info = assert(store:session_info "s")
    local expected = {}
    for kind, records in pairs(sample.session("small").keys) do
      expected[kind] = 0
      for _ in pairs(records) do expected[kind] = expected[kind] + 1 end
    end
    assert.same(expected, info.counts)
    local bytes = 0
    for _, key in ipairs(stored.session_keys(server, "s")) do
      if not key:find "meta$" then
        bytes = bytes + server:command("MEMORY", "USAGE", key, "SAMPLES", 0)
      end
    end
    assert.equal(bytes, info.bytes)
    assert.equal(1, info.version)
    assert.equal(stored.meta(server, "s").gen, ("%.0f"):format(info.generation))
    assert.is_true(info.last_write_ms >= math.floor(before_ms) and
      info.last_write_ms <= clock.now_ms())
    local registered = authstate.from_json(sample.creds_text()).registered
    assert.equal(registered, info.registered)
  end)

  it("does not need the creds", function()
    store:session("k").keys:set { session = { a = "b" } }
    local info = store:session_info "k"
    assert.same({ session = 1 }, info.counts)
    assert.is_nil(info.registered)
  end)

  it("is the same as the receipt of its delete", function()
    store:session("d"):commit_json(sample.text "small")
    local info = store:session_info "d"
    local receipt = store:session("d"):delete()
    assert.equal(info.bytes, receipt.bytes)
    assert.equal(479, receipt.records)
  end)
end)
