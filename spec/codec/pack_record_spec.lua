-- SPDX-License-Identifier: MIT

-- Records that are packed as what they are, and those that must not be because they
-- differ in the least.

local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local hex = require "spec.codec.hex"
local plain_cbor = require "spec.codec.plain_cbor"
local record = require "spec.codec.record"

local assert_form, change, quote = record.assert_form, record.change, record.quote
local base64, buffer, byte_array = record.base64, record.buffer, record.byte_array
local key, public, same = record.key, record.public, record.same

local FIXTURES = { "small.json.gz", "large.json.gz" }

local SESSION, SENDER_KEY, JSON_BYTES = "cb", "c9cc", "c9"
local JIDS, VALUE_MACS = "cd", "ce"

-- ---- sessions ------------------------------------------------------------------------

-- A chain's JSON. A state has the base key 1, the own ratchet key 2 (private: 3), the
-- remote one 4, the root key 5 and the identity 6.
local function chain(owner, counter, chain_key, chain_type, messages)
  local parts = {}
  for i, number in ipairs(messages or {}) do
    parts[i] = ('"%s":"%s"'):format(number, base64(key(100 + i)))
  end
  return ('"%s":{"chainKey":{"counter":%s%s},"chainType":%d,"messageKeys":{%s}}'):format(
    base64(public(owner)), counter,
    chain_key and (',"key":"%s"'):format(base64(key(chain_key))) or "", chain_type,
    table.concat(parts, ","))
end

local function pending(base, pre_key_id)
  return ('"pendingPreKey":{"signedKeyId":9,"baseKey":"%s"%s}'):format(
    base64(public(base)), pre_key_id and (',"preKeyId":%d'):format(pre_key_id) or "")
end

local function state(options)
  local o = setmetatable(options or {}, { __index = {
    base = 1, identity = 6, registration_id = 77, counter = 2, closed = -1, used = 1010,
    created = 1000, chains = chain(2, -1, 7, 1),
  } })
  return table.concat {
    '"', base64(public(o.base)), '":{"registrationId":', o.registration_id,
    ',"currentRatchet":{"ephemeralKeyPair":{"pubKey":"', base64(public(2)),
    '","privKey":"', base64(key(3)), '"},"lastRemoteEphemeralKey":"', base64(public(4)),
    '","previousCounter":', o.counter, ',"rootKey":"', base64(key(5)),
    '"},"indexInfo":{"baseKey":"', base64(public(o.base)),
    '","baseKeyType":1,"closed":', o.closed, ',"used":', o.used, ',"created":', o.created,
    ',"remoteIdentityKey":"', base64(public(o.identity)), '"},"_chains":{', o.chains, "}",
    o.pending and "," .. o.pending or "", "}",
  }
end

local function session(...)
  return ('{"_sessions":{%s},"version":"v1"}'):format(table.concat({ ... }, ","))
end

local STATE_KEYS = hex.encode(key(1) .. key(2) .. key(3) .. key(4) .. key(5) .. key(6))

-- An integer that is near 2^53, and the largest.
local LARGE, LARGEST = "9007199254740991", "9007199254740992"

