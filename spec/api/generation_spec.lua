-- SPDX-License-Identifier: MIT

-- What happens when a session is deleted and made again while others still hold it.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local redis_server = require "spec.support.redis_server"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails, is_absent = outcome.fails, outcome.is_absent

local KEYS = { keys = { ["lid-mapping"] = { late = "b" } } }

describe("a generation of a session", function()
  local server, store, other, session

  -- Another process' view: deletes the session, and makes it again unless told not to.
  local function replace(options)
    local theirs = other:session "s"
    assert(theirs:load_creds())
    assert(theirs:delete())
    if options and options.leave_deleted then return end
    is_absent(theirs:load_creds())
    assert(theirs:commit { creds = sample.creds(2), keys = { session = { a = "new" } } })
  end

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    store = assert(authstate.open { redis = server.url })
    other = assert(authstate.open { redis = server.url })
    session = store:session "s"
  end)

  after_each(function()
    store:close()
    other:close()
  end)

  it("is one for two handles that write first at once, neither having read", function()
    local perform, is_first = store.perform, true
    -- Just before the first handle opens a generation, the other one does.
    function store.perform(self, call, request)
      if is_first and request.commands[1][1] == "ZADD" then
        is_first = false
        assert(other:session("s").keys:set { session = { theirs = 1 } })
      end
      return perform(self, call, request)
    end
    assert(session.keys:set { session = { ours = 2 } })
    assert.is_false(is_first)
    assert.same({ theirs = 1, ours = 2 },
      store:session("s").keys:get("session", { "theirs", "ours" }))
  end)

  local WRITES = {
    ["keys:set"] = function() return session.keys:set { session = { a = "late" } } end,
    ["keys:set of null"] = function()
      return session.keys:set { session = { a = authstate.null } }
    end,
    ["keys:set_json"] = function()
      return session.keys:set_json { session = { a = "1" } }
    end,
    ["save_creds"] = function() return session:save_creds(sample.creds(9)) end,
    ["commit"] = function()
      return session:commit {
        creds = sample.creds(9), keys = { session = { a = "late" } },
      }
    end,
    ["commit_json"] = function() return session:commit_json(sample.text "small") end,
    ["delete"] = function() return session:delete() end,
  }

  local READS = {
    ["keys:get"] = function() return session.keys:get("session", { "a" }) end,
    ["keys:get_json"] = function() return session.keys:get_json("session", { "a" }) end,
    ["keys:list"] = function() return session.keys:list "session" end,
    ["keys:count"] = function() return session.keys:count "session" end,
    ["keys:types"] = function() return session.keys:types() end,
  }

  local PINS = {
    ["load_creds"] = function() assert(session:load_creds()) end,
    ["load_creds_json"] = function() assert(session:load_creds_json()) end,
    ["load"] = function() assert(session:load()) end,
    ["load_json"] = function() assert(session:load_json()) end,
    ["load_or_create"] = function() assert(session:load_or_create(error)) end,
    ["keys:get"] = function() assert(session.keys:get("session", { "a" })) end,
    ["keys:count"] = function() assert(session.keys:count "session") end,
    ["a write"] = function() assert(session.keys:set { session = { a = "old" } }) end,
  }

  for name, write in pairs(WRITES) do
    it("fences a late " .. name .. " of its predecessor: no change", function()
      session:commit { creds = sample.creds(1), keys = { session = { a = "old" } } }
      replace()
      local before = stored.everything(server)
      local _, details = fails("fenced", write())
      assert.equal("no", details.applied)
      assert.is_false(details.retry)
      assert.same(before, stored.everything(server))
    end)

    it("that was deleted is not revived by a late " .. name, function()
      session:commit { creds = sample.creds(1), keys = { session = { a = "old" } } }
      replace { leave_deleted = true }
      fails("fenced", write())
      assert.same({ "authstate:{s}:meta" }, stored.session_keys(server, "s"))
    end)
  end

  for name, read in pairs(READS) do
    it("fences a " .. name .. " of a handle that knows its predecessor", function()
      session:commit { creds = sample.creds(1), keys = { session = { a = "old" } } }
      replace()
      fails("fenced", read())
    end)

    it("that was deleted fences a " .. name .. ", rather than showing nothing", function()
      session:commit { creds = sample.creds(1), keys = { session = { a = "old" } } }
      replace { leave_deleted = true }
      fails("fenced", read())
    end)
  end

  for name, pin in pairs(PINS) do
    it("is what a handle holds on to from " .. name .. " on", function()
      local maker = other:session "s"
      maker:commit { creds = sample.creds(1), keys = { session = { a = "old" } } }
      pin()
      replace()
      fails("fenced", session.keys:get("session", { "a" }))
      fails("fenced", session.keys:set { session = { a = "late" } })
      assert.same({ a = '"new"' }, other:session("s").keys:get_json("session", { "a" }))
    end)
  end

  for name, load in pairs {
    load_creds = function() return session:load_creds() end,
    load_creds_json = function() return session:load_creds_json() end,
    load = function() return session:load() end,
    load_json = function() return session:load_json() end,
    load_or_create = function() return session:load_or_create(error) end,
  } do
    it("is taken up by " .. name .. ": then reads and writes go through", function()
      session:commit { creds = sample.creds(1), keys = { session = { a = "old" } } }
      replace()
      fails("fenced", session.keys:get("session", { "a" }))
      assert(load())
      assert.same({ a = "new" }, session.keys:get("session", { "a" }))
      assert(session.keys:set { session = { a = "mine" } })
    end)
  end

  it("is opened by keys alone: Baileys writes keys before creds", function()
    assert.equal(1, session.keys:set { session = { a = "1" } })
    local meta = stored.meta(server, "s")
    assert.is_truthy(meta.gen)
    is_absent(session:load_creds())
    assert.equal(2, session:save_creds(sample.creds()))
    assert.equal(meta.gen, stored.meta(server, "s").gen)
    assert.same({ a = "1" }, session.keys:get("session", { "a" }))
  end)

  it("is opened by keys alone also after a load that found nothing", function()
    is_absent(session:load_creds())
    assert.equal(1, session.keys:set { session = { a = "1" } })
  end)

  it("is opened by only one of two who both saw nothing", function()
    is_absent(session:load_creds())
    local theirs = other:session "s"
    is_absent(theirs:load_creds())
    assert(theirs:commit { creds = sample.creds(2) })
    fails("fenced", session:commit { creds = sample.creds(1) })
    assert.equal(2, other:session("s"):load_creds().registrationId)
  end)

  it("is the one that is stored for a handle that has read nothing yet", function()
    session:commit { creds = sample.creds(1), keys = { session = { a = "old" } } }
    replace()
    local fresh = store:session "s"
    assert(fresh.keys:set { session = { b = "1" } })
    assert.same({ a = "new", b = "1" }, fresh.keys:get("session", { "a", "b" }))
  end)

  it("has a number: server time in us, and always greater than the last", function()
    local last = 0
    for n = 1, 5 do
      is_absent(session:load_creds())
      session:save_creds(sample.creds(n))
      local generation = tonumber(stored.meta(server, "s").gen)
      assert.is_true(generation > last)
      assert.is_true(math.abs(generation / 1000 - clock.now_ms()) < 60000)
      assert.equal(generation, session:load().generation)
      assert.equal(generation, tonumber((stored.index_entry(server, "s"))))
      last = session:delete().generation
      assert.is_true(last > generation)
    end
  end)

  it("is greater than the last also when the server's clock went back", function()
    session:save_creds(sample.creds(1))
    server:command("HSET", "authstate:{s}:meta", "gen", "4000000000000000")
    local fresh = store:session "s"
    assert(fresh:load_creds())
    assert.equal(4000000000000001, fresh:delete().generation)
    is_absent(fresh:load_creds())
    assert(fresh:save_creds(sample.creds(2)))
    assert.equal("4000000000000002", stored.meta(server, "s").gen)
  end)

  describe("after a delete", function()
    before_each(function()
      session:commit { creds = sample.creds(1), keys = { session = { a = "old" } } }
      replace { leave_deleted = true }
    end)

    it("begins with creds from a handle that has loaded since", function()
      local creds, created
      is_absent(session:load_creds())
      assert(session:commit { creds = sample.creds(3) })
      assert.equal(3, session:load_creds().registrationId)
      session:delete()
      creds, created = session:load_or_create(function() return sample.creds(4) end)
      assert.is_true(created)
      assert.equal(4, creds.registrationId)
      session:delete()
      is_absent(session:load())
      assert(session:commit_json(sample.text "small"))
    end)

    it("does not begin with keys alone, even after a load", function()
      is_absent(session:load_creds())
      fails("fenced", session:commit(KEYS))
      fails("fenced", session.keys:set(KEYS.keys))
      is_absent(session:load())
      fails("fenced", session:commit(KEYS))
      assert.same({ "authstate:{s}:meta" }, stored.session_keys(server, "s"))
      assert(session:save_creds(sample.creds(3)))
      assert(session:commit(KEYS))
    end)

    it("does not begin with creds from a handle that has not loaded", function()
      fails("fenced", store:session("s"):save_creds(sample.creds(3)))
      fails("fenced", store:session("s"):commit { creds = sample.creds(3) })
      assert.same({ "authstate:{s}:meta" }, stored.session_keys(server, "s"))
    end)

    it("does not begin with creds from a handle that loaded before the delete", function()
      is_absent(session:load_creds())
      assert(other:session("s"):load_or_create(sample.creds))
      replace { leave_deleted = true }
      fails("fenced", session:save_creds(sample.creds(3)))
    end)

    it("reads of a fresh handle find nothing, and do not allow it to begin", function()
      local fresh = store:session "s"
      assert.same({}, fresh.keys:get("session", { "a" }))
      fails("fenced", fresh:save_creds(sample.creds(3)))
    end)

    it("begins for one of two only; load_or_create takes what the other made", function()
      local creds, created = session:load_or_create(function()
        local theirs = other:session "s"
        is_absent(theirs:load_creds())
        assert(theirs:save_creds(sample.creds(7)))
        return sample.creds(8)
      end)
      assert.is_false(created)
      assert.equal(7, creds.registrationId)
    end)
  end)

  it("that the server lost is not continued: the handle must load again", function()
    session:commit { creds = sample.creds(1), keys = { session = { a = "old" } } }
    server:command("FLUSHALL")
    fails("fenced", session.keys:set { session = { b = "half a session" } })
    fails("fenced", session.keys:get("session", { "a" }))
    fails("fenced", session:save_creds(sample.creds(2)))
    fails("fenced", session:delete())
    assert.equal(0, server:command("DBSIZE"))
    is_absent(session:load_creds())
    assert.equal(1, session:save_creds(sample.creds(2)))
  end)

  it("whose tombstone expired can begin anew by a handle that has loaded", function()
    local hasty = authstate.open { redis = server.url, tombstone_ttl_ms = 1000 }
    local handle = hasty:session "s"
    handle:save_creds(sample.creds(1))
    handle:delete()
    server:command("PEXPIRE", "authstate:{s}:meta", 1)
    assert.is_true(clock.wait_for(function() return server:command("DBSIZE") == 0 end))
    fails("fenced", handle:save_creds(sample.creds(2)))
    is_absent(handle:load_creds())
    assert.equal(1, handle:save_creds(sample.creds(2)))
    hasty:close()
  end)
end)
