-- SPDX-License-Identifier: MIT

-- Which text, keys, Buffers and lists are packed, and which must not be because they
-- differ in the least.

local core = require "authstate.core"
local hex = require "spec.codec.hex"
local plain_cbor = require "spec.codec.plain_cbor"
local record = require "spec.codec.record"

local assert_form, quote = record.assert_form, record.quote
local base64, buffer, byte_array = record.base64, record.buffer, record.byte_array
local key = record.key

local BASE64, DIGITS, JID, JSON_TEXT = "d6", "c7", "c8", "d90106"
local NUMBERS, BYTE_ARRAY, BYTE_OBJECT = "cf", "d4", "d83c"
local KEY_PAIR, JSON_BYTES = "ca", "c9"

local function assert_text(form, text)
  assert_form(form, quote(text))
end

-- The head of a text string.
local function text_head(text)
  return hex.encode(plain_cbor.head(3, #text))
end

local function assert_plain_text(text)
  assert_form(text_head(text) .. hex.encode(text), quote(text))
end

describe("text of digits", function()
  it("is an integer, or bytes when it is longer than four", function()
    for text, form in pairs {
      ["0"] = "c700", ["7"] = "c707", ["24"] = "c71818", ["1736163697"] = "c71a677bc171",
      ["4294967295"] = "c71affffffff", ["4294967296"] = "c7450100000000",
      ["5521980000959"] = "c7460505afa80abf",
      ["9007199254740993"] = "c74720000000000001",
      ["18446744073709551615"] = "c748ffffffffffffffff",
    } do
      assert_text(form, text)
    end
  end)

  it("is text when its number would be written otherwise", function()
    for _, text in ipairs {
      "00", "01", "-1", "+1", " 1", "1 ", "1.0", "1e5", "0x10", "1_0", "12a", "a12",
      "123456789012345678901", "1234567890123456789012",
      "\xef\xbc\x91", "Infinity", "NaN", "null", "1,2",
    } do
      assert_plain_text(text)
    end
  end)

  it("that is beyond 2^64, but base64, is bytes", function()
    assert_text(BASE64 .. "4f", "18446744073709551616")
    assert_text(BASE64 .. "52", "123456789012345678901234")
    assert_text(DIGITS .. "47", "1234567890123456")
  end)
end)

describe("text that is a jid", function()
  it("is a few bytes, on every server, with and without device", function()
    local servers = {
      "s.whatsapp.net", "lid", "g.us", "c.us", "hosted", "hosted.lid", "broadcast",
      "newsletter",
    }
    for i, server in ipairs(servers) do
      assert_text(("%s42%02x05"):format(JID, i - 1), "5@" .. server)
      assert_text(("%s43%02xff05"):format(JID, i + 7), "5:255@" .. server)
      assert_text(JID .. "49", "18446744073709551615@" .. server)
      assert_text(JID .. "4a", "18446744073709551615:0@" .. server)
    end
    assert_text(JID .. "48" .. "58080505afa8235d", "5521980007261:8@s.whatsapp.net")
    assert_text(JID .. "42" .. "0000", "0@s.whatsapp.net")
    assert_text(JID .. "49" .. "7202b46c8472b944e5", "194900000000001253@g.us")
  end)

  it("is text when it differs from what the bytes give", function()
    for _, text in ipairs {
      "5:256@s.whatsapp.net", "5:1000@lid", "5:01@lid", "5:@lid", "5:-1@lid", "+5@lid",
      "5:18446744073709551616@lid", "05@lid", "00@lid", "-5@lid", "@lid", ":1@lid",
      "5@", "5:1@", "5@lid ",
      " 5@lid", "5@LID", "5@lid.us", "5@li", "5@example.com", "5@lid@lid", "5:1:2@lid",
      "18446744073709551616@lid", "123456789012345678901@lid", "5-6@g.us", "5_1@lid",
      "5:1", "5 @lid", "5@s.whatsapp.net/0", "status@broadcast", "5@whatsapp.net",
    } do
      assert_plain_text(text)
    end
  end)
end)

describe("text that is base64", function()
  it("is bytes from 12 characters on", function()
    assert_text(BASE64 .. "49000000000000000000", "AAAAAAAAAAAA")
    assert_text(BASE64 .. "4800000000000000ff", "AAAAAAAAAP8=")
    assert_text(BASE64 .. "47000000000000ff", "AAAAAAAA/w==")
    assert_text(BASE64 .. "5820", base64(key(1)))
    assert_text(BASE64 .. "590100", base64(("x"):rep(256)))
  end)

  it("is text when it is shorter, or not what an encoder writes", function()
    for _, text in ipairs {
      "AAAA", "AAAAAAAA", "1K5fx", "Infinity", "AAAAAAA=",
      "AAAAAAAAAAA", "AAAAAAAAAAAAA", "AAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA",
      "AAAAAAAAAAB=", "AAAAAAAAAP9=", "AAAAAAAA/x==", "AAAAAAAA/wB=", "AAAAAAAAA===",
      "AAAAAAAA====", "============", "AAAA====AAAA", "AAAA/w==AAAA", "AAAAAAAAAA=A",
      "AAAAAAAAAAA-", "AAAA_AAAAAAA", "AAAAAAAAA AA", "AAAAAAAAAAA.",
      "AAAA\xc3\xa9AAAAAA",
      "abcdefgh(jkl",
    } do
      assert_plain_text(text)
    end
    assert_form("6c" .. hex.encode "AAAAAAAAAAA\n", [["AAAAAAAAAAA\n"]])
  end)
end)

describe("text with a lone surrogate", function()
  it("is JSON text under a tag, in values and keys", function()
    assert_form("81" .. JSON_TEXT .. "48" .. hex.encode [["\ud800"]], [==[["\ud800"]]==])
    assert_form("a1" .. JSON_TEXT .. "48" .. hex.encode [["\udc00"]] .. "01",
      [[{"\udc00":1}]])
    assert_form(JSON_TEXT .. "48", [["\ud800"]])
    assert_form("8164f09f9880", '["\xf0\x9f\x98\x80"]')
    assert_form("81" .. JSON_TEXT, [==[["5\ud800"]]==])
    assert_form("81" .. JSON_TEXT, [==[["AAAAAAAAAAAA\ud800"]]==])
  end)
end)

describe("keys of objects", function()
  it("that are well known are one byte, or two", function()
    for name, number in pairs {
      private = "00", public = "01", chainKey = "20", counter = "21", _chains = "17",
      token = "35", timestamp = "36", noiseKey = "37",
      pairingEphemeralKeyPair = "1818", myAppStateKeyId = "1839",
    } do
      assert_form("a1" .. number .. "f6", ('{"%s":null}'):format(name))
    end
  end)

  it("that are nearly well known are text", function()
    for _, name in ipairs {
      "", "Private", "privat", "privates", "private ", "_session", "chainkey",
      "privbte", "keypair", "KeyId", "\xd0\xb0",
    } do
      assert_form("a1" .. text_head(name) .. hex.encode(name) .. "f6",
        ('{"%s":null}'):format(name))
    end
  end)

  it("are packed as other text is", function()
    assert_form("a1" .. "c705" .. "f6", '{"5":null}')
    assert_form("a1" .. "623035" .. "f6", '{"05":null}')
    assert_form("a1" .. JID .. "420105" .. "f6", '{"5@lid":null}')
    assert_form("a1" .. BASE64 .. "4900", '{"AAAAAAAAAAAA":null}')
  end)

  it("keep their order", function()
    assert_form("a3" .. "01f6" .. "c702f6" .. "00f6",
      '{"public":null,"2":null,"private":null}')
  end)
end)

describe("a Buffer", function()
  it("is bytes in the form that Baileys writes now", function()
    assert_form("43010203", '{"type":"Buffer","data":"AQID"}')
    assert_form("40", '{"type":"Buffer","data":""}')
    assert_form("5901f4", buffer(("x"):rep(500)))
  end)

  it("is tagged bytes when its data is an array", function()
    assert_form(BYTE_ARRAY .. "43010203", byte_array "\1\2\3")
    assert_form(BYTE_ARRAY .. "40", byte_array "")
    assert_form(BYTE_ARRAY .. "590100", byte_array(("\255"):rep(256)))
  end)

  it("is tagged bytes when it is numbered members of a field that holds bytes", function()
    assert_form("a101" .. BYTE_OBJECT .. "420102", '{"public":{"0":1,"1":2}}')
    assert_form("a101" .. BYTE_OBJECT .. "4100", '{"public":{"0":0}}')
  end)

  it("with a list has two levels, as many as its text", function()
    local function nest(levels)
      return ("["):rep(levels) .. byte_array "\1\2" .. ("]"):rep(levels)
    end
    assert_form("81", nest(254))
    assert.is_nil(core.json_encode(nest(255)))
    assert.is_nil(core.from_json(nest(255)))
    local stored = "\x80" .. ("\x81"):rep(255) .. "\xd4\x42\1\2"
    assert.matches("256 levels", (select(2, core.json_decode(stored))))
    assert.matches("256 levels", (select(2, core.decode(stored))))
  end)

  it("with a lone surrogate for base64 is an object", function()
    assert_form("a2", '{"type":"Buffer","data":"\\ud800"}')
    assert_form("a2", '{"data":"AQID\\udc00","type":"Buffer"}')
  end)

  it("is an object when it is written in the least otherwise", function()
    for _, text in ipairs {
      '{"data":"AQID","type":"Buffer"}', '{"type":"Buffer","data":"AQID","x":1}',
      '{"x":1,"type":"Buffer","data":"AQID"}', '{"type":"Buffer"}',
      '{"type":"buffer","data":"AQID"}', '{"type":"Buffer","data":"AQI"}',
      '{"type":"Buffer","data":"AQJ="}', '{"type":"Buffer","data":"-_-_"}',
      '{"type":"Buffer","data":"AQ==AQ=="}', '{"type":"Buffer","data":" AQID"}',
      '{"type":"Buffer","data":[256]}', '{"type":"Buffer","data":[-1]}',
      '{"type":"Buffer","data":[1.5]}', '{"type":"Buffer","data":["1"]}',
      '{"type":"Buffer","data":[1,null]}', '{"type":"Buffer","data":[1,[2]]}',
      '{"type":"Buffer","data":[1000]}', '{"type":"Buffer","data":null}',
      '{"type":"Buffer","data":{"0":1}}', '{"type":"Buffer","value":"AQID"}',
      '{"buffer":true,"data":"AQID"}', '{"buffer":true,"data":[1,2,3,4]}',
      '{"data":[1,2,3,4],"type":"Buffer"}', '{"type":"Buffer","data":[1,2],"x":1}',
      '{"type":"Buffer","data":"\\u0000"}', '{"type":"Buffer\\n","data":"AQID"}',
      '{"type":"Buffer","data":"AQID\\n"}', '{"data":"AAAAAAAAAAAA","type":"Buffer"}',
      '{"0":1,"1":2}', '{"value":"AAAAAAAAAAAA","type":"Buffer"}',
      '{"value":[1,2,3,4],"buffer":true}', '{"buffer":true,"data":"AAAAAAAAAAAA"}',
      '{"type":"Buffer","data":"AAAAAAAAAAB="}', '{"buffer":true,"value":"5"}',
    } do
      assert_form("a", text)
    end
    for _, text in ipairs {
      '{"0":1,"2":2}', '{"1":1,"0":2}', '{"1":1}', '{"0":256}', '{"0":-1}', '{"0":1.5}',
      '{"00":1}', '{"0":1,"a":2}', '{"a":1,"0":2}', '{}', '{"0":null}', '{"0":"1"}',
      '{"0":1,"01":2}', '{"0":{"0":1}}',
    } do
      assert_form("a101a", ('{"public":%s}'):format(text))
    end
    assert_form("a11834a1c70001", '{"name":{"0":1}}')
  end)

  it("stays an object of numbered members when it is longer than any key", function()
    for count, form in pairs { [4096] = "a101" .. BYTE_OBJECT, [4097] = "a101b9" } do
      local members = {}
      for i = 1, count do members[i] = ('"%d":%d'):format(i - 1, i % 256) end
      assert_form(form, ('{"public":{%s}}'):format(table.concat(members, ",")))
    end
  end)
end)

describe("a list of numbers from 0 to 255", function()
  it("is tagged bytes from four on", function()
    assert_form(NUMBERS .. "4400010203", "[0,1,2,3]")
    assert_form(NUMBERS .. "45ffffffffff", "[255,255,255,255,255]")
    assert_form("82" .. NUMBERS .. "4401020304" .. NUMBERS .. "4401020304",
      "[[1,2,3,4],[1,2,3,4]]")
  end)

  it("is an array when it is shorter, or holds anything else", function()
    for _, text in ipairs { "[]", "[1]", "[1,2,3]" } do assert_form("8", text) end
    for _, last in ipairs {
      "256", "-1", "1.5", '"5"', "null", "true", "[]", "{}", "[5]", "1e+21", "1000",
    } do
      assert_form("8501020304", ("[1,2,3,4,%s]"):format(last))
    end
    assert_form("85190100", "[256,1,2,3,4]")
  end)
end)

describe("JSON text in a Buffer", function()
  it("is what it says, under a tag", function()
    assert_form(JSON_BYTES .. "a16161c705", buffer '{"a":"5"}')
    assert_form(JSON_BYTES .. NUMBERS .. "4401020304", buffer "[1,2,3,4]")
    assert_form(JSON_BYTES .. "80", buffer "[]")
    assert_form(JSON_BYTES .. "a0", buffer "{}")
    assert_form(JSON_BYTES .. "a10143010203",
      buffer '{"public":{"type":"Buffer","data":"AQID"}}')
    assert_form(JSON_BYTES .. "a101" .. BYTE_ARRAY .. "43010203",
      buffer '{"public":{"type":"Buffer","data":[1,2,3]}}')
  end)

  it("is bytes when the text would come back otherwise, or is no JSON", function()
    for _, content in ipairs {
      "[1.0]", "[ ]", "{} ", " {}", '{"a":1,"a":2}', "[-0]", "[1e5]", '["\\/"]',
      "[", "{", "[}", '{"a"}', "[1,]", "\xef\xbb\xbf[]", '["\xff"]', '["\xed\xa0\x80"]',
      "[]\0", '["\\u0041"]', ("["):rep(257) .. ("]"):rep(257), "[1e400]",
    } do
      assert_form(hex.encode(plain_cbor.head(2, #content) .. content), buffer(content))
    end
  end)

  it("is bytes when it is no array or object", function()
    for _, content in ipairs { "1", '"a"', "null", "true", "12345678901234567890" } do
      assert_form(hex.encode(plain_cbor.head(2, #content) .. content), buffer(content))
    end
  end)

  it("is bytes when structure takes more room", function()
    assert_form("47" .. hex.encode "[1e+21]", buffer "[1e+21]")
    assert_form("45" .. hex.encode "[0.1]", buffer "[0.1]")
  end)

  it("may hold a lone surrogate", function()
    assert_form(JSON_BYTES .. "82", buffer [==[["\ud800","abcdefghijklmnop"]]==])
  end)

  it("holds Buffers with JSON text as bytes", function()
    local inner = buffer "[]"
    assert_form(JSON_BYTES .. "81" .. "42" .. hex.encode "[]",
      buffer("[" .. inner .. "]"))
  end)

  it("may be as deep as any text, at any depth", function()
    local function nest(levels, bottom)
      return ("["):rep(levels) .. bottom .. ("]"):rep(levels)
    end
    local deep = nest(256, "")
    assert_form(JSON_BYTES .. "81", buffer(deep))
    assert_form("81", nest(255, buffer(deep)))
  end)

  it("is bytes in a Buffer of another form", function()
    assert_form(BYTE_ARRAY .. "425b5d", byte_array "[]")
  end)
end)

describe("a key pair", function()
  local function key_pair(private_key, public_key)
    return ('{"private":%s,"public":%s}'):format(private_key, public_key)
  end

  it("is 64 bytes", function()
    assert_form(KEY_PAIR .. "5840" .. hex.encode(key(1) .. key(2)),
      key_pair(buffer(key(1)), buffer(key(2))))
    assert_form("81" .. KEY_PAIR, "[" .. key_pair(buffer(key(1)), buffer(key(2))) .. "]")
    assert_form("a102" .. KEY_PAIR,
      '{"keyPair":' .. key_pair(buffer(key(1)), buffer(key(2))) .. "}")
  end)

  it("is an object when it is another", function()
    local long, short = key(1) .. "x", key(1):sub(1, 31)
    local public_member = '"public":' .. buffer(key(2))
    local private_member = '"private":' .. buffer(key(1))
    for _, text in ipairs {
      key_pair(buffer(short), buffer(key(2))), key_pair(buffer(key(1)), buffer(short)),
      key_pair(buffer(long), buffer(key(2))), key_pair(buffer(key(1)), buffer(long)),
      key_pair(buffer(short), buffer(long)), key_pair(buffer(long), buffer(short)),
      key_pair(buffer "", buffer(key(1) .. key(2))),
      key_pair(byte_array(key(1)), buffer(key(2))),
      key_pair(buffer(key(1)), byte_array(key(2))),
      key_pair(quote(base64(key(1))), buffer(key(2))), key_pair("null", buffer(key(2))),
      "{" .. public_member .. "," .. private_member .. "}",
      "{" .. private_member .. ',"pubKey":' .. buffer(key(2)) .. "}",
    } do
      assert_form("a2", text)
    end
    assert_form("a1", "{" .. private_member .. "}")
    for _, member in ipairs { '"keyId":1', '"x":1' } do
      local three = { member, private_member, public_member }
      for _ = 1, 3 do
        table.insert(three, table.remove(three, 1))
        assert_form("a3", "{" .. table.concat(three, ",") .. "}")
      end
    end
  end)
end)

describe("a list of numbers in a Buffer", function()
  -- Six characters beyond ASCII were taken for digits: a damaged text was stored, and
  -- read back as another.
  it("has no other characters than digits", function()
    for byte = 128, 255 do
      local other = string.char(byte)
      for _, number in ipairs { other, "0" .. other, "00" .. other } do
        local text = ('{"type":"Buffer","data":[1,%s,2]}'):format(number)
        assert.is_nil(core.json_encode(text))
      end
    end
  end)
end)