describe("a session", function()
  it("is an array of states", function()
    assert_form(SESSION .. "80", session())
    assert_form(SESSION .. "81" .. "88" .. "58c0" .. STATE_KEYS .. "184d" .. "02" .. "01"
      .. "1903e8" .. "0a" .. "20" .. "81" .. "83" .. "0c" .. "20" .. "5820"
      .. hex.encode(key(7)), session(state()))
    assert_form("82" .. SESSION .. "81", "[" .. session(state()) .. ",0]")
    assert_form("a1c705" .. SESSION, '{"5":' .. session(state()) .. "}")
  end)

  it("leaves out an identity key that the state before has", function()
    assert_form(SESSION .. "82", session(state(), state { base = 8 }))
    local same_identity = #core.json_encode(session(state(), state { base = 8 }))
    local another = #core.json_encode(session(state(), state { base = 8, identity = 9 }))
    assert.equal(32, another - same_identity)
    assert_form(SESSION .. "83", session(state(), state { base = 8, identity = 9 },
      state { base = 10 }))
    assert_form(SESSION .. "83", session(state(), state { base = 8, identity = 9 },
      state { base = 10, identity = 9 }))
  end)

  it("may be closed at any time from its creation on, and used before it", function()
    for _, options in ipairs {
      { closed = 1000 }, { closed = 1001 }, { closed = 0, created = 0, used = 0 },
      { used = 999 }, { used = 0 }, { closed = LARGEST, used = LARGEST },
      { created = LARGEST, used = 0, closed = LARGEST }, { registration_id = -5 },
      { registration_id = LARGEST, counter = "-" .. LARGEST }, { counter = LARGE },
    } do
      assert_form(SESSION, session(state(options)))
    end
  end)

  it("has chains of any owner, with and without key and message keys", function()
    for _, chains in ipairs {
      "", chain(2, 0, 7, 1), chain(2, 0, nil, 1), chain(4, 5, 7, 2), chain(4, 5, nil, 2),
      chain(9, 5, 7, 2), chain(9, 5, nil, 1), chain(2, 0, 7, 2), chain(4, 0, 7, 1),
      chain(9, 0, nil, 2, { 0 }), chain(9, 0, 7, 2, { 0, 1, 2 }),
      chain(4, LARGEST, 7, 2, { 5, 7, LARGEST }), chain(2, 0, nil, 1, { 23, 24, 256 }),
      chain(9, 1, nil, 2) .. "," .. chain(2, 1, 7, 1) .. "," .. chain(4, 1, 7, 2),
      chain(9, "-1", nil, 2),
    } do
      assert_form(SESSION .. "8188", session(state { chains = chains }))
    end
    local many = {}
    for i = 1, 300 do many[i] = i - 1 end
    for i = 1, 100 do
      assert_form(SESSION, session(state {
        chains = chain(4, 1, 7, 2, { unpack(many, 1, i * 3) }),
      }))
    end
  end)

  it("has message keys in any order", function()
    assert_form(SESSION, session(state { chains = chain(4, 1, 7, 2, { 5, 3, 4 }) }))
  end)

  it("may have a pending pre-key", function()
    for _, member in ipairs {
      pending(1), pending(1, 5), pending(9), pending(9, 5), pending(6, 0),
    } do
      assert_form(SESSION .. "8189", session(state { pending = member }))
    end
  end)

  it("is an object when it differs in the least", function()
    local whole = session(state {
      chains = chain(4, 5, 7, 2, { 3, 4 }) .. "," .. chain(2, -1, nil, 1),
      pending = pending(9, 5),
    })
    assert_form(SESSION, whole)
    local own, own_private = base64(public(2)), base64(key(3))
    local remote_chain = chain(4, 5, 7, 2, { 3, 4 })
    for _, changes in ipairs {
      { '"v1"', '"v2"' }, { '"v1"', '"v1 "' }, { '"v1"', "1" }, { '"v1"', "null" },
      { ',"version":"v1"', "" }, { '"version":"v1"', '"version":"v1","x":1' },
      { '"version":"v1"', '"version":"v1","used":1' }, { '"version"', '"Version"' },
      { '{"_sessions"', '{"x":1,"_sessions"' }, { '"_sessions"', '"sessions"' },
      { '"registrationId":77', '"registrationId":"77"' },
      { '"registrationId":77', '"registrationId":77.5' },
      { '"registrationId":77', '"registrationId":null' },
      { '"registrationId":77', '"registrationId":1e+21' },
      { '"registrationId":77', '"registrationId":9007199254740994' },
      { '"registrationId":77,', "" }, { '"registrationId":77', '"rawId":77' },
      { '"previousCounter":2', '"previousCounter":[2]' },
      { '"previousCounter":2,', "" }, { '"previousCounter":2', '"previousCounter":-0.5' },
      { '"baseKeyType":1,', "" }, { '"baseKeyType":1', '"baseKeyType":true' },
      { '"closed":-1', '"closed":-2' }, { '"closed":-1', '"closed":0' },
      { '"closed":-1', '"closed":999' }, { '"closed":-1', '"closed":null' },
      { '"closed":-1,"used":1010', '"used":1010,"closed":-1' },
      { '"used":1010', '"used":-1' }, { '"created":1000', '"created":-1' },
      { '"used":1010', '"used":1010.5' }, { '"created":1000', '"created":"1000"' },
      { '"used":1010,', "" }, { '"used":1010', '"used":1010,"x":1' },
      { ('"pubKey":"%s"'):format(own), ('"pubKey":"%s"'):format(base64(public(2, 6))) },
      { ('"pubKey":"%s"'):format(own), ('"pubKey":"%s"'):format(base64(key(2))) },
      { ('"pubKey":"%s"'):format(own), ('"pubKey":%s'):format(buffer(public(2))) },
      { ('"pubKey":"%s",'):format(own), "" },
      { ('"pubKey":"%s","privKey":"%s"'):format(own, own_private),
        ('"privKey":"%s","pubKey":"%s"'):format(own_private, own) },
      { own_private, base64(key(3):sub(1, 31)) }, { own_private, base64(key(3) .. "x") },
      { own_private, own_private:sub(1, -2) },
      { own_private, (own_private:gsub(".=$", "9=")) },
      { '"privKey":"' .. own_private .. '"', '"privKey":' .. buffer(key(3)) },
      { '"privKey":"' .. own_private .. '"', '"privKey":null' },
      { '"privKey":"' .. own_private .. '"', '"privKey":""' },
      { base64(key(5)), base64(public(5)) }, { base64(key(5)), "" },
      { base64(public(6)), base64(public(6, 4)) },
      { '"baseKey":"' .. base64(public(1)) .. '"',
        '"baseKey":"' .. base64(public(8)) .. '"' },
      { '{"' .. base64(public(1)) .. '":', '{"' .. base64(public(8)) .. '":' },
      { '{"' .. base64(public(1)) .. '":', '{"' .. base64(key(1)) .. '":' },
      { '{"' .. base64(public(1)) .. '":', '{"x":' },
      { '"chainType":2', '"chainType":3' }, { '"chainType":2', '"chainType":0' },
      { '"chainType":2', '"chainType":"2"' }, { '"chainType":2', '"chainType":1.5' },
      { '"chainType":2,', "" }, { '"chainType":1', '"chainType":1,"x":1' },
      { '"chainType":1,"messageKeys":{}', '"messageKeys":{},"chainType":1' },
      { '"messageKeys":{}', '"messageKeys":[]' },
      { '"messageKeys":{}', '"messageKeys":null' },
      { '"counter":5', '"counter":5.5' }, { '"counter":5', '"counter":null' },
      { '"counter":5', '"counter":5,"x":1' }, { '"counter":5,', "" },
      { base64(key(7)), base64(key(7):sub(2)) }, { base64(key(7)), base64(public(7)) },
      { '"counter":5,"key":"' .. base64(key(7)) .. '"',
        '"key":"' .. base64(key(7)) .. '","counter":5' },
      { '"3":"', '"03":"' }, { '"3":"', '"-3":"' }, { '"3":"', '"3a":"' },
      { '"3":"', '"":"' }, { '"3":"', '"9007199254740993":"' }, { '"3":"', '"key":"' },
      { base64(key(101)), base64(public(101)) }, { base64(key(101)), "" },
      { '"' .. base64(key(101)) .. '"', "{}" }, { '"' .. base64(key(101)) .. '"', "[]" },
      { '"' .. base64(key(101)) .. '"', buffer(key(101)) },
      { '{"' .. base64(public(4)) .. '":', '{"' .. base64(public(4, 6)) .. '":' },
      { '{"' .. base64(public(4)) .. '":', '{"chainKey":' },
      { remote_chain, '"x":null' }, { remote_chain, '"x":{}' },
      { '"signedKeyId":9,', "" }, { '"signedKeyId":9', '"signedKeyId":"9"' },
      { '"signedKeyId":9', '"signedKeyId":9,"x":1' }, { '"preKeyId":5', '"preKeyId":{}' },
      { '"preKeyId":5', '"preKeyId":5.5' }, { '"preKeyId":5', '"x":5' },
      { base64(public(9)), base64(public(9, 0)) },
      { ',"pendingPreKey"', ',"x":1,"pendingPreKey"' },
      { ',"pendingPreKey"', ',"pendingprekey"' },
      { '"preKeyId":5}', '"preKeyId":5},"version":"v1"' },
      { '"preKeyId":5}', '"preKeyId":5},"x":1' },
      { '"preKeyId":5}}}', '"preKeyId":5}},"x":{}}' },
      { remote_chain, remote_chain:sub(1, -2) .. "," .. chain(9, 1, 7, 1) .. "}" },
      { remote_chain, remote_chain:sub(1, -2) .. ',"used":1}' },
      { '"_chains":{', '"_chains":{"":{},' },
    } do
      assert_form("a", change(whole, changes[1], changes[2]))
    end
  end)

  it("is read at any depth at which its text is", function()
    local function nest(levels, bottom)
      return ("["):rep(levels) .. bottom .. ("]"):rep(levels)
    end
    assert_form("81", nest(254, session()))
    assert_form("81", nest(251, session(state { chains = "" })))
    assert_form("81", nest(250, session(state())))
    assert_form("81", nest(254, ('{"private":%s,"public":%s}'):format(buffer(key(1)),
      buffer(key(2)))))
    assert_form("81", nest(255, '{"5@lid":true}'))
    assert_form("81", nest(253, ('{"%s":{"valueMac":%s}}'):format(base64(key(1)),
      buffer(key(2)))))
  end)
end)

