-- SPDX-License-Identifier: MIT

-- All examples of RFC 8949, appendix A, as payloads of a stored value, and that what is
-- stored is CBOR which any tool reads.
--
-- What JSON has no word for is refused: integers beyond 2^53, numbers that are not
-- finite, undefined, other simple values, keys that are not text. A tag that we do not
-- know stands for its content.

local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local hex = require "spec.codec.hex"

local ONE_TO_25 = "0102030405060708090a0b0c0d0e0f101112131415161718181819"
local NUMBERS_TO_25 =
  "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]"
local BYTES_1_TO_4 = '{"type":"Buffer","data":"AQIDBA=="}'

-- Diagnostic notation, bytes, and the JSON text; or `refused`, a part of the reason.
local VECTORS = {
  { "0", "00", "0" }, { "1", "01", "1" }, { "10", "0a", "10" }, { "23", "17", "23" },
  { "24", "1818", "24" }, { "25", "1819", "25" }, { "100", "1864", "100" },
  { "1000", "1903e8", "1000" }, { "1000000", "1a000f4240", "1000000" },
  { "1000000000000", "1b000000e8d4a51000", "1000000000000" },
  { "18446744073709551615", "1bffffffffffffffff", refused = "2^53" },
  { "18446744073709551616", "c249010000000000000000", refused = "2^53" },
  { "-18446744073709551616", "3bffffffffffffffff", refused = "2^53" },
  { "-18446744073709551617", "c349010000000000000000", refused = "2^53" },
  { "-1", "20", "-1" }, { "-10", "29", "-10" }, { "-100", "3863", "-100" },
  { "-1000", "3903e7", "-1000" },
  { "0.0", "f90000", "0" }, { "-0.0", "f98000", "0" }, { "1.0", "f93c00", "1" },
  { "1.1", "fb3ff199999999999a", "1.1" }, { "1.5", "f93e00", "1.5" },
  { "65504.0", "f97bff", "65504" }, { "100000.0", "fa47c35000", "100000" },
  { "3.4028234663852886e+38", "fa7f7fffff", "3.4028234663852886e+38" },
  { "1.0e+300", "fb7e37e43c8800759c", "1e+300" },
  { "5.960464477539063e-8", "f90001", "5.960464477539063e-8" },
  { "0.00006103515625", "f90400", "0.00006103515625" }, { "-4.0", "f9c400", "-4" },
  { "-4.1", "fbc010666666666666", "-4.1" },
  { "Infinity", "f97c00", refused = "not finite" },
  { "NaN", "f97e00", refused = "not finite" },
  { "-Infinity", "f9fc00", refused = "not finite" },
  { "Infinity, 4 bytes", "fa7f800000", refused = "not finite" },
  { "NaN, 4 bytes", "fa7fc00000", refused = "not finite" },
  { "-Infinity, 4 bytes", "faff800000", refused = "not finite" },
  { "Infinity, 8 bytes", "fb7ff0000000000000", refused = "not finite" },
  { "NaN, 8 bytes", "fb7ff8000000000000", refused = "not finite" },
  { "-Infinity, 8 bytes", "fbfff0000000000000", refused = "not finite" },
  { "false", "f4", "false" }, { "true", "f5", "true" }, { "null", "f6", "null" },
  { "undefined", "f7", refused = "undefined" },
  { "simple(16)", "f0", refused = "simple value" },
  { "simple(255)", "f8ff", refused = "simple value" },
  { '0("2013-03-21T20:04:00Z")', "c074323031332d30332d32315432303a30343a30305a",
    '"2013-03-21T20:04:00Z"' },
  { "1(1363896240)", "c11a514b67b0", "1363896240" },
  { "1(1363896240.5)", "c1fb41d452d9ec200000", "1363896240.5" },
  { "23(h'01020304')", "d74401020304", BYTES_1_TO_4 },
  { "24(h'6449455446')", "d818456449455446", '{"type":"Buffer","data":"ZElFVEY="}' },
  { '32("http://www.example.com")',
    "d82076687474703a2f2f7777772e6578616d706c652e636f6d", '"http://www.example.com"' },
  { "h''", "40", '{"type":"Buffer","data":""}' },
  { "h'01020304'", "4401020304", BYTES_1_TO_4 },
  { '""', "60", '""' }, { '"a"', "6161", '"a"' }, { '"IETF"', "6449455446", '"IETF"' },
  { [["\"\\"]], "62225c", [["\"\\"]] }, { [["\u00fc"]], "62c3bc", '"\195\188"' },
  { [["\u6c34"]], "63e6b0b4", '"\230\176\180"' },
  { [["\ud800\udd51"]], "64f0908591", '"\240\144\133\145"' },
  { "[]", "80", "[]" }, { "[1, 2, 3]", "83010203", "[1,2,3]" },
  { "[1, [2, 3], [4, 5]]", "8301820203820405", "[1,[2,3],[4,5]]" },
  { "[1, 2, ... 25]", "9819" .. ONE_TO_25, NUMBERS_TO_25 },
  { "{}", "a0", "{}" },
  -- Integers are well-known names: doc/envelope.md.
  { "{1: 2, 3: 4}", "a201020304", '{"public":2,"signature":4}' },
  { '{"a": 1, "b": [2, 3]}', "a26161016162820203", '{"a":1,"b":[2,3]}' },
  { '["a", {"b": "c"}]', "826161a161626163", '["a",{"b":"c"}]' },
  { '{"a": "A", ... "e": "E"}',
    "a56161614161626142616361436164614461656145",
    '{"a":"A","b":"B","c":"C","d":"D","e":"E"}' },
  { "(_ h'0102', h'030405')", "5f42010243030405ff",
    '{"type":"Buffer","data":"AQIDBAU="}' },
  { '(_ "strea", "ming")', "7f657374726561646d696e67ff", '"streaming"' },
  { "[_ ]", "9fff", "[]" },
  { "[_ 1, [2, 3], [_ 4, 5]]", "9f018202039f0405ffff", "[1,[2,3],[4,5]]" },
  { "[_ 1, [2, 3], [4, 5]]", "9f01820203820405ff", "[1,[2,3],[4,5]]" },
  { "[1, [2, 3], [_ 4, 5]]", "83018202039f0405ff", "[1,[2,3],[4,5]]" },
  { "[1, [_ 2, 3], [4, 5]]", "83019f0203ff820405", "[1,[2,3],[4,5]]" },
  { "[_ 1, 2, ... 25]", "9f" .. ONE_TO_25 .. "ff", NUMBERS_TO_25 },
  { '{_ "a": 1, "b": [_ 2, 3]}', "bf61610161629f0203ffff", '{"a":1,"b":[2,3]}' },
  { '["a", {_ "b": "c"}]', "826161bf61626163ff", '["a",{"b":"c"}]' },
  { '{_ "Fun": true, "Amt": -2}', "bf6346756ef563416d7421ff", '{"Fun":true,"Amt":-2}' },
}

