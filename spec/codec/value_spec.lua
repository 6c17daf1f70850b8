-- SPDX-License-Identifier: MIT

-- Lua values to their stored form and back.

local cjson = require "cjson"
local ffi = require "ffi"

local authstate = require "authstate.values"
local core = require "authstate.core"
local fixture = require "spec.support.fixture"

local SESSIONS = { "small.json.gz", "large.json.gz" }

-- Tables inside each other; the innermost holds `bottom`.
local function nest(levels, bottom)
  local value = bottom
  for _ = 1, levels do value = { value } end
  return value
end

local function json_of(value)
  return core.json_decode(assert(core.encode(value)))
end

local function refusal(value)
  local stored, message, code = core.encode(value)
  assert.is_nil(stored)
  assert.equal("unsupported", code)
  return message
end

-- Compares what we decoded with what lua-cjson did: Buffers must be bytes.
local function assert_same_value(expected, value, path)
  if type(expected) ~= "table" then
    assert.equal(expected, value, path)
  elseif expected.type == "Buffer" then
    assert.is_true(authstate.is_bytes(value), path)
    assert.equal(expected.data, value:base64(), path)
  else
    for key, member in pairs(expected) do
      assert_same_value(member, value[key], path .. "/" .. key)
    end
    for key in pairs(value) do assert.is_not_nil(expected[key], path) end
  end
end

describe("a stored value", function()
  for _, name in ipairs(SESSIONS) do
    local session = core.split_session(fixture.read(name))

    it("reads as lua-cjson reads the text, Buffers as bytes, in " .. name, function()
      for type_name, records in pairs(session.keys) do
        for id, text in pairs(records) do
          local value = core.decode(core.json_encode(text))
          assert_same_value(cjson.decode(text), value, type_name .. "/" .. id)
        end
      end
      assert_same_value(cjson.decode(session.creds), core.decode(session.creds), "creds")
    end)

    it("is the same value after it went through Lua, in " .. name, function()
      for _, records in pairs(session.keys) do
        for _, text in pairs(records) do
          local value = core.decode(core.json_encode(text))
          local again = core.decode(core.encode(value))
          assert_same_value(cjson.decode(text), again, text)
          assert_same_value(cjson.decode(text), core.from_json(json_of(value)), text)
        end
      end
    end)
  end

  it("that is null reads as null, never as absent", function()
    assert.equal(authstate.null, core.decode "\x80\xf6")
    assert.equal(authstate.null, core.decode "null")
    assert.same({ a = authstate.null }, core.decode '{"a":null}')
    assert.equal(cjson.null, authstate.null)
  end)

  it("that is false reads as false", function()
    assert.is_false(core.decode "false")
    assert.is_false(core.decode "\x80\xf4")
  end)

  it("has arrays with the array metatable, and objects without", function()
    local value = core.decode '{"list":[[],{}],"map":{}}'
    assert.equal(authstate.array_mt, getmetatable(value.list))
    assert.equal(authstate.array_mt, getmetatable(value.list[1]))
    assert.is_nil(getmetatable(value.list[2]))
    assert.is_nil(getmetatable(value.map))
    assert.is_nil(getmetatable(value))
    assert.equal('[[],{},{"a":[]}]', json_of(core.decode '[[],{},{"a":[]}]'))
  end)

  it("has strings of any character, NUL and lone surrogates included", function()
    local value = core.decode [==["a\u0000\u00e9\ud83d\ude00\ud800\udc"]==]
    assert.is_nil(value)
    value = core.decode [==["a\u0000\u00e9\ud83d\ude00\ud800-"]==]
    assert.equal("a\0\xc3\xa9\xf0\x9f\x98\x80\xed\xa0\x80-", value)
    assert.equal('"a\\u0000\xc3\xa9\xf0\x9f\x98\x80\\ud800-"', json_of(value))
    assert.same({ ["\xed\xb0\x80"] = 1 }, core.decode(core.json_encode '{"\\udc00":1}'))
  end)

  it("takes the last of a key that comes twice, as JSON.parse does", function()
    assert.same({ a = 2, b = 3 }, core.decode '{"a":1,"b":3,"a":2}')
    assert.same({ a = 2, b = 3 }, core.decode(core.json_encode '{"a":1,"b":3,"a":2}'))
  end)

  it("may be an infinity only in text that JavaScript reads as one", function()
    assert.equal(math.huge, core.decode "1e400")
    assert.same({ -math.huge }, core.decode(core.json_encode "[-1e400]"))
    assert.is_nil(core.decode "\x80\xfa\x7f\x80\0\0")
  end)
end)