-- ---- sender-keys ---------------------------------------------------------------------

local function seed(iteration, n)
  return ('{"iteration":%s,"seed":%s}'):format(iteration, byte_array(key(n)))
end

local function sender_state(options)
  local o = setmetatable(options or {}, { __index = {
    id = 443880395, iteration = 0, private = byte_array "", messages = "",
  } })
  return ('{"senderKeyId":%s,"senderChainKey":%s,"senderSigningKey":{"public":%s,'
    .. '"private":%s},"senderMessageKeys":[%s]}'):format(o.id, seed(o.iteration, 1),
    byte_array(public(2)), o.private, o.messages)
end

local function sender_key(...)
  return buffer("[" .. table.concat({ ... }, ",") .. "]")
end

describe("a sender-key", function()
  it("is an array of states, in a Buffer with JSON text", function()
    assert_form(SENDER_KEY .. "81" .. "83" .. "5840" .. hex.encode(key(1) .. key(2))
      .. "1a1a7513cb" .. "00", sender_key(sender_state()))
    assert_form(SENDER_KEY .. "81" .. "83" .. "5860"
      .. hex.encode(key(1) .. key(2) .. key(3)) .. "1a1a7513cb" .. "1901f4",
      sender_key(sender_state { private = byte_array(key(3)), iteration = 500 }))
    assert_form(SENDER_KEY .. "81" .. "85" .. "5880"
      .. hex.encode(key(1) .. key(2) .. key(4) .. key(5)) .. "1a1a7513cb" .. "00"
      .. "07" .. "05", sender_key(sender_state {
        messages = seed(7, 4) .. "," .. seed(5, 5),
      }))
    assert_form("a1c705" .. SENDER_KEY, '{"5":' .. sender_key(sender_state()) .. "}")
  end)

  it("may have up to 23 states, and numbers up to 2^53", function()
    local states = {}
    for i = 1, 23 do states[i] = sender_state { id = i } end
    assert_form(SENDER_KEY .. "97", sender_key(unpack(states)))
    states[24] = sender_state()
    assert_form(JSON_BYTES .. "9818" .. "a4", sender_key(unpack(states)))
    assert_form(SENDER_KEY, sender_key(sender_state { id = LARGEST, iteration = LARGE }))
    assert_form(SENDER_KEY, sender_key(sender_state { messages = seed(LARGEST, 4) }))
    local messages = {}
    for i = 1, 2000 do messages[i] = seed(i, i % 256) end
    assert_form(SENDER_KEY, sender_key(sender_state {
      messages = table.concat(messages, ","), private = byte_array(key(9)),
    }))
  end)

  it("is JSON in a Buffer when it differs in the least", function()
    local whole = sender_state { private = byte_array(key(3)), messages = seed(7, 4) }
    local list_1 = table.concat({ key(1):byte(1, -1) }, ",")
    local list_2 = table.concat({ public(2):byte(1, -1) }, ",")
    local list_4 = table.concat({ key(4):byte(1, -1) }, ",")
    assert_form(SENDER_KEY, sender_key(whole))
    for _, changes in ipairs {
      { '"senderKeyId":443880395', '"senderKeyId":"443880395"' },
      { '"senderKeyId":443880395', '"senderKeyId":-1' },
      { '"senderKeyId":443880395', '"senderKeyId":1.5' },
      { '"senderKeyId":443880395', '"senderKeyId":null' },
      { '"senderKeyId":443880395', '"senderKeyId":9007199254740994' },
      { '"senderKeyId":443880395', '"senderKeyId":9007199254740992000' },
      { '"senderKeyId":443880395,', "" }, { '"senderKeyId"', '"senderkeyId"' },
      { '"senderKeyId":443880395', '"x":1,"senderKeyId":443880395' },
      { '"iteration":0', '"iteration":-1' }, { '"iteration":7', '"iteration":-7' },
      { '"iteration":0', '"iteration":0.5' }, { '"iteration":7', '"iteration":1e+21' },
      { '"iteration":7,', "" }, { '"iteration":7', '"x":7' },
      { byte_array(key(1)), buffer(key(1)) }, { byte_array(key(4)), buffer(key(4)) },
      { byte_array(public(2)), buffer(public(2)) },
      { byte_array(public(2)), quote(base64(public(2))) },
      { byte_array(key(3)), buffer(key(3)) }, { byte_array(key(3)), buffer "" },
      { byte_array(key(3)), "null" }, { byte_array(key(3)), byte_array(public(3)) },
      { byte_array(key(3)), byte_array(key(3):sub(2)) },
      { ',"private":' .. byte_array(key(3)), "" },
      { list_1, list_1 .. ",0" }, { list_1, list_1:gsub(",%d+$", "") },
      { list_1, (list_1:gsub("254", "256")) }, { list_1, "" },
      { list_2, (list_2:gsub("^5", "6")) }, { list_2, (list_2:gsub("^5,", "")) },
      { list_4, (list_4:gsub("251", "2510", 1)) },
      { list_4, (list_4:gsub(",", ",-", 1)) },
      { list_4, (list_4:gsub("251", '"251"', 1)) },
      { list_4, (list_4:gsub("251", "[]", 1)) },
      { '"senderMessageKeys":[', '"senderMessageKeys":[{},' },
      { '"senderMessageKeys":[', '"senderMessageKeys":[null,' },
      { '"senderMessageKeys":[' .. seed(7, 4) .. "]", '"senderMessageKeys":{}' },
      { ',"senderMessageKeys":[' .. seed(7, 4) .. "]", "" },
      { '"senderMessageKeys"', '"x":1,"senderMessageKeys"' },
      { '"senderMessageKeys":[' .. seed(7, 4) .. "]",
        '"senderMessageKeys":[' .. seed(7, 4) .. '],"x":1' },
      { '"senderSigningKey":{"public"', '"senderSigningKey":{"x":1,"public"' },
    } do
      assert_form(JSON_BYTES .. "8", sender_key(change(whole, changes[1], changes[2])))
      assert_form(JSON_BYTES .. "82", sender_key(sender_state(),
        change(whole, changes[1], changes[2])))
    end
  end)

  it("is bytes when its text is not what JSON.stringify writes", function()
    for _, text in ipairs {
      "[" .. sender_state() .. "] ", " [" .. sender_state() .. "]",
      "[" .. sender_state() .. "]x", "[" .. sender_state() .. ",]",
      "[" .. sender_state(), "[" .. change(sender_state(), ":0,", ":00,") .. "]",
      "[" .. change(sender_state(), ":0,", ":0.0,") .. "]",
      "[" .. change(sender_state(), ":443880395", ":0443880395") .. "]",
      "[" .. change(sender_state(), "[1,254", "[1,0254") .. "]",
      "[" .. change(sender_state(), "[1,254", "[1,,254") .. "]",
      "[" .. change(sender_state(), "[1,254", "[1, 254") .. "]",
      "[" .. change(sender_state(), '"senderKeyId"', '"senderKeyI\\u0064"') .. "]",
      "[" .. change(sender_state(), '"seed"', '"iteration":0,"seed"') .. "]",
    } do
      assert_form("59", buffer(text))
    end
  end)

  it("is JSON in a Buffer when it has no states", function()
    assert_form(JSON_BYTES .. "80", sender_key())
  end)

  it("is an array when it is in no Buffer", function()
    assert_form("81a4", "[" .. sender_state() .. "]")
  end)
end)

