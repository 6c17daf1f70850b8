-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local clock = require "spec.support.clock"
local redis_server = require "spec.support.redis_server"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails = outcome.fails

describe("a store", function()
  local server, stores

  local function open(options)
    local store = assert(authstate.open(options))
    stores[#stores + 1] = store
    return store
  end

  -- How many connections the server has ever had.
  local function count_connections()
    return server:command("INFO", "stats"):match "total_connections_received:(%d+)"
  end

  setup(function()
    server = redis_server.start { tcp = true }
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

  it("opens without touching the server", function()
    local store = open { redis = "redis://127.0.0.1:1" }
    assert.is_truthy(store:session "s")
    store:close()
    local before = count_connections()
    open { redis = server.url }
    local after = count_connections()
    assert.equal(before, after)
  end)

  it("asks the server when it is pinged", function()
    assert.is_true(open({ redis = server.url }):ping())
    local message, details = fails("unavailable", open({
      redis = { url = "redis://127.0.0.1:1", socket = { connect_timeout_ms = 100 } },
    }):ping())
    assert.match("redis://127.0.0.1:1", message, 1, true)
    assert.is_false(details.sent)
    assert.equal("no", details.applied)
    assert.is_true(details.retry)
  end)

  it("reaches the server by its socket or its port, given as a URL or a table", function()
    for _, redis in ipairs {
      server.url, "redis://127.0.0.1:" .. server.port,
      "redis://localhost:" .. server.port,
      { path = server.socket }, { port = server.port },
      { host = "127.0.0.1", port = server.port }, { url = server.url },
    } do
      assert.is_true(open({ redis = redis }):ping())
    end
  end)

  it("keeps to the database of its URL", function()
    for _, redis in ipairs {
      server.url .. "?db=3", "redis://127.0.0.1:" .. server.port .. "/3",
      { path = server.socket, database = 3 },
    } do
      local session = open({ redis = redis }):session "s"
      assert(session:save_creds(sample.creds()))
      local client = server:connect()
      assert.equal(0, client:command("DBSIZE"))
      client:command("SELECT", 3)
      assert.equal(3, client:command("DBSIZE"))
      client:command("FLUSHDB")
      client:close()
    end
  end)

  it("keeps to its prefix: two of them do not see each other", function()
    local one = open { redis = server.url, prefix = "one:" }
    local two = open { redis = server.url, prefix = "two:" }
    assert(one:session("s"):save_creds(sample.creds()))
    outcome.is_absent(two:session("s"):load_creds())
    assert.same({}, two:sessions())
    assert.same({ "s" }, one:sessions())
    assert.equal(2, #stored.session_keys(server, "s", "one:"))
    for _, key in ipairs(stored.keys(server, { index = true })) do
      assert.equal("one:", key:sub(1, 4))
    end
  end)

  it("may have no prefix at all", function()
    local store = open { redis = server.url, prefix = "" }
    assert(store:session("s"):save_creds(sample.creds()))
    assert.same({ "{s}:creds", "{s}:meta" }, stored.keys(server))
    assert.same({ "s" }, store:sessions())
  end)

  it("answers `closed` to every call once it is closed", function()
    local store = open { redis = server.url }
    local session = store:session "s"
    assert(session:save_creds(sample.creds()))
    assert.is_true(store:close())
    assert.is_true(store:close())
    local before = stored.everything(server)
    local later = store:session "s"
    for _, call in ipairs {
      function() return store:ping() end,
      function() return store:sessions() end,
      function() return store:session_info "s" end,
      function() return session:load_creds() end,
      function() return session:load_creds_json() end,
      function() return session:load() end,
      function() return session:load_json() end,
      function() return session:load_or_create(sample.creds) end,
      function() return session:save_creds(sample.creds()) end,
      function() return session:commit { creds = sample.creds() } end,
      function() return session:commit_json '{"creds":{}}' end,
      function() return session:delete() end,
      function() return session.keys:get("pre-key", { "1" }) end,
      function() return session.keys:get_json("pre-key", { "1" }) end,
      function() return session.keys:set { ["pre-key"] = { ["1"] = {} } } end,
      function() return session.keys:list "pre-key" end,
      function() return session.keys:count "pre-key" end,
      function() return session.keys:types() end,
      function() return later:load_creds() end,
    } do
      local _, details = fails("closed", call())
      assert.equal("no", details.applied)
    end
    assert.same(before, stored.everything(server))
  end)

  it("leaves no connection behind when it is closed", function()
    local function count()
      return tonumber(server:command("INFO", "clients"):match("connected_clients:(%d+)"))
    end
    local before = count()
    local store = open { redis = server.url }
    -- One for all sessions, and one that is told what others change.
    assert.is_truthy(clock.wait_for(function()
      assert(store:ping())
      return count() == before + 2
    end))
    store:close()
    assert.is_truthy(clock.wait_for(function()
      return count() == before
    end))
  end)

  it("uses one connection, however many sessions it has", function()
    local store = open { redis = server.url }
    -- And one that is told what others change.
    assert.is_truthy(clock.wait_for(function()
      assert(store:ping())
      return server:command("CLIENT", "LIST", "TYPE", "pubsub"):find "sub=1"
    end))
    local before = count_connections()
    for i = 1, 50 do assert(store:session("s" .. i):save_creds(sample.creds(i))) end
    local after = count_connections()
    assert.equal(before, after)
  end)

  it("says its version", function()
    assert.match("^%d+%.%d+%.%d+", authstate._VERSION)
  end)
end)
