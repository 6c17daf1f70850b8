-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

-- Types that would be trouble if a key were made by pasting them together, and how they
-- stand in the key.
local TYPES = {
  { "meta", "meta" }, { "creds ", "creds " }, { "k:", "k:" }, { "k:meta", "k:meta" },
  { "x}:creds", "x%7D:creds" }, { "x}:meta", "x%7D:meta" }, { "}", "%7D" }, { "{", "{" },
  { "{a}", "{a%7D" }, { "%", "%25" }, { "%7D", "%257D" }, { "%257D", "%25257D" },
  { "", "" }, { " ", " " }, { ":", ":" }, { "\n", "\n" }, { "\0", "\0" }, { "*", "*" },
  { "sender-key", "sender-key" }, { "Приве́т", "Приве́т" }, { "\255\254", "\255\254" },
  { ("t"):rep(1000), ("t"):rep(1000) }, { "w:0", "w:0" }, { "gen", "gen" },
  { "ver", "ver" },   { "tombstone", "tombstone" }, { "index:0", "index:0" },
}

local IDS = {
  "", " ", "\0", "a\0b", "\n", "\r\n", "$5", "*1\r\n$4\r\nPING\r\n", "creds", "}", "{}",
  "120363000000030868@g.us::5521980000274::0", "日本語", "😀", "\255\254\0", "-1", "0",
  "__proto__", ("x"):rep(10240),
}

describe("the typed layout", function()
  local server, store, session

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    store = assert(authstate.open { redis = server.url, layout = "typed" })
    session = store:session "5511999999999"
  end)

  after_each(function()
    store:close()
  end)

  it("keeps an account in one hash a type, all with the session as hash tag", function()
    session:commit_json(sample.text "small")
    local expected = {
      "authstate:{5511999999999}:creds", "authstate:{5511999999999}:meta",
    }
    for kind in pairs(sample.session("small").keys) do
      expected[#expected + 1] = "authstate:{5511999999999}:k:" .. kind
    end
    table.sort(expected)
    assert.same(expected, stored.keys(server))
    for _, key in ipairs(expected) do
      assert.equal("hash", server:command("TYPE", key))
    end
  end)

  it("keeps the creds in a field `creds`, a record in a field of its id", function()
    session:commit_json(sample.text "small")
    assert.same({ "creds" }, server:command("HKEYS", "authstate:{5511999999999}:creds"))
    for kind, records in pairs(sample.session("small").keys) do
      local key = "authstate:{5511999999999}:k:" .. kind
      for id in pairs(records) do assert.equal(1, server:command("HEXISTS", key, id)) end
      local count = 0
      for _ in pairs(records) do count = count + 1 end
      assert.equal(count, server:command("HLEN", key))
    end
  end)

  it("stores a value as an envelope, smaller than its JSON", function()
    session:commit_json(sample.text "small")
    local bytes = 0
    for kind, records in pairs(sample.session("small").keys) do
      for id in pairs(records) do
        local value = server:command("HGET", "authstate:{5511999999999}:k:" .. kind, id)
        assert.equal(0x80, value:byte())
        bytes = bytes + #value
      end
    end
    assert.is_true(bytes < 0.8 * #sample.text "small", bytes)
  end)

  it("keeps in meta: generation, version, time, types, the writer, registered", function()
    session:commit_json(sample.text "small")
    local meta = stored.meta(server, "5511999999999")
    assert.equal("1", meta.ver)
    assert.match("^%d+$", meta.gen)
    assert.match("^%d+$", meta.at)
    assert.match("^[01]$", meta.registered)
    local types, writers = {}, 0
    for field, value in pairs(meta) do
      if field:find "^t:" then types[field:sub(3)] = value end
      if field:find "^w:" then
        writers = writers + 1
        assert.match("^w:%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$", field)
        assert.equal("1:1", value)
      end
      meta[field] = nil
    end
    assert.is_nil(next(meta))
    assert.equal(1, writers)
    for kind in pairs(sample.session("small").keys) do
      assert.equal("1", types[kind])
      types[kind] = nil
    end
    assert.is_nil(next(types))
  end)

  it("keeps the index in sorted sets of their own, scored by generation", function()
    session:save_creds(sample.creds())
    local generation, key = stored.index_entry(server, "5511999999999")
    assert.match("^authstate:{index:%d+}$", key)
    assert.equal(stored.meta(server, "5511999999999").gen, generation)
    assert.equal("zset", server:command("TYPE", key))
  end)

  it("never gives a key a time to live", function()
    session:commit_json(sample.text "small")
    session:commit_json(sample.text "small")
    session.keys:set { session = { a = authstate.null } }
    for _, key in ipairs(stored.keys(server, { index = true })) do
      assert.equal(-1, server:command("PTTL", key))
    end
  end)

  it("writes % and } of a type as %25 and %7D, and nothing else otherwise", function()
    for n, case in ipairs(TYPES) do
      local kind, escaped = case[1], case[2]
      assert(session.keys:set { [kind] = { id = n } })
      assert.equal(1,
        server:command("HEXISTS", "authstate:{5511999999999}:k:" .. escaped, "id"), kind)
      assert.same({ id = n }, session.keys:get(kind, { "id" }))
    end
  end)

  it("keeps odd types apart: each is counted, listed and loaded by itself", function()
    local creds = sample.creds(5)
    local changes, counts = {}, {}
    for i, case in ipairs(TYPES) do
      changes[case[1]] = { id = i, ["id" .. i] = -i }
      counts[case[1]] = 2
    end
    assert(session:commit { creds = creds, keys = changes })
    assert.same(counts, session.keys:types())
    local loaded = store:session("5511999999999"):load()
    assert.same(changes, loaded.keys)
    assert.equal(5, loaded.creds.registrationId)
    for i, case in ipairs(TYPES) do
      session.keys:set { [case[1]] = { id = authstate.null } }
      assert.same({ "id" .. i }, session.keys:list(case[1]))
    end
    assert.equal(#TYPES + 1, session:delete().records)
    assert.same({ "authstate:{5511999999999}:meta" }, stored.keys(server))
  end)

  it("keeps a type named like a part of meta away from it", function()
    session:save_creds(sample.creds())
    local before = stored.meta(server, "5511999999999")
    session.keys:set { meta = { gen = "1", ver = "99" }, gen = { a = "1" } }
    local after = stored.meta(server, "5511999999999")
    assert.equal(before.gen, after.gen)
    assert.equal("2", after.ver)
  end)

  it("takes any id", function()
    for n, id in ipairs(IDS) do
      assert(session.keys:set { ["pre-key"] = { [id] = n } })
      assert.equal(1,
        server:command("HEXISTS", "authstate:{5511999999999}:k:pre-key", id), id)
    end
    local found = session.keys:get("pre-key", IDS)
    for n, id in ipairs(IDS) do assert.equal(n, found[id]) end
    local listed = session.keys:list "pre-key"
    table.sort(listed)
    local expected = { unpack(IDS) }
    table.sort(expected)
    assert.same(expected, listed)
    for _, id in ipairs(IDS) do
      assert(session.keys:set { ["pre-key"] = { [id] = authstate.null } })
    end
    assert.equal(0, session.keys:count "pre-key")
  end)
end)
