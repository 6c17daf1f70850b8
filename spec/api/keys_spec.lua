-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

describe("the keys of a session", function()
  local server, store, session, keys

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
    keys = session.keys
  end)

  after_each(function()
    store:close()
  end)

  it("are read as they were written, Buffers as bytes", function()
    local text, id = sample.record "pre-key"
    local key = authstate.from_json(text)
    assert.equal(1, keys:set { ["pre-key"] = { [id] = key } })
    local found = assert(keys:get("pre-key", { id }))
    assert.equal(key.public, found[id].public)
    assert.equal(key.private, found[id].private)
    assert.equal(32, #found[id].private)
  end)

  it("are found by a handle of another store", function()
    local text, id = sample.record "session"
    keys:set_json { session = { [id] = text } }
    local other = authstate.open { redis = server.url }
    assert.same({ [id] = text }, other:session("s").keys:get_json("session", { id }))
    other:close()
  end)

  it("that are absent are absent from the table, and no error", function()
    local _, id = sample.record "session"
    keys:set_json { session = { [id] = (sample.record "session") } }
    local found, message = keys:get("session", { "none", id, "nobody" })
    assert.is_nil(message)
    assert.is_not_nil(found[id])
    assert.is_nil(found.none)
    assert.is_nil(found.nobody)
  end)

  it("may be asked for twice in one call, or not at all", function()
    keys:set { ["lid-mapping"] = { a = "1" } }
    assert.same({ a = "1" }, keys:get("lid-mapping", { "a", "a", "b", "a" }))
    assert.same({}, keys:get("lid-mapping", {}))
  end)

  it("of every type of a real account come back as they were", function()
    for kind, records in pairs(sample.session("small").keys) do
      assert(keys:set_json { [kind] = records })
      local ids = {}
      for id in pairs(records) do ids[#ids + 1] = id end
      assert.same(records, keys:get_json(kind, ids))
      table.sort(ids)
      local listed = keys:list(kind)
      table.sort(listed)
      assert.same(ids, listed)
      assert.equal(#ids, keys:count(kind))
    end
  end)

  it("are counted by type; types without any are not named", function()
    local expected = {}
    for kind, records in pairs(sample.session("small").keys) do
      keys:set_json { [kind] = records }
      expected[kind] = 0
      for _ in pairs(records) do expected[kind] = expected[kind] + 1 end
    end
    assert.same(expected, keys:types())
    assert.same(expected, store:session("s").keys:types())
    local gone = {}
    for _, id in ipairs(keys:list "tctoken") do gone[id] = authstate.null end
    keys:set { tctoken = gone }
    expected.tctoken = nil
    assert.same(expected, keys:types())
    assert.same({}, keys:list "tctoken")
    assert.equal(0, keys:count "tctoken")
  end)

  it("are deleted by null, in set and in set_json", function()
    keys:set { ["lid-mapping"] = { a = "1", b = "2", c = "3" } }
    assert.equal(2, keys:set { ["lid-mapping"] = { a = authstate.null } })
    assert.equal(3, keys:set_json { ["lid-mapping"] = { b = authstate.null } })
    assert.same({ c = "3" }, keys:get("lid-mapping", { "a", "b", "c" }))
    assert.equal(1, server:command("HLEN", "authstate:{s}:k:lid-mapping"))
  end)

  it("may be null themselves: a stored null is not absent", function()
    keys:set_json { ["lid-mapping"] = { a = "null" } }
    local found = keys:get("lid-mapping", { "a" })
    assert.equal(authstate.null, found.a)
    assert.same({ a = "null" }, keys:get_json("lid-mapping", { "a" }))
  end)

  it("that are deleted but were not there are no error", function()
    assert.equal(1, keys:set { ["pre-key"] = { ["1"] = authstate.null } })
    assert.same({}, keys:types())
  end)

  it("of several types are written in one step: one version", function()
    local found = { ["pre-key"] = {}, session = {} }
    for n = 1, 3 do
      local text, id = sample.record("pre-key", n)
      found["pre-key"][id] = text
      text, id = sample.record("session", n)
      found.session[id] = text
    end
    assert.equal(1, keys:set_json(found))
    assert.equal(1, stored.version(server, "s"))
    assert.same({ ["pre-key"] = 3, session = 3 }, keys:types())
  end)

  it("are overwritten and deleted in one step", function()
    keys:set { ["lid-mapping"] = { a = "1", b = "1", c = "1" } }
    keys:set { ["lid-mapping"] = { a = "2", b = authstate.null, d = "2" } }
    assert.same({ a = "2", c = "1", d = "2" },
      keys:get("lid-mapping", { "a", "b", "c", "d" }))
  end)

  it("of 5,000 ids are read in one call", function()
    local records, ids = {}, {}
    for i = 1, 5000 do
      ids[i] = tostring(i)
      records[ids[i]] = ("%d"):format(i)
    end
    keys:set_json { ["pre-key"] = records }
    assert.same(records, keys:get_json("pre-key", ids))
  end)

  it("hand out tables that are the caller's own", function()
    local text, id = sample.record "session"
    keys:set_json { session = { [id] = text } }
    local first = keys:get("session", { id, id })
    first[id]._sessions = nil
    assert.is_table(keys:get("session", { id })[id]._sessions)
  end)

  it("read values in the type they had: numbers, booleans, lists, empty lists", function()
    local written = {
      number = 7, text = "7", yes = true, no = false,
      list = authstate.array { 1, 2, 3 }, empty = authstate.array {}, object = {},
    }
    keys:set { ["sender-key-memory"] = written }
    assert.same({
      number = "7", text = '"7"', yes = "true", no = "false", list = "[1,2,3]",
      empty = "[]", object = "{}",
    }, keys:get_json("sender-key-memory",
      { "number", "text", "yes", "no", "list", "empty", "object" }))
    local found = keys:get("sender-key-memory", { "number", "text", "no", "empty" })
    assert.equal(7, found.number)
    assert.equal("7", found.text)
    assert.is_false(found.no)
    assert.equal(authstate.array_mt, getmetatable(found.empty))
  end)
end)
