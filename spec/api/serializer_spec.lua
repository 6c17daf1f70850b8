-- SPDX-License-Identifier: MIT

-- Stores whose values are written by a Lua script, or as JSON texts.

local authstate = require "authstate"
local batch = require "authstate.batch"
local core = require "authstate.core"
local outcome = require "spec.api.outcome"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"
local temporary = require "spec.support.temporary"

local fails, raises = outcome.fails, outcome.raises

-- Marks what it wrote, with the type, and knows what it must not write or read.
local TEXT = [[
local authstate = require "authstate"
return {
  name = "marked", code = %d,
  encode = function(value, kind)
    if type(value) == "table" and value.refused then error("no such value", 0) end
    if type(value) == "table" and value.forgotten then return nil end
    if type(value) == "table" and value.denied then return nil, "denied" end
    return kind .. "|" .. authstate.to_json(value)
  end,
  decode = function(text, kind)
    local found, json = text:match "^(.-)|(.*)$"
    if found ~= kind then error("a " .. kind .. " is expected", 0) end
    if json == "none" then return nil end
    if json == "odd" then return { print } end
    return authstate.from_json(json)
  end,
}
]]

local function script(code)
  return temporary.file(TEXT:format(code), "marked.lua")
end

describe("a serializer that is a script", function()
  local server, stores, session

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  local function open(options)
    options.redis = server.url
    stores[#stores + 1] = assert(authstate.open(options))
    return stores[#stores]
  end

  before_each(function()
    server:command("FLUSHALL")
    stores = {}
    session = open({ serializer = script(7) }):session "s"
  end)

  after_each(function()
    for _, each in ipairs(stores) do each:close() end
  end)

  local function field(kind, id)
    return server:command("HGET", "authstate:{s}:k:" .. kind, id)
  end

  local function put(kind, id, bytes)
    server:command("HSET", "authstate:{s}:k:" .. kind, id, bytes)
  end

  it("writes what every call gives it, with its code and the record's type", function()
    local creds = sample.creds()
    assert(session:load_or_create(function() return creds end))
    local bytes = server:command("HGET", "authstate:{s}:creds", "creds")
    assert.equal("\x87creds|{", bytes:sub(1, 8))
    assert(session:save_creds(creds))
    assert(session.keys:set { x = { a = { n = 1 } } })
    assert(session.keys:set_json { x = { b = '{"n":1}' } })
    assert(session:commit { keys = { x = { c = { n = 1 } } } })
    assert(session:commit_json '{"keys":{"x":{"d":{"n":1}}}}')
    local filled = batch.new(session:batch_context())
    assert(filled:set_session({ keys = { x = { e = '{"n":1}' } } }, function() end))
    local call = session.store:begin("s", nil, 1)
    assert(session:commit_batch(call, filled, {}))
    for id in ("abcde"):gmatch "." do
      assert.equal('\x87x|{"n":1}', field("x", id))
    end
  end)

  it("reads back what it wrote, by every call", function()
    local creds = sample.creds()
    local key = sample.value "pre-key"
    assert(session:commit {
      creds = creds, keys = { ["pre-key"] = { ["1"] = key, ["2"] = key } },
    })
    for _, each in ipairs { session, session.store:session "s" } do
      assert.same(creds, each:load_creds())
      assert.equal(core.to_json(creds), each:load_creds_json())
      assert.same({ ["1"] = key }, each.keys:get("pre-key", { "1" }))
      assert.same({ ["1"] = key }, each.keys:get("pre-key", { "1" }))
      local both = { ["2"] = key, ["1"] = key }
      assert.same(both, each.keys:get("pre-key", { "1", "3", "2" }))
      assert.same({ ["1"] = core.to_json(key) }, each.keys:get_json("pre-key", { "1" }))
      assert.same({}, each.keys:get("pre-key", { "3" }))
      local loaded = assert(each:load())
      assert.same(creds, loaded.creds)
      assert.same({ ["pre-key"] = { ["1"] = key, ["2"] = key } }, loaded.keys)
      assert.equal(core.to_json(creds), each:load_json().creds)
    end
    assert.same({ creds, false }, { session:load_or_create(error) })
    assert.same({ ["pre-key"] = 2 }, session.keys:types())
  end)

  it("reads and writes in tasks and with plain writes as well", function()
    local other = open({ serializer = script(7), writes = "plain" }):session "s"
    assert(other.keys:set { x = { a = { n = 1 } } })
    assert(other.keys:get("x", { "a" }))
    authstate.run(function()
      for i = 2, 20 do
        authstate.spawn(function()
          assert(other.keys:set { x = { a = { n = i } } })
          assert.equal(('\x87x|{"n":%d}'):format(i), field("x", "a"))
          assert.same({ a = { n = i } }, other.keys:get("x", { "a" }))
        end):wait()
      end
    end)
  end)

  it("gives back values like false, null and empty arrays", function()
    local values = {
      a = false, b = authstate.null, c = authstate.array {}, d = {}, e = "", f = 0,
      g = authstate.bytes "\0\255",
    }
    for id, value in pairs(values) do
      if value ~= authstate.null then
        assert(session.keys:set { x = { [id] = value } })
      else
        assert(session.keys:set_json { x = { [id] = "null" } })
      end
      assert.same({ [id] = value }, session.keys:get("x", { id }), id)
      assert.same({ [id] = value }, session.keys:get("x", { id }), id)
    end
    assert.same({ x = values }, session:load().keys)
  end)

  it("keeps JSON texts by their values: names come in the usual order", function()
    assert(session.keys:set_json { x = { a = '{"b": 1.0, "public":[2]}' } })
    assert.same({ a = '{"public":[2],"b":1}' }, session.keys:get_json("x", { "a" }))
    local _, message = pcall(session.keys.set_json, session.keys, { x = { a = "{" } })
    assert.match("not JSON at byte 1", message)
  end)

  it("reads what any other serializer of ours wrote, and foreign JSON", function()
    for _, options in ipairs {
      {}, { serializer = "json" }, { compression = "lz4" },
    } do
      local other = open(options):session "s"
      assert(other.keys:set { x = { a = { n = 1, text = ("again "):rep(99) } } })
      local found = assert(session.keys:get("x", { "a" }))
      assert.same({ n = 1, text = ("again "):rep(99) }, found.a)
      assert.same(other.keys:get_json("x", { "a" }), session.keys:get_json("x", { "a" }))
    end
    put("x", "a", ' {"n":1}')
    assert.same({ a = { n = 1 } }, session.keys:get("x", { "a" }))
    assert.same({ a = ' {"n":1}' }, session.keys:get_json("x", { "a" }))
  end)

  it("may have its values compressed", function()
    local text = ("again and again "):rep(40)
    for how, header in pairs { lz4 = 0xa7, zstd = 0xc7, gzip = 0xe7 } do
      local other = open({ serializer = script(7), compression = how }):session "s"
      assert(other.keys:set { x = { a = { text } } })
      assert.equal(header, field("x", "a"):byte(1))
      assert.same({ a = { text } }, other.keys:get("x", { "a" }))
      assert.same({ a = { text } }, session.keys:get("x", { "a" }))
      assert.same({ x = { a = { text } } }, session:load().keys)
    end
  end)

  it("may have its values encrypted", function()
    local options = {
      serializer = script(7), compression = "lz4",
      encryption = { keys = { [1] = ("5a"):rep(32) }, primary = 1 },
    }
    local other = open(options):session "s"
    local value = { text = ("again and again "):rep(40) }
    assert(other.keys:set { x = { a = value } })
    assert.equal(0xb7, field("x", "a"):byte(1))
    assert.same({ a = value }, other.keys:get("x", { "a" }))
    assert.same({ a = core.to_json(value) }, other.keys:get_json("x", { "a" }))
    assert.same({ x = { a = value } }, other:load().keys)
    fails("corrupt", session.keys:get("x", { "a" }))
  end)

  it("is named by values that it wrote to who does not know it", function()
    assert(session.keys:set { x = { a = { n = 1 } } })
    for _, serializer in ipairs { "cbor", "json", script(8) } do
      local options = { serializer = serializer }
      local other = open(options):session "s"
      for _, read in ipairs {
        function() return other.keys:get("x", { "a" }) end,
        function() return other.keys:get("x", { "a" }) end,
        function() return other.keys:get_json("x", { "a" }) end,
        function() return other:load() end,
      } do
        local message, details = fails("corrupt", read())
        assert.equal('x "a": unknown serializer 7', message)
        assert.same({ "x", "a", "s" }, { details.type, details.id, details.session })
      end
    end
  end)

  it("that cannot write a value is named where the call is, and nothing is written",
    function()
      for value, words in pairs {
        refused = 'x "a": serializer "marked": no such value',
        forgotten = 'x "a": serializer "marked": encode gives nil; accepted: a string',
        denied = 'x "a": serializer "marked": denied',
      } do
        local record, keys = { [value] = true }, session.keys
        local changes = { x = { b = 1, a = record } }
        assert.equal(words, raises(function() keys:set(changes) end))
        assert.equal(words, raises(function() session:commit { keys = changes } end))
        words = words:gsub('^x "a"', "creds")
        assert.equal(words, raises(function() session:save_creds(record) end))
      end
      assert.same({}, session.keys:types())
    end)

  it("that cannot read a value makes it corrupt, by its name", function()
    assert(session.keys:set { x = { good = 1 } })
    for payload, words in pairs {
      ["y|1"] = 'x "a": serializer "marked": a x is expected',
      [""] = 'x "a": serializer "marked": a x is expected',
      ["x|none"] = 'x "a": serializer "marked": decode gives nil; accepted: a value, '
        .. "authstate.null",
      ["x|{"] = 'x "a": serializer "marked": not JSON at byte 1',
    } do
      put("x", "a", "\x87" .. payload)
      for _, read in ipairs {
        function() return session.keys:get("x", { "a" }) end,
        function() return session.keys:get("x", { "good", "a" }) end,
        function() return session.keys:get_json("x", { "a" }) end,
        function() return session:load() end,
        function() return session:load_json() end,
      } do
        local message, details = fails("corrupt", read())
        assert.equal(words, message:sub(1, #words))
        assert.equal("a", details.id)
        assert.is_false(details.retry)
      end
    end
    put("x", "a", "\x87x|odd")
    assert.is_table(session.keys:get("x", { "a" }).a)
    local message = fails("corrupt", session.keys:get_json("x", { "a" }))
    assert.match('"marked": decode gives what is no JSON: %[1%]: a function', message)
  end)

  it("is bounded by max_value_bytes", function()
    local other = open({ serializer = script(7), max_value_bytes = 1024 }):session "s"
    fails("too_large", other.keys:set { x = { a = ("x "):rep(600) } })
    assert(session.keys:set { x = { a = ("x "):rep(600) } })
    fails("corrupt", other.keys:get("x", { "a" }))
  end)

  it("must be one, with a code that is not ours", function()
    for text, words in pairs {
      ["return 5"] = "returns 5; accepted: a table",
      ["return { name = 'a', code = 3, encode = print, decode = print }"] =
        "field code: 3; accepted: a whole number from 4 to 15",
      ["return { name = 'a', code = 16, encode = print, decode = print }"] =
        "field code: 16",
      ["return { name = 'a', code = 4.5, encode = print, decode = print }"] =
        "field code: 4.5",
      ["return { code = 4, encode = print, decode = print }"] = "field name: nil",
      ["return { name = 'a', code = 4, decode = print }"] = "field encode: nil",
      ["return { name = 'a', code = 4, encode = print }"] = "field decode: nil",
      ["return {"] = "unexpected symbol near '<eof>'",
      ["error 'no'"] = "no",
    } do
      local path = temporary.file(text, "serializer.lua")
      local message = raises(function() authstate.open { serializer = path } end)
      assert.equal('option "serializer": ', message:sub(1, 21))
      assert.match(words, message, 1, true)
    end
  end)
end)

describe("the serializer json", function()
  local server, store, keys

  setup(function()
    server = redis_server.start()
    store = authstate.open { redis = server.url, serializer = "json" }
    keys = store:session("s").keys
  end)

  teardown(function()
    store:close()
    server:stop()
  end)

  local function field(id)
    return server:command("HGET", "authstate:{s}:k:x", id)
  end

  it("stores the text as it stands behind its header, and gives it back", function()
    for _, text in ipairs {
      ' {"b": 1.0,\n "b":-0}', "null", "[]", '"\\ud800"', "1e400",
    } do
      assert(keys:set_json { x = { a = text } })
      assert.equal("\x81" .. text, field "a")
      assert.same({ a = text }, keys:get_json("x", { "a" }))
      assert.same({ a = core.from_json(text) }, keys:get("x", { "a" }))
    end
  end)

  it("stores values as JSON.stringify writes them", function()
    assert(keys:set { x = { a = { public = authstate.bytes "\1\2", n = 0.5 } } })
    assert.equal('\x81{"public":{"type":"Buffer","data":"AQI="},"n":0.5}', field "a")
    assert.equal(authstate.bytes "\1\2", keys:get("x", { "a" }).a.public)
  end)

  it("refuses what is no JSON, and damaged texts", function()
    local message = raises(function() keys:set_json { x = { a = "{]" } } end)
    assert.match("not JSON at byte 1", message)
    server:command("HSET", "authstate:{s}:k:x", "bad", "\x81{]")
    fails("corrupt", keys:get("x", { "bad" }))
    fails("corrupt", keys:get_json("x", { "bad" }))
  end)
end)