describe("bytes in a stored value", function()
  local FORMS = {
    '{"type":"Buffer","data":"AQL/"}', '{"data":"AQL/","type":"Buffer"}',
    '{"type":"Buffer","data":[1,2,255]}', '{"data":[1,2,255],"type":"Buffer"}',
    '{"buffer":true,"data":"AQL/"}', '{"buffer":true,"data":[1,2,255]}',
    '{"type":"Buffer","value":"AQL/"}', '{"type":"Buffer","data":"AQL_"}',
    '{"type":"Buffer","data":" AQ L/\\n"}', '{"type": "Buffer", "data": [1.0, 2, 255]}',
    '{"\\u0074ype":"Buffer","data":"AQ\\u004c/"}',
  }
  local content = authstate.from_hex "0102ff"

  it("are read in every form that Baileys writes", function()
    for _, text in ipairs(FORMS) do
      assert.is_true(core.decode(text) == content, text)
      assert.is_true(core.decode(core.json_encode(text)) == content, text)
      local object = core.decode('{"a":[' .. text .. "]}")
      assert.is_true(object.a[1] == content, text)
    end
  end)

  it("are read as numbered members of a field that holds bytes", function()
    for _, text in ipairs {
      '{"0":1,"1":2,"2":255}', '{"2":255,"0":1,"1":2}', '{"0": 1, "1": 2, "2": 255}',
    } do
      for _, name in ipairs {
        "public", "private", "keyData", "hash", "pubKey", "token",
      } do
        local value = core.decode(('{"%s":%s}'):format(name, text))
        assert.is_true(value[name] == content, name)
      end
    end
  end)

  it("may be empty", function()
    for _, text in ipairs {
      '{"type":"Buffer","data":""}', '{"type":"Buffer","data":[]}',
      '{"buffer":true,"data":"="}',
    } do
      assert.is_true(core.decode(text) == authstate.bytes "", text)
    end
  end)

  it("are not made from other objects", function()
    for _, text in ipairs {
      '{"type":"Buffer","data":"AQL/","more":1}', '{"type":"Buffer"}', '{"data":"AQL/"}',
      '{"type":"buffer","data":"AQL/"}', '{"type":"Buffer","data":[256]}',
      '{"type":"Buffer","data":[-1]}', '{"type":"Buffer","data":[1.5]}',
      '{"type":"Buffer","data":["1"]}', '{"type":"Buffer","data":null}',
      '{"buffer":false,"data":"AQL/"}', '{"type":"Buffer","type":"Buffer"}',
      '{"data":"AQL/","data":"AQL/"}', '{"0":1,"1":2}', '{"name":{"0":1,"1":2}}',
      '{"public":{"1":1}}', '{"public":{"0":1,"2":2}}', '{"public":{"0":1,"0":2}}',
      '{"public":{"0":256}}', '{"public":{"00":1}}', '{"public":{"0":1,"a":2}}',
      '{"public":{}}', '{"public":[{"0":1}]}', '"AQL/"',
    } do
      local value = core.decode(text)
      local inner = type(value) == "table" and (value.public or value.name) or value
      assert.is_false(authstate.is_bytes(value), text)
      assert.is_false(authstate.is_bytes(inner), text)
    end
  end)

  it("are not made from an empty object, whatever name follows it", function()
    local text = '{"public":{},"0":{"key":{}}}'
    assert.equal(text, json_of(core.decode(text)))
  end)

  it("stay text where they are only base64 text", function()
    assert.equal("AQL/", core.decode('{"pubKey":"AQL/"}').pubKey)
  end)

  it("are written in Baileys' form", function()
    assert.equal('{"type":"Buffer","data":"AQL/"}', json_of(content))
  end)

  it("are written in the form that is asked for", function()
    local value = { public = content }
    assert.equal('{"public":{"type":"Buffer","data":"AQL/"}}', authstate.to_json(value))
    assert.equal('{"public":{"type":"Buffer","data":[1,2,255]}}',
      authstate.to_json(value, "array"))
    assert.equal('{"public":{"0":1,"1":2,"2":255}}', authstate.to_json(value, "object"))
    for _, form in ipairs { "base64", "array", "object" } do
      local text = authstate.to_json(value, form)
      assert.is_true(authstate.from_json(text).public == content)
    end
  end)
end)

