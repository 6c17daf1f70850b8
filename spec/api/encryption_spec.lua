-- SPDX-License-Identifier: MIT

-- Stores with `encryption`: what is in Redis tells nothing, opens in its own place only,
-- and a value that cannot be opened is `corrupt`, never another one and never absent.

local authstate = require "authstate"
local bit = require "bit"
local core = require "authstate.core"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails, is_absent = outcome.fails, outcome.is_absent

local KEY_1, KEY_2 = ("0123456789abcdef"):rep(4), ("fedcba9876543210"):rep(4)
local ONE = { keys = { [1] = KEY_1 }, primary = 1 }
local TWO = { keys = { [2] = KEY_2 }, primary = 2 }
local BOTH = { keys = { [1] = KEY_1, [2] = KEY_2 }, primary = 2 }
local STRICT = { keys = { [1] = KEY_1 }, primary = 1, required = true }

local PRE_KEYS = "authstate:{s}:k:pre-key"
local CREDS = "authstate:{s}:creds"

describe("with encryption", function()
  local server, opened

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    opened = {}
  end)

  after_each(function()
    for _, store in ipairs(opened) do store:close() end
  end)

  -- A store of these keys; nil: without any.
  local function open(encryption, more)
    local options = { redis = server.url, encryption = encryption }
    for name, value in pairs(more or {}) do options[name] = value end
    local store = assert(authstate.open(options))
    opened[#opened + 1] = store
    return store
  end

  -- Every way of reading the record, on a new handle.
  local function reads_of(store, kind, id)
    return {
      function() return store:session("s").keys:get(kind, { id }) end,
      function() return store:session("s").keys:get_json(kind, { id, "none" }) end,
      function()
        local session = store:session "s"
        assert(session.keys:count(kind))
        session.keys:get(kind, { id }) -- the next one goes the quick way
        return session.keys:get(kind, { id })
      end,
      function()
        local session = store:session "s"
        assert(session.keys:count(kind))
        return session.keys:get_json(kind, { id, "none" })
      end,
      function() return store:session("s"):load() end,
      function() return store:session("s"):load_json() end,
    }
  end

  local function is_corrupt(store, kind, id, words)
    for _, read in ipairs(reads_of(store, kind, id)) do
      local message, details = fails("corrupt", read())
      assert.equal(kind, details.type)
      assert.equal(id, details.id)
      assert.equal("s", details.session)
      assert.match(('%s "%s": '):format(kind, id), message, 1, true)
      if words then assert.match(words, message, 1, true) end
      assert.not_match(KEY_1:sub(1, 16), message, 1, true)
    end
  end

  local function is_corrupt_creds(store, words)
    for _, read in ipairs {
      function() return store:session("s"):load_creds() end,
      function() return store:session("s"):load_creds_json() end,
      function() return store:session("s"):load() end,
      function() return store:session("s"):load_or_create(error) end,
    } do
      local message, details = fails("corrupt", read())
      assert.equal("creds", details.type)
      assert.match('creds "creds": ', message, 1, true)
      if words then assert.match(words, message, 1, true) end
    end
  end

  -- ---- all calls --------------------------------------------------------------------

  it("a whole session comes back, as values and as text", function()
    local store, whole = open(ONE), sample.session "small"
    local session = store:session "s"
    assert(session:commit_json(sample.text "small"))
    local loaded = assert(store:session("s"):load_json())
    assert.equal(whole.creds, loaded.creds)
    assert.same(whole.keys, loaded.keys)
    local values = assert(store:session("s"):load())
    assert.same(core.from_json(whole.creds), values.creds)
    for kind, records in pairs(whole.keys) do
      local ids = sample.ids(kind)
      assert.same(records, session.keys:get_json(kind, ids))
      local found = session.keys:get(kind, ids)
      for id, text in pairs(records) do
        assert.same(core.from_json(text), found[id])
        assert.same(found[id], values.keys[kind][id])
        assert.same(found[id], session.keys:get(kind, { id })[id])
        assert.equal(text, session.keys:get_json(kind, { id })[id])
      end
    end
    assert.same({}, session.keys:get("pre-key", { "none" }))
    assert.same({}, session.keys:get("pre-key", {}))
  end)

  it("all ways of writing encrypt, and what is stored shows nothing", function()
    local store, secret = open(ONE), "a very secret text"
    local session = store:session "s"
    local function made() return { registered = false, secret = secret } end
    assert.same({ made(), true }, { session:load_or_create(made) })
    assert.same({ made(), false }, { store:session("s"):load_or_create(error) })
    assert(session:save_creds { registered = true, secret = secret })
    assert(session.keys:set { t = { a = secret, f = false } })
    assert(session.keys:set_json { t = { b = '{"x": "a very secret text"}' } })
    assert(session:commit { keys = { t = { c = { secret } } }, creds = { s = secret } })
    local count = 0
    for _, key in ipairs(stored.session_keys(server, "s")) do
      for field, value in pairs(stored.hash(server, key)) do
        assert.not_match(secret, value, 1, true)
        if not key:find "meta$" then
          assert.equal(0x90, bit.band(value:byte(), 0xf0), field)
          assert.equal(1, value:byte(2))
          count = count + 1
        end
      end
    end
    assert.equal(5, count)
    assert.same({ s = secret }, session:load_creds())
    assert.same({ a = secret, f = false, b = { x = secret }, c = { secret } },
      session.keys:get("t", { "a", "b", "c", "d", "f" }))
    assert.equal('{"x": "a very secret text"}', session.keys:get_json("t", { "b" }).b)
  end)

  it("the same value is stored with another nonce each time", function()
    local session = open(ONE):session "s"
    assert(session.keys:set { ["pre-key"] = { a = "x", b = "x" } })
    local hash = stored.hash(server, PRE_KEYS)
    assert.equal(#hash.a, #hash.b)
    assert.not_equal(hash.a:sub(11), hash.b:sub(11))
  end)

  it("plain writes encrypt too", function()
    local store = open(ONE, { writes = "plain" })
    local session = store:session "s"
    assert(session.keys:set { ["pre-key"] = { a = 0 } })
    for i = 1, 5 do assert(session.keys:set { ["pre-key"] = { a = i } }) end
    assert(session.keys:set { ["pre-key"] = { a = 6, b = 7, c = authstate.null } })
    assert.same({ a = 6, b = 7 }, open(STRICT):session("s").keys:get("pre-key",
      { "a", "b", "c" }))
  end)

  it("tasks read and write side by side", function()
    local store = open(ONE)
    authstate.run(function()
      local tasks = {}
      for i = 1, 100 do
        tasks[i] = authstate.spawn(function()
          local session, id = store:session("s" .. i % 7), tostring(i)
          assert(session.keys:set { t = { [id] = { i } } })
          return session.keys:get("t", { id })[id][1]
        end)
      end
      for i = 1, 100 do assert.same({ true, i }, { tasks[i]:wait() }) end
    end)
  end)

  it("a layout with one hash for all is encrypted too", function()
    local path = temporary.file([[
      return function()
        local layout = { atomic = "key", envelope = true, hash_key = true }
        function layout.key(session, kind, id)
          if kind == "creds" then return "one:" .. session, "creds" end
          return "one:" .. session, kind .. "/" .. id
        end
        function layout.parse(key, field)
          local session = key:match "^one:(.*)$"
          if not session then return nil end
          if field == "creds" then return session, "creds", "creds" end
          local kind, id = field:match "^([^/]*)/(.*)$"
          if kind then return session, kind, id end
        end
        function layout.scope(session) return { keys = { "one:" .. session } } end
        function layout.meta_key(session) return "meta:{one:" .. session .. "}" end
        layout.session_match = "one:*"
        return layout
      end
    ]], "one.lua")
    local store = open(ONE, { layout = path })
    local session = store:session "s"
    assert(session:commit { creds = { a = 1 }, keys = { t = { x = 2 }, u = { y = 3 } } })
    local loaded = assert(store:session("s"):load())
    assert.same({ a = 1 }, loaded.creds)
    assert.same({ t = { x = 2 }, u = { y = 3 } }, loaded.keys)
    server:command("HSET", "one:s", "t/z", server:command("HGET", "one:s", "t/x"))
    local _, details = fails("corrupt", store:session("s"):load())
    assert.same({ "t", "z" }, { details.type, details.id })
  end)

  it("values are compressed before, and a script may serialize them", function()
    local path = temporary.file([[
      return {
        name = "reversed", code = 9,
        encode = function(value) return require("authstate").to_json(value):reverse() end,
        decode = function(text) return require("authstate").from_json(text:reverse()) end,
      }
    ]], "reversed.lua")
    local text, readers = ("compress me "):rep(100), {}
    for i, options in ipairs {
      { compression = "zstd" }, { compression = 9 }, { compression = "lz4" },
      { serializer = "json" }, { serializer = path },
      { serializer = path, compression = "gzip" },
    } do
      local store, id = open(STRICT, options), tostring(i)
      assert(store:session("s"):commit {
        creds = { a = i }, keys = { t = { [id] = { text } } },
      })
      local value = server:command("HGET", "authstate:{s}:k:t", id)
      assert.equal(0x90, bit.band(value:byte(), 0x90))
      assert.equal(options.compression ~= nil, #value < 600, id)
      readers[i] = store
    end
    for i, store in ipairs(readers) do
      local ids = i > 4 and { "1", "2", "3", "4", "5", "6" } or { "1", "2", "3", "4" }
      local found, texts = {}, {}
      for _, id in ipairs(ids) do
        found[id], texts[id] = { text }, ('["%s"]'):format(text)
      end
      assert.same(found, store:session("s").keys:get("t", ids))
      assert.same(texts, store:session("s").keys:get_json("t", ids))
    end
    assert.same({ a = 6 }, readers[5]:session("s"):load_creds())
    assert.same({ text }, readers[6]:session("s"):load().keys.t["2"])
    local message = fails("corrupt", readers[1]:session("s").keys:get("t", { "5" }))
    assert.match("unknown serializer 9", message, 1, true)
  end)

  it("a value just as long as is allowed is stored, and read again", function()
    local session = open(ONE, { max_value_bytes = 1024 }):session "s"
    local overhead = 37 + #core.encode(("!"):rep(900)) - 900
    local longest = ("!"):rep(1024 - overhead)
    assert(session.keys:set { t = { a = longest } })
    assert.same({ a = longest }, session.keys:get("t", { "a" }))
    local message = fails("too_large", session.keys:set { t = { a = longest .. "!" } })
    assert.match("has 1025 bytes, max_value_bytes allows 1024", message, 1, true)
  end)

  -- ---- keys -------------------------------------------------------------------------

  it("keys come as bytes, hexadecimal, base64, or in a file", function()
    local bytes = authstate.from_hex(KEY_1)
    assert(open(ONE):session("s").keys:set { t = { a = "x" } })
    for _, key in ipairs {
      bytes, bytes:base64(), KEY_1:upper(),
      { file = temporary.file(bytes:raw(), "raw") },
      { file = temporary.file(KEY_1 .. "\n", "hex") },
      { file = temporary.file(" " .. bytes:base64() .. "\n", "base64") },
    } do
      local store = open { keys = { [1] = key }, primary = 1 }
      assert.same({ a = "x" }, store:session("s").keys:get("t", { "a" }))
    end
    local path = temporary.file("no key", "bad")
    local wrong = { redis = server.url, encryption = {
      keys = { [1] = { file = path } }, primary = 1,
    } }
    outcome.says(path .. " holds no key; accepted:",
      function() authstate.open(wrong) end)
  end)

  it("keys of a profile are replaced by those that are given, all of them", function()
    local text = "return { options = { encryption = { keys = { [7] = %q }, primary = 7, "
      .. "required = true } } }"
    local path = temporary.file(text:format(KEY_1), "profile.lua")
    local store = open(nil, { profile = path })
    assert(store:session("s").keys:set { t = { a = 1 } })
    assert.equal(7, server:command("HGET", "authstate:{s}:k:t", "a"):byte(2))
    local other = open({ keys = { [8] = KEY_2 }, primary = 8 }, { profile = path })
    local message = fails("corrupt", other:session("s").keys:get("t", { "a" }))
    assert.match("key id 7 not configured", message, 1, true)
    server:command("HSET", "authstate:{s}:k:t", "b", "\128\1")
    message = fails("corrupt", other:session("s").keys:get("t", { "b" }))
    assert.match("encryption.required is set", message, 1, true)
  end)

  it("an old key reads, the primary one writes", function()
    assert(open(ONE):session("s").keys:set { ["pre-key"] = { a = "old" } })
    local session = open(BOTH):session "s"
    assert.same({ a = "old" }, session.keys:get("pre-key", { "a" }))
    assert(session.keys:set { ["pre-key"] = { b = "new" } })
    assert.same({ a = "old", b = "new" }, session.keys:get("pre-key", { "a", "b" }))
    is_corrupt(open(ONE), "pre-key", "b", "key id 2 not configured")
    assert(session.keys:set { ["pre-key"] = { a = "new" } })
    assert.same({ a = "new", b = "new" },
      open(TWO):session("s").keys:get("pre-key", { "a", "b" }))
  end)

  it("another key under the same id opens nothing, nor does a store without", function()
    assert(open(ONE):session("s").keys:set { ["pre-key"] = { a = 1 } })
    local other = open { keys = { [1] = KEY_2 }, primary = 1 }
    is_corrupt(other, "pre-key", "a", "key id 1 does not open it")
    is_corrupt(open(nil), "pre-key", "a", "encrypted")
    assert(open(ONE):session("s"):save_creds { a = 1 })
    is_corrupt_creds(other, "key id 1 does not open it")
    is_corrupt_creds(open(nil), "encrypted")
  end)

  it("what is not encrypted is read, unless encryption is required", function()
    local plain = open(nil):session "s"
    assert(plain:commit { creds = { a = 1 }, keys = { ["pre-key"] = { a = "x" } } })
    local foreign = '{"foreign":true}'
    server:command("HSET", PRE_KEYS, "b", foreign)
    local loaded = assert(open(ONE):session("s"):load())
    assert.same({ a = 1 }, loaded.creds)
    assert.same({ a = "x", b = { foreign = true } }, loaded.keys["pre-key"])
    assert.same({ a = "x", b = { foreign = true } },
      open(ONE):session("s").keys:get("pre-key", { "a", "b" }))
    local words = "the value is not encrypted, and encryption.required is set"
    server:command("HDEL", PRE_KEYS, "b")
    is_corrupt_creds(open(STRICT), words)
    assert(open(STRICT):session("s"):save_creds { a = 2 })
    is_corrupt(open(STRICT), "pre-key", "a", words)
    server:command("HSET", PRE_KEYS, "a", foreign)
    is_corrupt(open(STRICT), "pre-key", "a", words)
  end)

  it("a key that may encrypt no more refuses writes, and nothing is written", function()
    for _, writes in ipairs { "checked", "plain" } do
      local store = open(ONE, { writes = writes })
      local session, keyring = store:session(writes), store.keyring
      for i = 1, 3 do assert(session.keys:set { t = { a = i } }) end
      store.keyring = { encrypt = function()
        return nil, "key id 1 has encrypted too much", "unsupported"
      end }
      for _, write in ipairs {
        function() return session.keys:set { t = { a = 4 } } end,
        function() return session.keys:set_json { t = { a = "4", b = "5" } } end,
        function() return session:save_creds { a = 4 } end,
        function() return store:session("new"):load_or_create(function()
          return { a = 4 }
        end) end,
      } do
        local message, details = fails("unsupported", write())
        assert.match("has encrypted too much", message, 1, true)
        assert.equal("no", details.applied)
      end
      store.keyring = keyring
      assert.equal(4, session.keys:set { t = { b = 6 } })
      assert.same({ a = 3, b = 6 }, session.keys:get("t", { "a", "b" }))
      assert.is_nil(session:load_creds())
      assert.is_nil(store:session("new"):load_creds())
    end
  end)

  it("neither the store nor its options show a key", function()
    local store = open(ONE)
    local seen = {}
    local function search(value)
      if type(value) == "table" and not seen[value] then
        seen[value] = true
        for name, each in pairs(value) do
          search(name)
          search(each)
        end
      elseif type(value) ~= "function" and type(value) ~= "thread" then
        assert.not_match(KEY_1, tostring(value), 1, true)
      end
    end
    search { options = store.options, keyring = store.keyring, opener = store.opener }
  end)

  it("a store that is closed while a task reads gives what was read", function()
    local store = open(ONE)
    assert(store:session("s").keys:set { t = { a = "x" } })
    local keyring = store.keyring
    local place = { "s", tonumber(stored.meta(server, "s").gen), "t", "a" }
    local value = server:command("HGET", "authstate:{s}:k:t", "a")
    assert.equal("x", keyring:decode(value, unpack(place)))
    authstate.run(function()
      local reading = authstate.spawn(function()
        return store:session("s").keys:get("t", { "a" })
      end)
      authstate.sleep(0)
      assert.is_true(store:close())
      assert.same({ true, { a = "x" } }, { reading:wait() })
    end)
    -- Then its keys are gone.
    assert.is_nil(keyring:decode(value, unpack(place)))
    fails("closed", store:session("s").keys:get("t", { "a" }))
  end)

  -- Its keys were wiped when its value had come, but before it went on.
  it("a task whose value comes when another one closes the store gets it", function()
    local store, found = open(ONE, { enable_cache = false }), nil -- all of them wait
    local sessions = { store:session "s", store:session "s" }
    assert(sessions[1].keys:set { t = { a = "x" } })
    for _, session in ipairs(sessions) do
      for _ = 1, 2 do assert(session.keys:get("t", { "a" })) end -- then the quick way
    end
    authstate.run(function()
      authstate.spawn(function()
        assert(sessions[1].keys:get("t", { "a" }))
        store:close()
      end)
      authstate.spawn(function() found = { sessions[2].keys:get("t", { "a" }) } end)
    end)
    assert.same({ { a = "x" } }, found)
  end)

  -- ---- other places -----------------------------------------------------------------

  it("a value does not open as another id, type or session", function()
    local store = open(ONE)
    for _, id in ipairs { "s", "other" } do
      assert(store:session(id):commit {
        creds = { name = id },
        keys = { ["pre-key"] = { a = id .. "a", b = id .. "b" }, t = { a = id .. "t" } },
      })
    end
    local function hget(key, field) return server:command("HGET", key, field) end
    local own = hget(PRE_KEYS, "a")
    for _, from in ipairs {
      { PRE_KEYS, "b" }, { "authstate:{s}:k:t", "a" },
      { "authstate:{other}:k:pre-key", "a" }, { CREDS, "creds" },
    } do
      server:command("HSET", PRE_KEYS, "a", hget(from[1], from[2]))
      is_corrupt(store, "pre-key", "a")
    end
    local creds = hget(CREDS, "creds")
    for _, value in ipairs { own, hget("authstate:{other}:creds", "creds") } do
      server:command("HSET", CREDS, "creds", value)
      is_corrupt_creds(store)
    end
    server:command("HSET", CREDS, "creds", creds)
    server:command("HSET", PRE_KEYS, "a", own)
    assert.same({ a = "sa" }, store:session("s").keys:get("pre-key", { "a" }))
  end)

  it("a value of an earlier generation does not come back under a later one", function()
    local store = open(ONE)
    local session = store:session "s"
    assert(session:commit { creds = { a = 1 }, keys = { ["pre-key"] = { a = "old" } } })
    local first = stored.meta(server, "s").gen
    local creds = server:command("HGET", CREDS, "creds")
    local value = server:command("HGET", PRE_KEYS, "a")
    assert(session:delete())
    -- On the tombstone.
    server:command("HSET", CREDS, "creds", creds)
    is_corrupt_creds(store, "in generation " .. first)
    server:command("DEL", CREDS)
    is_absent(session:load_creds())
    assert(session:save_creds { a = 2 })
    assert.same({ a = 2 }, store:session("s"):load_creds())
    server:command("HSET", PRE_KEYS, "a", value)
    server:command("HSET", "authstate:{s}:meta", "t:pre-key", "1")
    is_corrupt(store, "pre-key", "a", "encrypted in generation " .. first)
    server:command("DEL", PRE_KEYS)
    server:command("HSET", CREDS, "creds", creds)
    is_corrupt_creds(store, "encrypted in generation " .. first)
    -- Without any.
    server:command("DEL", "authstate:{s}:meta")
    is_corrupt_creds(store, "the session is in generation 0")
  end)

  it("two first writes that open a session at once can both be read", function()
    for round = 1, 20 do
      local id = "new" .. round
      local stores = { open(ONE), open(ONE) }
      authstate.run(function()
        local tasks = {}
        for i, store in ipairs(stores) do
          tasks[i] = authstate.spawn(function()
            return store:session(id).keys:set { t = { [tostring(i)] = i } }
          end)
        end
        for i = 1, 2 do assert(select(2, tasks[i]:wait())) end
      end)
      assert.same({ ["1"] = 1, ["2"] = 2 },
        open(STRICT):session(id).keys:get("t", { "1", "2" }))
      for _, store in ipairs(stores) do store:close() end
    end
  end)

  it("a session that was deleted is begun anew, and its first writer reads it", function()
    local store = open(STRICT)
    local session = store:session "s"
    for n = 1, 5 do
      assert.same({ { n = n }, true }, { session:load_or_create(function()
        return { n = n }
      end) })
      assert(session.keys:set { t = { a = n } })
      assert.same({ n = n }, store:session("s"):load_creds())
      assert.same({ a = n }, store:session("s").keys:get("t", { "a" }))
      assert(session:delete())
    end
  end)

  -- ---- damage -----------------------------------------------------------------------

  it("every bit that is another one, and every cut, is corrupt", function()
    local lenient, strict = open(ONE), open(STRICT)
    local kinds = sample.session("small").keys
    assert(lenient:session("s"):commit_json(sample.text "small"))
    for kind, records in pairs(kinds) do
      local shortest
      for id, text in pairs(records) do
        if not shortest or #text < #records[shortest] then shortest = id end
      end
      local key = ("authstate:{s}:k:%s"):format(kind)
      local value = server:command("HGET", key, shortest)
      local sessions = { lenient:session "s", strict:session "s" }
      local function check(damaged)
        server:command("HSET", key, shortest, damaged)
        for _, session in ipairs(sessions) do
          fails("corrupt", session.keys:get(kind, { shortest }))
        end
      end
      for at = 1, math.min(#value, 150) do
        check(value:sub(1, at - 1))
        for n = 0, 7 do
          check(value:sub(1, at - 1) .. string.char(bit.bxor(value:byte(at), 2 ^ n))
            .. value:sub(at + 1))
        end
      end
      check(value .. "\0")
      server:command("HSET", key, shortest, value)
      assert.same({ [shortest] = records[shortest] },
        sessions[2].keys:get_json(kind, { shortest }))
    end
  end)

  -- ---- exactly once -----------------------------------------------------------------

  it("a write whose connection breaks is done once, and can be read", function()
    local between = proxy.start { server = server, count = "EVALSHA" }
    local store = assert(authstate.open { redis = between.url, encryption = STRICT })
    opened[#opened + 1] = store
    local session, reader = store:session "s", open(STRICT):session "s"
    assert(session.keys:set { t = { a = 0 } })
    local version = 1
    for _, cut in ipairs { "cut_request", "cut_reply" } do
      for after_bytes = 0, 400, 13 do
        between[cut](between, {
          from = cut == "cut_reply" and "EVALSHA" or nil, after_bytes = after_bytes,
        })
        version = version + 1
        assert.equal(version, session.keys:set { t = { a = version } })
        assert.equal(version, stored.version(server, "s"))
        assert.same({ a = version }, reader.keys:get("t", { "a" }))
      end
    end
    between:pass()
    store:close()
    between:stop()
  end)
end)
