-- SPDX-License-Identifier: MIT

-- The JSON text of a whole session, split into its records.

local cjson = require "cjson"
local core = require "authstate.core"
local fixture = require "spec.support.fixture"

local function split(text)
  return assert(core.split_session(text))
end

describe("a session text", function()
  for _, name in ipairs { "small.json.gz", "large.json.gz" } do
    it("gives every record of " .. name, function()
      local text = fixture.read(name)
      local session, expected = split(text), cjson.decode(text)
      local count = 0
      for type_name, records in pairs(expected.keys) do
        for id, record in pairs(records) do
          assert.same(record, cjson.decode("[" .. session.keys[type_name][id] .. "]")[1])
          count = count + 1
        end
      end
      assert.equal(count, session.records)
      assert.same(expected.creds, cjson.decode(session.creds))
    end)
  end

  it("gives the exact text of a record, without the white space around it", function()
    local session = split [==[
      { "keys" : { "a" : { "x" :  {"n": 1.0, "s": "\u0041"} , "y": -0	, "z":null} } ,
        "creds" :  { "a" : [ ] }  }
    ]==]
    assert.equal('{"n": 1.0, "s": "\\u0041"}', session.keys.a.x)
    assert.equal("-0", session.keys.a.y)
    assert.equal("null", session.keys.a.z)
    assert.equal('{ "a" : [ ] }', session.creds)
    assert.equal(3, session.records)
  end)

  it("may lack creds or keys", function()
    assert.same({ keys = {}, records = 0 }, split "{}")
    assert.same({ keys = {}, records = 0 }, split '{"creds":null}')
    assert.same({ keys = {}, records = 0, creds = "{}" }, split '{"creds":{}}')
    assert.same({ keys = { a = { b = "1" } }, records = 1 },
      split '{"keys":{"a":{"b":1}}}')
    assert.same({ keys = {}, records = 0 }, split '{"keys":{"a":{}}}')
  end)

  it("decodes types and ids", function()
    local session = split(
      [==[{"k\u0065ys":{"\u0061\/":{"\ud83d\ude00\n":1,"\ud800":2,"":3}}}]==])
    assert.same({ ["\xf0\x9f\x98\x80\n"] = "1", ["\xed\xa0\x80"] = "2", [""] = "3" },
      session.keys["a/"])
  end)

  it("may have records as deep as a value may be", function()
    local record = ("["):rep(256) .. ("]"):rep(256)
    local session = split('{"keys":{"a":{"b":' .. record .. "}}}")
    assert.equal(record, session.keys.a.b)
    assert.equal(record, core.json_decode(core.json_encode(record)))
    assert.is_nil(core.split_session('{"keys":{"a":{"b":[' .. record .. "]}}}"))
  end)

  it("is refused when it is something else, with the byte and what fits", function()
    local cases = {
      { "[]", 0, "an object" }, { "null", 0, "an object" },
      { '{"x":1}', 1, "creds or keys" },
      { '{"creds":1}', 9, "creds" }, { '{"creds":[]}', 9, "creds" },
      { '{"keys":[]}', 8, "keys" }, { '{"keys":null}', 8, "keys" },
      { '{"keys":{"a":1}}', 13, "type" }, { '{"keys":{"a":null}}', 13, "type" },
      { '{"creds":{},"creds":{}}', 12, "once" }, { '{"keys":{},"keys":{}}', 11, "once" },
      { '{"keys":{"a":{},"a":{}}}', 16, "type once" },
      { '{"keys":{"a":{"b":1,"b":2}}}', 20, "id of a type once" },
      { '{"keys":{"a":{"b":1,"\\u0062":2}}}', 20, "id of a type once" },
      { "", 0, "a value" }, { '{"keys":{}', 10, "','" }, { "{} {}", 3, "end of text" },
      { '{"keys":{"a":{"b":01}}}', 19, "','" },
      { '{"keys":{"a":{"b":"\xff"}}}', 19, "UTF-8" },
    }
    for _, case in ipairs(cases) do
      local session, message, offset = core.split_session(case[1])
      assert.is_nil(session, case[1])
      assert.equal(case[2], offset, case[1])
      assert.matches(case[3], message, 1, true)
      assert.matches("at byte " .. case[2], message, 1, true)
    end
  end)

  it("may have one id in many types, and 100,000 ids in one", function()
    local members = {}
    for i = 1, 100000 do members[i] = ('"%d":%d'):format(i, i) end
    local ids = "{" .. table.concat(members, ",") .. "}"
    local session = split('{"keys":{"a":' .. ids .. ',"b":{"1":0}}}')
    assert.equal(100001, session.records)
    assert.equal("100000", session.keys.a["100000"])
  end)
end)
