-- SPDX-License-Identifier: MIT

-- JSON text to its stored form and back.

local cjson = require "cjson"
local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local hex = require "spec.codec.hex"
local json_text = require "spec.codec.json_text"
local random = require "spec.support.random"

local KEPT_WHOLE = hex.decode "80 d90106"
local SESSIONS = { "small.json.gz", "large.json.gz" }

local function store(text)
  local stored, message = core.json_encode(text)
  return stored or error(("%s: %s"):format(message, text:sub(1, 200)), 2)
end

local function assert_identity(text)
  local back, message = core.json_decode(store(text))
  if back ~= text then
    error(("%s: %s became %s"):format(message, text:sub(1, 200), tostring(back)), 2)
  end
end

local function is_kept_whole(text)
  return store(text):sub(1, #KEPT_WHOLE) == KEPT_WHOLE
end

-- What JSON.stringify writes for one string is kept whole when it is all of the value and
-- has a lone surrogate.
local function is_surrogate_string(text)
  return text:find '^".*\\ud[89a-f]' ~= nil
end

local function nest(open, levels, bottom, close)
  return open:rep(levels) .. bottom .. close:rep(levels)
end

describe("text that JSON.stringify wrote", function()
  it("comes back byte for byte, and is stored as structure", function()
    for _, text in ipairs(fixture.lines "exact.jsonl") do
      assert_identity(text)
      assert.equal(is_surrogate_string(text), is_kept_whole(text), text)
    end
  end)

  for _, name in ipairs(SESSIONS) do
    it("comes back byte for byte for every record of " .. name, function()
      local session = assert(core.split_session(fixture.read(name)))
      assert_identity(session.creds)
      local count = 0
      for _, records in pairs(session.keys) do
        for _, text in pairs(records) do
          assert_identity(text)
          assert.is_false(is_kept_whole(text))
          count = count + 1
        end
      end
      assert.equal(session.records, count)
    end)
  end

  it("takes less room than the text", function()
    local text = fixture.read "session-40-states.json.gz"
    assert_identity(text)
    assert.is_true(#store(text) < #text)
  end)

  it("keeps the order of keys", function()
    assert_identity '{"z":1,"a":2,"10":3,"9":4}'
  end)

  it("keeps objects and arrays of any length", function()
    for _, count in ipairs { 0, 1, 23, 24, 255, 256, 65535, 65536 } do
      local elements, members = {}, {}
      for i = 1, count do
        elements[i] = "[" .. ("0,"):rep(i % 60) .. "0]"
        members[i] = ('"%d":{"a":%d}'):format(i, i)
      end
      assert_identity("[" .. table.concat(elements, ",") .. "]")
      assert_identity("{" .. table.concat(members, ",") .. "}")
    end
  end)

  it("is stored as documented", function()
    local examples = {
      ['["0","2"]'] = "80 82 c700 c702",
      ["null"] = "80 f6",
      ["-1"] = "80 20",
      ["1.5"] = "80 fa 3fc00000",
      ["0.1"] = "80 fb 3fb999999999999a",
      ["9007199254740992"] = "80 1b 0020000000000000",
      ["9007199254740994"] = "80 fb 4340000000000001",
      ['{"type":"Buffer","data":"AQID"}'] = "80 43 010203",
      ['["\\ud800"]'] = "80 81 d90106 48 22 5c75643830 30 22",
      ["1.0"] = "80 d90106 43 312e30",
    }
    for text, bytes in pairs(examples) do
      assert.equal(hex.encode(hex.decode(bytes)), hex.encode(store(text)), text)
    end
  end)

  it("takes only a Buffer in Baileys' form with canonical base64 as bytes", function()
    for _, text in ipairs {
      '{"data":"AQID","type":"Buffer"}', '{"type":"Buffer","data":"AQID","x":1}',
      '{"type":"Buffer","data":"AQI"}', '{"type":"Buffer","data":"AQJ="}',
      '{"type":"Buffer","data":"A==="}', '{"type":"Buffer","data":"===="}',
      '{"type":"Buffer","data":"AQ=="', '{"type":"Buffer","data":"-_-_"}',
      '{"type":"Buffer","data":"AQ==AQ=="}', '{"type":"Buffer","data":[256]}',
      '{"type":"buffer","data":"AQID"}', '{"type":"Buffer"}',
    } do
      if core.json_encode(text) then
        assert_identity(text)
        assert.equal("a", hex.encode(store(text)):sub(3, 3), text)
      end
    end
  end)
end)

describe("text that JSON.stringify never writes", function()
  it("is kept as it stands", function()
    for _, text in ipairs(fixture.lines "inexact.jsonl") do
      assert_identity(text)
      assert.is_true(is_kept_whole(text), text)
    end
  end)

  it("is kept with the white space around it", function()
    for _, text in ipairs { "\n[1]", "[1]\n", " 1", "1 ", "\t{\r\n}" } do
      assert_identity(text)
      assert.is_true(is_kept_whole(text))
    end
  end)

  it("is noticed at the last of 100,000 keys", function()
    local members = {}
    for i = 1, 100000 do members[i] = ('"key %d":%d'):format(i, i) end
    local once = "{" .. table.concat(members, ",") .. "}"
    local twice = once:sub(1, -2) .. ',"key 77":0}'
    assert_identity(once)
    assert_identity(twice)
    assert.is_false(is_kept_whole(once))
    assert.is_true(is_kept_whole(twice))
  end)

  it("may use one key in many objects", function()
    local text = "[" .. ('{"a":1,"b":{"a":2}},'):rep(5000) .. '{"a":3}]'
    assert_identity(text)
    assert.is_false(is_kept_whole(text))
  end)
end)

describe("text that is not JSON", function()
  local cases = cjson.decode(fixture.read "invalid.json")

  it("is refused with the byte where it stops being JSON", function()
    for _, case in ipairs(cases) do
      local stored, message, code, offset = core.json_encode(case.text)
      assert.is_nil(stored, case.why)
      assert.equal("corrupt", code)
      assert.equal(case.offset, offset, case.why .. ": " .. case.text:sub(1, 80))
      assert.matches(("not JSON at byte %d: expected "):format(offset), message, 1, true)
    end
  end)

  it("is refused alike by every reader", function()
    for _, case in ipairs(cases) do
      local value, message, offset = core.from_json(case.text)
      assert.is_nil(value)
      assert.equal(case.offset, offset)
      local _, stored_message = core.decode(case.text)
      if case.text ~= "" and case.text:byte() < 0x80 then
        assert.equal(message, stored_message)
        assert.equal(message, select(2, core.json_decode(case.text)))
      end
    end
  end)

  it("is refused when it is not UTF-8", function()
    for _, bytes in ipairs {
      "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
      "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
      "\xf5", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3(", "\xe2(\xa1",
    } do
      local stored, message, _, offset = core.json_encode('"ab' .. bytes .. '"')
      assert.is_nil(stored)
      assert.equal(3, offset)
      assert.matches("valid UTF%-8", message)
    end
  end)

  it("is refused when cut anywhere", function()
    local text = '{"a":[1.5e+21,-0.25,"\\u001f\\ud800\xc3\xa9",{"b":null}],'
      .. '"c":[true,false]}'
    for length = 0, #text - 1 do
      assert.is_nil(core.json_encode(text:sub(1, length)))
    end
    assert_identity(text)
  end)
end)

describe("nesting", function()
  it("may be 256 levels deep", function()
    assert_identity(nest("[", 256, "", "]"))
    assert_identity(nest('{"a":', 256, "1", "}"))
    assert_identity(nest("[", 255, '{"type":"Buffer","data":""}', "]"))
    assert_identity(" " .. nest("[", 256, "", "]"))
    assert.is_table(core.from_json(nest("[", 256, "", "]")))
  end)

  it("is refused beyond", function()
    for _, text in ipairs {
      nest("[", 257, "", "]"), nest('{"a":', 257, "1", "}"),
      nest("[", 256, '{"type":"Buffer","data":""}', "]"), nest("[", 100000, "", "]"),
      ("["):rep(100000), ('{"a":'):rep(100000),
    } do
      local stored, message, code = core.json_encode(text)
      assert.is_nil(stored)
      assert.equal("corrupt", code)
      assert.matches("256 levels", message)
      assert.matches("256 levels", (select(2, core.from_json(text))))
      assert.matches("256 levels", (select(2, core.json_decode(text))))
    end
  end)
end)

describe("random JSON", function()
  local dice = random.new()

  it("comes back byte for byte as JSON.stringify writes it", function()
    for _ = 1, random.rounds(1000) do
      local text = json_text.canonical(dice)
      assert_identity(text)
      assert.equal(is_surrogate_string(text), is_kept_whole(text), text)
    end
  end)

  it("comes back byte for byte however it is written", function()
    for _ = 1, random.rounds(1000) do
      local text = json_text.mangled(dice)
      assert_identity(text)
      assert(core.from_json(text) ~= nil)
    end
  end)

  it("means the same to Lua in either form", function()
    for _ = 1, 500 do
      local text = json_text.canonical(dice)
      local value = core.from_json(text)
      assert.same(value, core.decode(store(text)))
      assert.same(value, core.decode(core.encode(value)))
      assert.same(value, core.from_json(core.to_json(value)))
    end
  end)

  it("never crashes when it is damaged", function()
    for _ = 1, random.rounds(1000) do
      local text = json_text.damaged(dice)
      local stored, message = core.json_encode(text)
      if stored then
        assert.equal(text, core.json_decode(stored))
      else
        assert.matches("not JSON", message)
      end
    end
  end)
end)
