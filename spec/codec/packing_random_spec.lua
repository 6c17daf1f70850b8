-- SPDX-License-Identifier: MIT

-- Texts near real records, at random: whatever is packed comes back.

local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local random = require "spec.support.random"
local record = require "spec.codec.record"
local record_text = require "spec.codec.record_text"

local FIXTURES = { "small.json.gz", "large.json.gz" }

-- `make check`, which runs the specs under the sanitizers, has time for more.
local ROUNDS = os.getenv "AUTHSTATE_BUILD" == "sanitize" and 100000 or 20000
local KEPT_WHOLE = "\xd9\1\6"

-- Long texts take long, and what is in them is in short ones too.
local LONGEST, PER_TYPE = 4000, 12

-- What the fixtures do not have.
local OTHERS = {
  '{"_sessions":{},"version":"v1"}', "[1,2,3,4]", '{"public":{"0":1,"1":2}}',
  '{"chainKey":{"counter":1},"chainType":2,"messageKeys":{"5":"AQID"}}',
  '["\\ud800",{"\\udc00":1}]',
}

local function texts_of(name, dice)
  local session = core.split_session(fixture.read(name))
  local texts = { session.creds }
  for _, records in pairs(session.keys) do
    local ids = {}
    for id, text in pairs(records) do
      if #text <= LONGEST then ids[#ids + 1] = id end
    end
    table.sort(ids)
    dice:shuffle(ids)
    for i = 1, math.min(PER_TYPE, #ids) do texts[#texts + 1] = records[ids[i]] end
  end
  return texts
end

-- A session with a pending pre-key, which comes before the first answer only.
local function with_pending(text)
  return (text:gsub('}}},"version":"v1"}$', '},"pendingPreKey":{"signedKeyId":9,'
    .. '"baseKey":"BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC","preKeyId":5}}},'
    .. '"version":"v1"}'))
end

local function all_texts(dice)
  local texts = { unpack(OTHERS) }
  for _, name in ipairs(FIXTURES) do
    for _, text in ipairs(texts_of(name, dice)) do
      texts[#texts + 1] = text
      if text:find "^{\"_sessions" and dice:chance(0.3) then
        texts[#texts + 1] = with_pending(text)
      end
    end
  end
  return texts
end

local function fail(text, what)
  error(("%s: %s"):format(what, text), 0)
end

-- What a value must be after it went through Lua. A table of two members, "type" and
-- "data", is a Buffer then; a text has such a table and not the Buffer only when it gave
-- a key twice, so it was kept whole.
local function after_lua(value, stored)
  if stored:sub(2, 4) ~= KEPT_WHOLE then return value end
  return core.from_json(core.to_json(value))
end

local function check_lua(text, stored, value)
  local again, refusal = core.encode(value)
  if not again then
    if not refusal:find "infinite" then fail(text, refusal) end
    return
  end
  local expected = after_lua(value, stored)
  if not record.same(expected, core.decode(again)) then
    fail(text, "another value after it went through Lua")
  end
  local json = core.json_decode(again)
  if not json or not record.same(expected, core.from_json(json)) then
    fail(text, "stored from Lua it is " .. tostring(json))
  end
end

-- Everything that must hold for a text; false when it is not JSON.
local function check(text)
  local stored, message = core.json_encode(text)
  local value = core.from_json(text)
  if not stored then
    if value ~= nil then fail(text, message) end
    return false
  end
  if core.json_decode(stored) ~= text then
    fail(text, "came back as " .. tostring(core.json_decode(stored)))
  end
  local decoded, reason = core.decode(stored)
  if decoded == nil then fail(text, reason) end
  if not record.same(value, decoded) then fail(text, "another value in Lua") end
  check_lua(text, stored, value)
  return true
end

describe("a text near a real record", function()
  local dice = random.new()
  local sources = record_text.sources(all_texts(dice))

  it("comes back byte for byte, and is the same value in Lua", function()
    local json_texts, rounds = 0, random.rounds(ROUNDS)
    for _ = 1, rounds do
      if check(record_text.near(dice, sources)) then json_texts = json_texts + 1 end
    end
    assert.is_true(json_texts > rounds / 2)
  end)
end)