-- ---- sets ----------------------------------------------------------------------------

describe("a set of jids", function()
  it("is one jid after the other", function()
    assert_form(JIDS .. "42" .. "0105", '{"5@lid":true}')
    assert_form(JIDS .. "45" .. "0105" .. "08ff06",
      '{"5@lid":true,"6:255@s.whatsapp.net":true}')
    local members = {}
    for i = 1, 5000 do
      members[i] = ('"%d@s.whatsapp.net":true'):format(5521980000000 + i)
    end
    for _, count in ipairs { 3, 4, 33, 40, 5000 } do
      assert_form(JIDS, "{" .. table.concat(members, ",", 1, count) .. "}")
    end
  end)

  it("is an object when one member is another", function()
    for _, member in ipairs {
      '"6@lid":false', '"6@lid":null', '"6@lid":1', '"6@lid":"true"', '"6@lid":{}',
      '"6@lid":[true]', '"6":true', '"06@lid":true', '"6:256@lid":true', '"lid":true',
      '"":true', '"6@example.com":true', '"closed":true', '"\\ud800":true',
    } do
      assert_form("a2", '{"5@lid":true,' .. member .. "}")
      assert_form("a2", "{" .. member .. ',"5@lid":true}')
    end
    assert_form("a0", "{}")
  end)
end)