describe("a Lua value", function()
  it("is an array when its keys are 1 to n, an object otherwise", function()
    assert.equal("{}", json_of {})
    assert.equal("[]", json_of(authstate.array {}))
    assert.equal("[1,2]", json_of { 1, 2 })
    assert.equal("[1,2]", json_of(authstate.array { 1, 2 }))
    assert.equal('{"a":[1]}', json_of { a = { 1 } })
    assert.equal('{"1":true}', json_of { ["1"] = true })
    assert.equal("[1,2,3]", json_of { [3] = 3, [2] = 2, [1] = 1 })
  end)

  it("has its well-known names first, in their usual order", function()
    local text = json_of {
      other = 1, timestamp = "1", keyData = authstate.bytes "a", private = "b",
      public = "c",
      fingerprint = { deviceIndexes = { 0 }, currentIndex = 1, rawId = 2 },
    }
    assert.equal('{"private":"b","public":"c","keyData":{"type":"Buffer","data":"YQ=="},'
      .. '"fingerprint":{"rawId":2,"currentIndex":1,"deviceIndexes":[0]},'
      .. '"timestamp":"1","other":1}', text)
  end)

  it("may be any scalar", function()
    assert.equal("null", json_of(authstate.null))
    assert.equal("true", json_of(true))
    assert.equal("false", json_of(false))
    assert.equal("1.5", json_of(1.5))
    assert.equal('"a\\u0000\\"\\\\/"', json_of "a\0\"\\/")
  end)

  it("may be a 64-bit integer up to 2^53", function()
    assert.equal("[5,-5,7]", json_of { 5LL, -5LL, 7ULL })
    assert.equal("[9007199254740992,-9007199254740992]",
      json_of { 2LL ^ 53, -(2LL ^ 53) })
    assert.equal("9007199254740992", json_of(9007199254740992ULL))
  end)

  it("may hold one table in two places", function()
    local shared = { 1 }
    local text = json_of { a = shared, b = { shared, shared } }
    assert.same({ a = { 1 }, b = { { 1 }, { 1 } } }, cjson.decode(text))
  end)

  it("may be 256 levels deep, bytes counted as one", function()
    assert.equal(("["):rep(256) .. 1 .. ("]"):rep(256), json_of(nest(256, 1)))
    local stored = core.encode(nest(255, authstate.bytes ""))
    assert.is_string(stored)
    assert.equal(stored, core.json_encode(core.json_decode(stored)))
    assert.matches("256 levels", refusal(nest(257, 1)))
    assert.matches("256 levels", refusal(nest(256, {})))
    assert.matches("256 levels", refusal(nest(256, authstate.bytes "")))
    assert.matches("256 levels", refusal(nest(100000, 1)))
  end)

  it("is refused where JSON has no word for it, with its path", function()
    local cycle = { a = {} }
    cycle.a.b = cycle
    local list = authstate.array {}
    list[1] = { list }
    local cases = {
      { { creds = { account = { details = print } } },
        "creds.account.details: a function" },
      { { list = { 1, 2, coroutine.create(print) } }, "list[3]: a coroutine" },
      { { ["odd key"] = { x = 0 / 0 } }, '["odd key"].x: NaN' },
      { { ['say "hi"\n'] = { { math.huge } } },
        '["say \\"hi\\"\\010"][1][1]: an infinite' },
      { { a1 = -math.huge }, "a1: an infinite number" },
      { { ["1a"] = { _b = io.stdout } }, '["1a"]._b: a userdata' },
      { { [""] = ffi.new "int[1]" }, '[""]: a cdata' },
      { { x = 9007199254740993LL }, "x: a 64-bit integer beyond 2^53" },
      { { x = -9007199254740993LL }, "x: a 64-bit integer beyond 2^53" },
      { { x = 18446744073709551615ULL }, "x: a 64-bit integer beyond 2^53" },
      { { public = cycle }, "public.a.b: a cycle" },
      { list, "[1][1]: a cycle" },
      { { x = { 1, 2, a = 3 } }, "x: a table with both string keys and indexes" },
      { { x = { 1, nil, 3 } }, "x: a table with gaps" },
      { { x = { [0] = 1 } }, "x: a table with a key that is a number that is no index" },
      { { x = { [1.5] = 1 } },
        "x: a table with a key that is a number that is no index" },
      { { x = { [true] = 1 } }, "x: a table with a key that is a boolean" },
      { { x = setmetatable({ a = 1 }, authstate.array_mt) },
        "x: an array with string keys" },
      { { x = setmetatable({ [2] = 1 }, authstate.array_mt) }, "x: a table with gaps" },
      { { x = { "\xff" } }, "x[1]: a string that is not UTF-8" },
      { { x = { "\xed\xa0\xbd\xed\xb8\x80" } }, "x[1]: a string that is not UTF-8" },
      { { ["\xff"] = 1 }, '["\\255"]: a key that is not UTF-8' },
      { ffi.cast("void *", 1), "the value: a cdata" },
      { print, "the value: a function" },
    }
    for _, case in ipairs(cases) do
      local message = refusal(case[1])
      assert.equal(case[2], message:sub(1, #case[2]))
      assert.matches(" cannot be stored; %a", message)
    end
  end)

  -- Where Lua keeps an entry depends on the order in which they came, and on the room
  -- that was there: of { [1] = "a", [3] = "c" } only "a" was stored.
  describe("whose keys came in any order", function()
    -- Calls `check` with a table of these keys for each order of them, and some room.
    local function in_any_order(keys, check)
      local function go_on(order, rest)
        if #rest == 0 then
          for room = 0, 9 do
            local value = {}
            for i = 1, room do value["room" .. i] = i end
            for i = 1, room do value["room" .. i] = nil end
            for _, key in ipairs(order) do value[key] = key end
            check(value)
          end
        end
        for i = 1, #rest do
          local longer, left = { unpack(order) }, { unpack(rest) }
          longer[#longer + 1] = table.remove(left, i)
          go_on(longer, left)
        end
      end
      go_on({}, keys)
    end

    it("is a list when they are 1 to n", function()
      in_any_order({ 1 }, function(value) assert.equal("[1]", json_of(value)) end)
      in_any_order({ 1, 2, 3 }, function(value)
        assert.equal("[1,2,3]", json_of(value))
      end)
      in_any_order({ 1, 2, 3, 4, 5 }, function(value)
        assert.equal("[1,2,3,4,5]", json_of(value))
      end)
    end)

    it("is refused when there is one more or one less", function()
      for _, case in ipairs {
        { { 1, 3 }, "gaps" }, { { 1, 2, 4 }, "gaps" }, { { 2, 3, 4 }, "gaps" },
        { { 1, 2, 3, 9 }, "gaps" }, { { 0, 1 }, "no index" }, { { 0, 1, 2 }, "no index" },
        { { 1, -1 }, "no index" }, { { 1, 2, 2.5 }, "no index" },
        { { 1, "x" }, "both string keys and indexes" },
        { { 1, 2, 3, "x" }, "both string keys and indexes" },
        { { 1, 2, true }, "a boolean" },
      } do
        in_any_order(case[1], function(value)
          assert.matches("^the value: a table with .*" .. case[2], refusal(value))
        end)
      end
    end)
  end)

  it("is refused with the beginning of a very long path", function()
    local value = print
    for i = 1, 100 do value = { ["key_number_" .. i] = value } end
    local message = refusal(value)
    assert.matches(
      "^key_number_100%.key_number_99%..*%.%.%.: a function cannot be stored", message)
  end)

  it("advises to use bytes for text that is not UTF-8", function()
    assert.matches("authstate%.bytes", refusal { key = "\x80" })
  end)

  it("is refused as too large beyond max_value_bytes", function()
    local value = ("x y "):rep(25)
    assert.is_string(core.encode(value, 103))
    local stored, message, code = core.encode(value, 102)
    assert.is_nil(stored)
    assert.equal("too_large", code)
    assert.matches("103 bytes.*102", message)
    stored, message, code = core.json_encode('"' .. value .. '"', 102)
    assert.is_nil(stored)
    assert.equal("too_large", code)
    assert.matches("103 bytes.*102", message)
  end)
end)

describe("JSON for Lua programs", function()
  it("is written from values, and read into them", function()
    local value = { a = { 1, 2 }, b = authstate.null, c = authstate.bytes "x" }
    assert.same(value, authstate.from_json(authstate.to_json(value)))
  end)

  it("says where a text stops being JSON", function()
    local value, message = authstate.from_json '{"a":01}'
    assert.is_nil(value)
    assert.matches("byte 6", message)
    assert.is_false(authstate.from_json "false")
  end)

  it("blames the caller for a mistake, at the caller's line", function()
    local function message_of(fn)
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.matches("value_spec.lua:%d+: ", message)
      return message
    end
    assert.matches("a%.b: a function", message_of(function()
      local _ = authstate.to_json { a = { b = print } }
    end))
    assert.matches('form "hex".*"array"', message_of(function()
      local _ = authstate.to_json({}, "hex")
    end))
    assert.matches("string expected, got number", message_of(function()
      local _ = authstate.from_json(1)
    end))
  end)
end)

describe("the memory of the codec", function()
  it("serves finalizers that use it while it is in use", function()
    local rounds, failures = 0, 0
    local text = '{"a":1.0,"list":['
      .. ('{"type":"Buffer","data":"AQID"},'):rep(50) .. "null]}"
    local function watch()
      local object = newproxy(true)
      getmetatable(object).__gc = function()
        rounds = rounds + 1
        local word = ("y"):rep(rounds * 97 % 5000)
        local value = core.decode(core.json_encode('["' .. word .. '", 1]'))
        if #value[1] ~= rounds * 97 % 5000 then failures = failures + 1 end
      end
    end
    for _ = 1, 300 do
      for _ = 1, 5 do watch() end
      local value = core.decode(core.json_encode(text))
      assert.equal(51, #value.list)
      assert.equal("\1\2\3", value.list[50]:raw())
      core.to_json(value)
    end
    collectgarbage()
    assert.is_true(rounds > 0)
    assert.equal(0, failures)
  end)
end)
