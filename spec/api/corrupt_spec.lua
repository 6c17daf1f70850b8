-- SPDX-License-Identifier: MIT

-- A damaged value must never look like an absent one: that would pair the account again.

local authstate = require "authstate"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"

local fails = outcome.fails

local SESSIONS = "authstate:{s}:k:session"
local CREDS = "authstate:{s}:creds"

-- What a value may have become, and a word of the message.
local DAMAGES = {
  ["emptied"] = { "", "empty" },
  ["of an unknown serializer"] = { "\135\1", "serializer 7" },
  ["of a serializer that is to come"] = { "\131{}", "serializer 3" },
  ["compressed by what this version does not know"] = { "\160\1\2\3", "compress" },
  ["encrypted by what this version does not know"] = { "\144\1\2\3", "encrypt" },
  ["with nothing behind its header"] = { "\128", "" },
  ["with bytes behind its end"] = { "\128\0\0", "" },
  ["with a name of a later version"] = { "\128\161\24\255\0", "name" },
  ["of reserved CBOR"] = { "\128\28", "" },
  ["with a length it does not have"] = { "\128\91\255\255\255\255\255\255\255\255", "" },
  ["JSON that stops"] = { '{"a":', "byte 5" },
  ["JSON with more behind it"] = { "{} {}", "byte 3" },
  ["no JSON at all"] = { "hello", "byte 0" },
  ["nested without end"] = { ("["):rep(100000), "" },
  ["nested without end, as CBOR"] = { "\128" .. ("\129"):rep(100000), "" },
}

describe("a stored value that is", function()
  local server, store, session

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
    session = store:session "s"
    assert(session:commit {
      creds = sample.creds(), keys = { session = { good = sample.value "session" } },
    })
  end)

  for name, damage in pairs(DAMAGES) do
    local bytes, word = damage[1], damage[2]

    it(name .. " is corrupt and named, in every way of reading a record", function()
      server:command("HSET", SESSIONS, "bad", bytes)
      for _, read in ipairs {
        function() return session.keys:get("session", { "good", "bad" }) end,
        function() return session.keys:get("session", { "bad" }) end,
        function() return session.keys:get_json("session", { "good", "x", "bad" }) end,
        function() return session:load() end,
        function() return session:load_json() end,
      } do
        local message, details = fails("corrupt", read())
        assert.equal("session", details.type)
        assert.equal("bad", details.id)
        assert.equal("s", details.session)
        assert.is_false(details.retry)
        assert.match('session "bad": ', message, 1, true)
        assert.match(word, message, 1, true)
      end
      assert.is_table(session.keys:get("session", { "good" }))
    end)

    it(name .. " is corrupt in the place of the creds, never absent", function()
      server:command("HSET", CREDS, "creds", bytes)
      for _, read in ipairs {
        function() return session:load_creds() end,
        function() return session:load_creds_json() end,
        function() return session:load() end,
        function() return session:load_json() end,
        function() return session:load_or_create(error) end,
      } do
        local message, details = fails("corrupt", read())
        assert.equal("creds", details.type)
        assert.equal("creds", details.id)
        assert.match(word, message, 1, true)
      end
    end)
  end

  it("cut short anywhere is corrupt", function()
    local whole = server:command("HGET", SESSIONS, "good")
    for length = 0, #whole - 1, 7 do
      server:command("HSET", SESSIONS, "bad", whole:sub(1, length))
      local _, details = fails("corrupt", session.keys:get("session", { "bad" }))
      assert.equal("bad", details.id)
      fails("corrupt", session.keys:get_json("session", { "bad" }))
    end
  end)

  it("no table in the place of the creds is corrupt", function()
    for _, text in ipairs {
      "1", '"creds"', "true", "false", "null", "[]", "\128\1", "\128\246",
    } do
      server:command("HSET", CREDS, "creds", text)
      fails("corrupt", session:load_creds())
      fails("corrupt", session:load_or_create(error))
    end
  end)

  it("damaged in one bit is another value or corrupt, never absent", function()
    local dice = random.new()
    local whole = server:command("HGET", SESSIONS, "good")
    local corrupt = 0
    for _ = 1, random.rounds(2000) do
      local at = dice:integer(1, #whole)
      local byte = require("bit").bxor(whole:byte(at), 2 ^ dice:integer(0, 7))
      server:command("HSET", SESSIONS, "bad",
        whole:sub(1, at - 1) .. string.char(byte) .. whole:sub(at + 1))
      local found, _, code = session.keys:get("session", { "bad" })
      if found then
        assert.is_not_nil(found.bad)
      else
        assert.equal("corrupt", code)
        corrupt = corrupt + 1
      end
    end
    assert.is_true(corrupt > 100)
  end)

  it("damaged keeps nothing from being written or deleted", function()
    server:command("HSET", SESSIONS, "bad", "")
    assert(session.keys:set { session = { good = "new" } })
    assert(session.keys:set { session = { bad = "repaired" } })
    assert.same({ good = "new", bad = "repaired" },
      session.keys:get("session", { "good", "bad" }))
    server:command("HSET", SESSIONS, "bad", "")
    assert.equal(3, session:delete().records)
  end)
end)