describe("a map of value MACs", function()
  local function entry(n, m)
    return ('"%s":{"valueMac":%s}'):format(base64(key(n)), buffer(key(m)))
  end

  it("is one entry after the other", function()
    assert_form(VALUE_MACS .. "5840" .. hex.encode(key(1) .. key(2)),
      "{" .. entry(1, 2) .. "}")
    local entries = {}
    for i = 1, 250 do entries[i] = entry(i, 255 - i) end
    for _, count in ipairs { 2, 3, 4, 250 } do
      assert_form(VALUE_MACS, "{" .. table.concat(entries, ",", 1, count) .. "}")
    end
    assert_form("a3" .. "2c00" .. "2d", '{"version":0,"hash":"","indexValueMap":{}}')
  end)

  it("is an object when one entry is another", function()
    local mac = buffer(key(4))
    for _, member in ipairs {
      ('"%s":{"valueMac":%s}'):format(base64(public(3)), mac),
      ('"%s":{"valueMac":%s}'):format(base64(key(3):sub(1, 31)), mac),
      ('"%s":{"valueMac":%s}'):format(base64(key(3)):sub(1, -2), mac),
      ('"%s":{"valuemac":%s}'):format(base64(key(3)), mac),
      ('"%s":{"valueMac":%s,"x":1}'):format(base64(key(3)), mac),
      ('"%s":{}'):format(base64(key(3))), ('"%s":%s'):format(base64(key(3)), mac),
      ('"%s":{"valueMac":%s}'):format(base64(key(3)), byte_array(key(4))),
      ('"%s":{"valueMac":%s}'):format(base64(key(3)), buffer(public(4))),
      ('"%s":{"valueMac":"%s"}'):format(base64(key(3)), base64(key(4))),
      ('"%s":{"valueMac":null}'):format(base64(key(3))),
      ('"key":{"valueMac":%s}'):format(mac),
    } do
      assert_form("a2", "{" .. entry(1, 2) .. "," .. member .. "}")
      assert_form("a2", "{" .. member .. "," .. entry(1, 2) .. "}")
    end
  end)
end)