local function check_refusal(stored, reason)
  for _, read in ipairs { core.decode, core.json_decode } do
    local value, message, code = read(stored)
    assert.is_nil(value)
    assert.equal("corrupt", code)
    assert.matches(reason, message, 1, true)
  end
end

local function check_value(stored, text)
  assert.equal(text, (core.json_decode(stored)))
  assert.same(core.from_json(text), (core.decode(stored)))
end

local function check_vector(vector)
  local stored = "\128" .. hex.decode(vector[2])
  if vector.refused then return check_refusal(stored, vector.refused) end
  return check_value(stored, vector[3])
end

describe("an example of RFC 8949, appendix A,", function()
  for _, vector in ipairs(VECTORS) do
    local what = vector.refused and "is refused" or "is read"
    it(("%s: %s"):format(what, vector[1]), function()
      check_vector(vector)
    end)
  end

  it("stands here once, all 81 of them", function()
    local seen, count = {}, 0
    for _, vector in ipairs(VECTORS) do
      assert.is_nil(seen[vector[2]], vector[1])
      seen[vector[2]] = true
      count = count + 1
    end
    assert.equal(81, count)
  end)
end)

-- RFC 8949, appendix C: the place behind one well-formed item at `at`, else an error.
local skip_item

local function read_argument(bytes, at, info)
  if info < 24 then return info, at end
  assert(info < 28, "additional information 28 to 31")
  local size, argument = 2 ^ (info - 24), 0
  for i = at, at + size - 1 do
    argument = argument * 256 + assert(bytes:byte(i), "the end")
  end
  return argument, at + size
end

local function skip_items(bytes, at, count)
  for _ = 1, count do at = skip_item(bytes, at) end
  return at
end

function skip_item(bytes, at)
  local first = assert(bytes:byte(at), "the end")
  local major, info = math.floor(first / 32), first % 32
  local argument
  argument, at = read_argument(bytes, at + 1, info)
  if major == 2 or major == 3 then
    assert(at + argument <= #bytes + 1, "the end")
    return at + argument
  end
  if major == 4 or major == 5 then
    return skip_items(bytes, at, argument * (major - 3))
  end
  return skip_items(bytes, at, major == 6 and 1 or 0)
end

describe("what is stored", function()
  local function check_form(stored, text)
    assert.equal(0x80, stored:byte(1))
    local is_fine, stop = pcall(skip_item, stored, 2)
    assert.is_true(is_fine, text)
    assert.equal(#stored + 1, stop, text)
  end

  it("is one well-formed item of CBOR, without indefinite lengths", function()
    local session = core.split_session(fixture.read "small.json.gz")
    session.keys.creds = { creds = session.creds }
    for _, records in pairs(session.keys) do
      for _, text in pairs(records) do
        check_form(core.json_encode(text), text)
        check_form(core.encode(core.from_json(text)), text)
      end
    end
    for _, text in ipairs {
      ' [1.0, "\\ud800"]', '{"\\ud800":["\\udc00",-1.5,1e+300]}',
    } do
      check_form(core.json_encode(text), text)
    end
  end)

  it("is seen to be so by a reader that sees when it is not", function()
    for _, bytes in ipairs {
      "9fff", "5f42010243030405ff", "8101ff", "43ff", "1c", "a101",
    } do
      local is_fine, stop = pcall(skip_item, hex.decode(bytes), 1)
      assert.is_false(is_fine and stop == #bytes / 2 + 1, bytes)
    end
  end)
end)
