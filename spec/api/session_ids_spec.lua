-- SPDX-License-Identifier: MIT

-- Session ids are user input: one must never reach into another's keys.

local authstate = require "authstate"
local redis_server = require "spec.support.redis_server"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

-- Ids that are trouble when keys are made by pasting, matching or splitting.
local NEIGHBOURS = {
  { "{", "{}" }, { "{", "a" }, { "a{b}c", "b" }, { "{b}", "b" }, { "a{b}c", "a{b}d" },
  { "*", "a" }, { "a*", "ab" }, { "a?", "ab" }, { "[a-z]", "b" }, { "a\\*", "a*" },
  { "user", "user:2" }, { "user", "user}" }, { "user", "user}:" }, { "a}:k:x", "a" },
  { "a}:meta", "a" }, { "a}:creds", "a" }, { "a}:k:session", "a" }, { "a}", "a" },
  { "a}:k", "a" }, { "a/b", "a" }, { "..", "." }, { "../a", "a" }, { "a%7D", "a}" },
  { "a%25", "a%" }, { "index:0", "index" }, { "a\0", "a" }, { "a\0b", "a\0c" },
  { "\n", "\r" }, { "a\r\n", "a" }, { " a", "a" }, { "a ", "a" }, { "A", "a" },
  { ("x"):rep(512), ("x"):rep(511) }, { "é", "e" }, { "e\204\129", "é" },
  { "\255\254", "\255" }, { "\192\128", "\0" }, { "5511999999999:1@s.whatsapp.net",
    "5511999999999@s.whatsapp.net" }, { "$1", "1" }, { "'", '"' }, { ":", "::" },
}

local TYPES = { "session", "x}:meta", "x}:creds", "k:session", "meta", "creds}:k:x" }

describe("a session's id", function()
  local server, store

  setup(function()
    server = redis_server.start()
    store = assert(authstate.open { redis = server.url })
  end)

  teardown(function()
    store:close()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
  end)

  -- Writes a session with types of all kinds.
  local function fill(id)
    local keys = {}
    for n, kind in ipairs(TYPES) do keys[kind] = { a = n, ["}:meta"] = -n } end
    local session = store:session(id)
    session:load_creds()
    return session:commit { creds = sample.creds(#id), keys = keys }
  end

  for _, pair in ipairs(NEIGHBOURS) do
    for _, order in ipairs { { pair[1], pair[2] }, { pair[2], pair[1] } } do
      local id, neighbour = order[1], order[2]

      it(("%q does not touch %q: writing, deleting, making anew"):format(id:sub(1, 20),
        neighbour:sub(1, 20)), function()
        assert(fill(neighbour))
        local keys = stored.keys(server)
        assert.equal(#TYPES + 2, #keys)
        local before = stored.snapshot(server, keys)

        assert(fill(id))
        assert.equal(2 * (#TYPES + 2), #stored.keys(server))
        assert.same(before, stored.snapshot(server, keys))
        assert.equal(#id, store:session(id):load_creds().registrationId)

        assert.equal(2 * #TYPES + 1, assert(store:session(id):delete()).records)
        assert.same(before, stored.snapshot(server, keys))
        assert.equal(#keys + 1, #stored.keys(server))
        assert.same({ neighbour }, store:sessions())

        assert(fill(id))
        assert.same(before, stored.snapshot(server, keys))
        assert.equal(#neighbour, store:session(neighbour):load_creds().registrationId)
        local ids = store:sessions()
        table.sort(ids)
        local expected = { id, neighbour }
        table.sort(expected)
        assert.same(expected, ids)
      end)
    end
  end

  it("may be any single byte but }, each a session of its own", function()
    local ids = {}
    for byte = 0, 255 do
      local id = string.char(byte)
      if id ~= "}" then
        ids[#ids + 1] = id
        assert(store:session(id):commit {
          creds = sample.creds(byte), keys = { session = { [id] = byte } },
        })
      end
    end
    assert.equal(255, #ids)
    assert.equal(3 * 255, #stored.keys(server))
    for _, id in ipairs(ids) do
      local loaded = store:session(id):load()
      assert.equal(id:byte(), loaded.creds.registrationId)
      assert.same({ session = { [id] = id:byte() } }, loaded.keys)
    end
    local kept = {}
    for _, id in ipairs(ids) do
      if id:byte() % 2 == 1 then
        for _, part in ipairs { "creds", "meta", "k:session" } do
          kept[#kept + 1] = "authstate:{" .. id .. "}:" .. part
        end
      end
    end
    local before = stored.snapshot(server, kept)
    for _, id in ipairs(ids) do
      if id:byte() % 2 == 0 then assert.equal(2, store:session(id):delete().records) end
    end
    assert.same(before, stored.snapshot(server, kept))
    local listed, expected = store:sessions(), {}
    table.sort(listed)
    for _, id in ipairs(ids) do
      if id:byte() % 2 == 1 then expected[#expected + 1] = id end
    end
    assert.same(expected, listed)
  end)

  it("is at most 512 bytes, any of them", function()
    local id = {}
    for byte = 511, 0, -1 do id[#id + 1] = string.char(byte % 256) end
    id = table.concat(id)
    assert.equal(512, #id)
    assert(fill(id))
    assert.equal(512, store:session(id):load_creds().registrationId)
    assert.same({ id }, store:sessions())
  end)

  it("is refused when it would break the hash tag, or is none", function()
    for _, id in ipairs { "", "}", "}a", "}:meta", ("x"):rep(513) } do
      local message = outcome.raises(function() store:session(id) end)
      assert.match("^session id: ", message)
      assert.match("1 to 512 bytes", message, 1, true)
      assert.match("^session id: ", outcome.raises(function() store:session_info(id) end))
    end
    for _, id in ipairs { 5511999999999, true, {}, print } do
      assert.match("^session id: ", outcome.raises(function() store:session(id) end))
    end
    assert.match("^session id: nil", outcome.raises(function() store:session() end))
  end)
end)