-- ---- what nobody packs ---------------------------------------------------------------

-- A state's items behind its keys: six numbers, then these chains.
local function state_hex(keys, chains, more)
  return ("%s58%02x%s000000000020%s"):format(more and "89" or "88", 32 * keys,
    ("00"):rep(32 * keys), chains) .. (more or "")
end

local function keys_hex(count)
  if count == 0 then return "40" end
  return ("58%02x"):format(32 * count) .. ("11"):rep(32 * count)
end

describe("a packed record that is damaged", function()
  local REFUSED = {
    { "c843010500", "tag 8 without a jid" }, { "c84101", "tag 8 without a jid" },
    { "c8428105", "tag 8 without a jid" }, { "c8421105", "tag 8 without a jid" },
    { "c749000000000000000000", "tag 7 without a number" },
    { "c720", "tag 7 without a number" }, { "c76131", "tag 7 without a number" },
    { "cd4301", "longer" }, { "cd43010500", "without jids" },
    { "ca583f" .. ("00"):rep(63), "a part of a key" },
    { "ca5860" .. ("00"):rep(96), "a key pair of another length" },
    { "ca40", "a key pair of another length" }, { "ca80", "than a byte string" },
    { "ce5860" .. ("00"):rep(96), "a part of an entry" },
    { "cba0", "than an array" }, { "cb8180", "a session of another form" },
    { "cb81" .. state_hex(5, "80"), "another number of keys in a session" },
    { "cb81" .. state_hex(7, "80"), "another number of keys in a session" },
    { "cb81" .. state_hex(6, "8180"), "a chain cut short" },
    { "cb81" .. state_hex(6, "81820100"), "a chain cut short" },
    { "cb81" .. state_hex(6, "81830300" .. keys_hex(0)), "a chain of another form" },
    { "cb81" .. state_hex(6, "81831000" .. keys_hex(0)), "a chain of another form" },
    { "cb81" .. state_hex(6, "81832000" .. keys_hex(0)), "a chain of another form" },
    { "cb81" .. state_hex(6, "81830000" .. keys_hex(1)), "a chain of another form" },
    { "cb81" .. state_hex(6, "81830800" .. keys_hex(0)), "a chain of another form" },
    { "cb81" .. state_hex(6, "81830200" .. keys_hex(0)), "a chain of another form" },
    { "cb81" .. state_hex(6, "81840000" .. keys_hex(0) .. "00"), "of another form" },
    { "cb81" .. state_hex(6, "81840000" .. keys_hex(1) .. "20"), "of no number" },
    { "cb81" .. state_hex(6, "81840000" .. keys_hex(1) .. "f6"), "than an integer" },
    { "cb81" .. state_hex(6, "80", "8100"), "a pre-key of another form" },
    { "cb81" .. state_hex(6, "80", "8200" .. keys_hex(2)), "a pre-key of another form" },
    { "cb81" .. state_hex(6, "80", "8400400000"), "a pre-key of another form" },
    { "c9cc81820000", "a sender-key cut short" },
    { "c9cc8180", "a sender-key cut short" },
    { "c9cc8183" .. keys_hex(1) .. "0000", "number of keys in a sender-key" },
    { "c9cc8183" .. keys_hex(4) .. "0000", "number of keys in a sender-key" },
    { "c9cc8184" .. keys_hex(2) .. "000000", "number of keys in a sender-key" },
    { "c9cc8183" .. keys_hex(2) .. "00f6", "than an integer" },
    { "cc8183" .. keys_hex(2) .. "0000", "tag 12 without tag 9" },
    { "c9c980", "tag 9 inside of tag 9" },
    { ("81"):rep(255) .. "cb80", "256 levels" },
    { ("81"):rep(252) .. "cb81" .. state_hex(6, "80"), "256 levels" },
    { ("81"):rep(251) .. "cb81" .. state_hex(6, "81830000" .. keys_hex(0)),
      "256 levels" },
    { ("81"):rep(255) .. "ca" .. keys_hex(2), "256 levels" },
    { ("81"):rep(254) .. "ce" .. keys_hex(2), "256 levels" },
    { ("81"):rep(256) .. "cd40", "256 levels" },
  }

  it("is refused with a reason", function()
    for _, case in ipairs(REFUSED) do
      local stored = hex.decode("80" .. case[1])
      for _, read in ipairs { core.decode, core.json_decode } do
        local value, message, code = read(stored)
        assert.is_nil(value, case[1])
        assert.equal("corrupt", code)
        assert.matches(case[2], message, 1, true)
      end
    end
  end)
end)

