-- SPDX-License-Identifier: MIT

-- The CBOR inside of a stored value.

local core = require "authstate.core"
local hex = require "spec.codec.hex"

-- RFC 8949, appendix A: what a stored value may contain.
local SUPPORTED = {
  { "00", "0" }, { "01", "1" }, { "0a", "10" }, { "17", "23" }, { "1818", "24" },
  { "1819", "25" }, { "1864", "100" }, { "1903e8", "1000" }, { "1a000f4240", "1000000" },
  { "1b000000e8d4a51000", "1000000000000" }, { "20", "-1" }, { "29", "-10" },
  { "3863", "-100" }, { "3903e7", "-1000" }, { "f90000", "0" }, { "f98000", "0" },
  { "f93c00", "1" }, { "fb3ff199999999999a", "1.1" }, { "f93e00", "1.5" },
  { "f97bff", "65504" }, { "fa47c35000", "100000" },
  { "fa7f7fffff", "3.4028234663852886e+38" }, { "fb7e37e43c8800759c", "1e+300" },
  { "f90001", "5.960464477539063e-8" }, { "f90400", "0.00006103515625" },
  { "f9c400", "-4" }, { "fbc010666666666666", "-4.1" }, { "f4", "false" },
  { "f5", "true" },
  { "f6", "null" }, { "40", '{"type":"Buffer","data":""}' },
  { "4401020304", '{"type":"Buffer","data":"AQIDBA=="}' }, { "60", '""' },
  { "6161", '"a"' },
  { "6449455446", '"IETF"' }, { "62225c", [["\"\\"]] }, { "62c3bc", '"\xc3\xbc"' },
  { "63e6b0b4", '"\xe6\xb0\xb4"' }, { "64f0908591", '"\xf0\x90\x85\x91"' },
  { "80", "[]" },
  { "83010203", "[1,2,3]" }, { "8301820203820405", "[1,[2,3],[4,5]]" },
  { "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]" },
  { "a0", "{}" }, { "a26161016162820203", '{"a":1,"b":[2,3]}' },
  { "826161a161626163", '["a",{"b":"c"}]' },
  { "a56161614161626142616361436164614461656145",
    '{"a":"A","b":"B","c":"C","d":"D","e":"E"}' },
}

-- The rest of appendix A, and what is no CBOR at all.
local REFUSED = {
  { "1bffffffffffffffff", "beyond 2^53" }, { "3bffffffffffffffff", "beyond 2^53" },
  { "1b0020000000000001", "beyond 2^53" }, { "3b0020000000000000", "beyond 2^53" },
  { "c249010000000000000000", "beyond 2^53" }, { "f97c00", "not finite" },
  { "f97e00", "not finite" }, { "f9fc00", "not finite" }, { "fa7f800000", "not finite" },
  { "fa7fc00000", "not finite" }, { "faff800000", "not finite" },
  { "fb7ff0000000000000", "not finite" }, { "fb7ff8000000000000", "not finite" },
  { "fbfff0000000000000", "not finite" }, { "f7", "undefined" }, { "f0", "simple value" },
  { "f8ff", "simple value" }, { "f814", "simple value" },
  { "a1f601", "key that is not text" }, { "a14100f6", "key that is not text" },
  { "a1c001f6", "key that is not text" }, { "a118ff01", "does not know" },
  { "a1381801", "does not know" }, { "a11bffffffffffffffff01", "does not know" },
  { "a11bffffffffffffffe801", "does not know" }, { "a11bffffffffffffffe701", "not know" },
  { "a11b000000010000000001", "does not know" },
  { "5f4101", "end" }, { "5f6101ff", "another kind" }, { "7f4101ff", "another kind" },
  { "5f5f4101ffff", "another kind" }, { "7f63ff", "longer" }, { "9f01", "end" },
  { "bf616101", "end" }, { "bf6161ff", "end of nothing" }, { "ff", "end of nothing" },
  { "1f", "not CBOR" }, { "3f", "not CBOR" }, { "df00", "not CBOR" },
  { "1c", "not CBOR" },
  { "fe", "not CBOR" },
  { "18", "end" }, { "1901", "end" }, { "fb00", "end" }, { "81", "longer" },
  { "a1", "longer" }, { "8201", "longer" }, { "a16161", "end" },
  { "4101ff", "after the end" },
  { "43ff", "longer" }, { "63ff", "longer" }, { "9bffffffffffffffff", "longer" },
  { "bbffffffffffffffff", "longer" }, { "5bffffffffffffffff", "longer" },
  { "bb8000000000000000", "longer" }, { "61ff", "not UTF-8" },
  { "63eda080", "not UTF-8" },
  { "a161ff00", "not UTF-8" }, { "d90106", "end" },
  { "d9010600", "without a byte string" }, { "d901064101ff", "after the end" },
  { "d901066131", "without a byte string" }, { "81d9010600", "than a byte string" },
  { "d9010640", "not JSON at byte 0" }, { "d90106415b", "not JSON at byte 1" },
  { "81d901064131", "JSON string" }, { "a1d90106413100", "JSON string" },
  { "81d90106442231223a", "JSON string" },
}

local function read(bytes)
  return core.json_decode("\x80" .. hex.decode(bytes))
end

describe("CBOR", function()
  it("is read as appendix A of RFC 8949 says", function()
    for _, case in ipairs(SUPPORTED) do
      assert.equal(case[2], read(case[1]), case[1])
      local value = core.decode("\x80" .. hex.decode(case[1]))
      assert.same(core.from_json(case[2]), value, case[1])
    end
  end)

  it("is written with the shortest heads", function()
    for _, case in ipairs(SUPPORTED) do
      local is_half_float = case[1]:sub(1, 2) == "f9"
      local is_integral_float = case[1] == "fa47c35000"
      local is_byte_list = case[1]:sub(1, 4) == "9819"
      if not is_half_float and not is_integral_float and not is_byte_list then
        assert.equal("80" .. case[1], hex.encode(core.json_encode(case[2])))
      end
    end
  end)

  it("that no stored value contains is refused with a reason", function()
    for _, case in ipairs(REFUSED) do
      local text, message = read(case[1])
      assert.is_nil(text, case[1])
      assert.matches(case[2], message, 1, true)
      assert.is_nil(core.decode("\x80" .. hex.decode(case[1])), case[1])
    end
  end)

  it("may nest 256 levels and no more", function()
    assert.is_table(core.decode("\x80" .. ("\x81"):rep(255) .. "\x80"))
    for _, bytes in ipairs {
      ("\x81"):rep(256) .. "\x80", ("\x81"):rep(256) .. "\x40",
      ("\xa1\x61a"):rep(256) .. "\xa0", ("\x81"):rep(100000) .. "\x00",
      ("\xa1\x61a"):rep(100000) .. "\x00",
    } do
      local value, message = core.decode("\x80" .. bytes)
      assert.is_nil(value)
      assert.matches("256 levels", message)
      assert.matches("256 levels", (select(2, core.json_decode("\x80" .. bytes))))
    end
    assert.is_nil(core.decode("\x80" .. ("\xc1"):rep(100000)))
  end)

  it("that declares more than it holds costs no memory", function()
    -- Each of 250 arrays declares nearly all of a MiB.
    local bytes = "\x80" .. ("\x9a\x00\x0f\xff\x00"):rep(250) .. ("\0"):rep(2 ^ 20)
    collectgarbage()
    local before = collectgarbage "count"
    assert.is_nil(core.decode(bytes))
    assert.is_true(collectgarbage "count" - before < 64 * 1024)
  end)
end)