-- ---- real records --------------------------------------------------------------------

-- The form of each type of record in the fixtures, as a pattern.
local FORMS = {
  ["identity-key"] = "^58", ["lid-mapping"] = "^c7", ["pre-key"] = "^ca5840",
  ["app-state-sync-key"] = "^a3", ["sender-key-memory"] = "^cd",
  ["app-state-sync-version"] = "^a3", tctoken = "^a[12]", ["sender-key"] = "^c9cc",
  ["device-list"] = "^8", session = "^cb",
}

-- How many times as long the JSON text is, at least.
local GAINS = {
  ["sender-key"] = 7, session = 3, ["sender-key-memory"] = 4.5, ["pre-key"] = 2.3,
}

for _, name in ipairs(FIXTURES) do
  local records = core.split_session(fixture.read(name))

  describe("a real record of " .. name, function()
    for type_name, texts in pairs(records.keys) do
      it("is packed when it is a " .. type_name, function()
        local text_bytes, stored_bytes = 0, 0
        for _, text in pairs(texts) do
          assert_form("", text)
          local stored = core.json_encode(text)
          assert.matches(FORMS[type_name], hex.encode(stored:sub(2, 4)))
          text_bytes, stored_bytes = text_bytes + #text, stored_bytes + #stored
        end
        local gain = text_bytes / stored_bytes
        assert.is_true(gain >= (GAINS[type_name] or 1), gain)
      end)
    end

    it("is packed when it is the creds", function()
      assert_form("b4", records.creds)
    end)

    it("that was stored before values were packed is read", function()
      local count = 0
      for _, texts in pairs(records.keys) do
        for _, text in pairs(texts) do
          local stored = "\x80" .. plain_cbor.encode(text)
          assert.equal(text, core.json_decode(stored))
          assert.is_true(same(core.from_json(text), core.decode(stored)))
          count = count + 1
        end
      end
      assert.equal(records.records, count)
      local stored = "\x80" .. plain_cbor.encode(records.creds)
      assert.equal(records.creds, core.json_decode(stored))
    end)
  end)
end

describe("a value that was stored before values were packed", function()
  it("is read, byte for byte as it was written", function()
    for bytes, text in pairs {
      ["80 82 6130 6132"] = '["0","2"]',
      ["80 a2 65746f6b656e 43010203 6974696d657374616d70 6a31373030303030303030"] =
        '{"token":{"type":"Buffer","data":"AQID"},"timestamp":"1700000000"}',
      ["80 a2 6770726976617465 4101 667075626c6963 4102"] =
        '{"private":{"type":"Buffer","data":"AQ=="},'
        .. '"public":{"type":"Buffer","data":"Ag=="}}',
      ["80 a1 667075626c6963 a2 6130 01 6131 02"] = '{"public":{"0":1,"1":2}}',
      ["80 d90106 43 312e30"] = "1.0",
    } do
      assert.equal(text, core.json_decode(hex.decode(bytes)))
      assert.is_true(same(core.from_json(text), core.decode(hex.decode(bytes))))
    end
  end)
end)
