-- SPDX-License-Identifier: MIT

-- Strings that come again in one value.

local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local hex = require "spec.codec.hex"
local plain_cbor = require "spec.codec.plain_cbor"
local random = require "spec.support.random"
local record = require "spec.codec.record"

local base64, buffer, key = record.base64, record.buffer, record.key

local NAMESPACE = "^d90100"

local function payload(text)
  record.assert_form("", text)
  return hex.encode(core.json_encode(text):sub(2))
end

local function assert_references(text)
  assert.matches(NAMESPACE, payload(text))
end

local function assert_plain(text)
  assert.not_matches(NAMESPACE, payload(text))
end

local function array(texts)
  return "[" .. table.concat(texts, ",") .. "]"
end

local function times(text, count)
  local list = {}
  for i = 1, count do list[i] = text end
  return array(list)
end

describe("a string that comes again", function()
  local long = ("long text, "):rep(4)

  it("is a reference to where it stood first", function()
    assert.equal("d9010083" .. "782c" .. hex.encode(long) .. "d81900" .. "d81900",
      payload(times('"' .. long .. '"', 3)))
    assert.equal("d9010082" .. "5820" .. hex.encode(key(1)) .. "d81900",
      payload(times(buffer(key(1)), 2)))
  end)

  it("may be bytes here and base64 there, but not text here and bytes there", function()
    assert.equal("d9010083" .. "5820" .. hex.encode(key(1)) .. "d6d81900" .. "d81900",
      payload(array { buffer(key(1)), '"' .. base64(key(1)) .. '"', buffer(key(1)) }))
    assert_plain(array { '"' .. long .. '"', buffer(long) })
  end)

  it("may be a name", function()
    local text = ('{"%s":1}'):format(long)
    assert.equal("d9010083" .. "a1782c" .. hex.encode(long) .. "01" .. "a1d8190001"
      .. "a1d8190001", payload(times(text, 3)))
    local public = base64("\5" .. key(2))
    assert_references(('{"%s":{"x":"%s"},"y":"%s"}'):format(public, public, public))
  end)

  it("may be in a Buffer's JSON, and beside it bytes of a record too", function()
    local pair = ('{"private":%s,"public":%s}'):format(buffer(key(1)), buffer(key(2)))
    local text = buffer(times('"' .. long .. '"', 3))
    assert_references(text)
    local digits = #core.json_encode(array { pair, '"5"', text })
    assert.equal(2, #core.json_encode(array { pair, pair, text }) - digits)
  end)

  it("is written again when it is a record, or too short to be noticed", function()
    local pair = ('{"private":%s,"public":%s}'):format(buffer(key(1)), buffer(key(2)))
    assert_plain(times(pair, 2))
    assert_plain(times('{"5@lid":true,"5521980000959@lid":true}', 4))
    assert_plain(times("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]", 3))
    assert_plain(times('"' .. ("x y "):rep(5) .. '"', 20))
  end)

  it("is written again when that is not much longer", function()
    assert_plain(times('"' .. ("x y "):rep(5) .. '"', 2))
    assert_references(times('"' .. ("x y "):rep(6) .. '"', 2))
    assert_plain(array { '"short"', '"short"', '"short"', '"short"' })
    assert_plain(times('"18446744073709551615"', 20))
    assert_plain(times('"' .. base64(key(1):sub(1, 18)) .. '"', 2))
    assert_plain("[" .. ("true,"):rep(100) .. "null]")
    assert_plain(array { '"' .. long .. '"', '"' .. long .. 'x"', '"x' .. long .. '"' })
  end)

  it("is found however many strings are between, or else written again", function()
    for _, count in ipairs { 22, 23, 24, 25, 255, 256, 257, 65535, 65536, 65600 } do
      local list = { '"' .. long .. '"' }
      for i = 2, count do list[i] = ('"%05d-"'):format(i) end
      list[#list + 1] = list[1]
      list[#list + 1] = list[1]
      assert_references(array(list))
    end
  end)

  it("counts in numbers though it is too short to be replaced", function()
    local list = {}
    for i = 1, 300 do list[i] = ('"%s"'):format(("a"):rep(i % 9)) end
    list[301], list[302] = '"' .. long .. '"', '"' .. long .. '"'
    assert_references(array(list))
  end)

  it("is written again when it is digits", function()
    local text = '"' .. long .. '"'
    assert.matches("c748ffffffffffffffffc748ffffffffffffffff$",
      payload(array { text, text, '"18446744073709551615"', '"18446744073709551615"' }))
  end)

  it("may be in a value of 256 levels", function()
    local bottom = times('"' .. long .. '"', 3)
    assert_references(("["):rep(255) .. bottom .. ("]"):rep(255))
    local buffers = times(buffer(key(1)), 3)
    assert_references(("["):rep(254) .. buffers .. ("]"):rep(254))
  end)

  it("is written out when a small value would become large", function()
    local text = times('"' .. long:rep(10) .. '"', 1000)
    assert_plain(text)
    assert_references(times('"' .. long .. '"', 50))
  end)

  -- A reader takes such an object for bytes at once, and looks at no reference in it.
  it("is written out when an object of the value stands for bytes", function()
    local data = ('{"data":"%s","type":"Buffer"}'):format(base64(key(1)))
    assert_plain(array { data, data, data })
    assert_plain(array { data, buffer(key(2)), buffer(key(2)) })
  end)

  it("makes a session of another form a seventh smaller", function()
    local sessions = core.split_session(fixture.read "small.json.gz").keys.session
    local text_bytes, stored_bytes, plain_bytes = 0, 0, 0
    for _, text in pairs(sessions) do
      local other = text:gsub('"chainType"', '"x":1,"chainType"')
      record.assert_form("", other)
      local stored = core.json_encode(other)
      text_bytes, stored_bytes = text_bytes + #other, stored_bytes + #stored
      -- With an object that stands for bytes, no string is a reference.
      local list = ('[%s,{"value":"5","type":"Buffer"}]'):format(other)
      plain_bytes = plain_bytes + #core.json_encode(list) - 22
    end
    assert.is_true(stored_bytes < plain_bytes * 6 / 7, stored_bytes / plain_bytes)
    assert.is_true(stored_bytes < text_bytes * 0.55, stored_bytes / text_bytes)
  end)
end)

-- http://cbor.schmorp.de/stringref
describe("the number of a string", function()
  local function read(strings, reference)
    local items = {}
    for i, text in ipairs(strings) do items[i] = plain_cbor.encode('"' .. text .. '"') end
    items[#items + 1] = "\xd8\x19" .. plain_cbor.head(0, reference)
    local stored = "\x80\xd9\1\0" .. plain_cbor.head(4, #items) .. table.concat(items)
    local value = core.decode(stored)
    return value and value[#items]
  end

  -- What number `count` is, when as many strings have one before a string of m and one of
  -- l.
  local function string_of(count, more)
    local strings = {}
    for i = 1, count do strings[i] = ("%07d"):format(i) end
    strings[count + 1] = ("m"):rep(more)
    strings[count + 2] = ("l"):rep(9)
    return read(strings, count)
  end

  it("is for those that are longer than a reference would be", function()
    for count, least in pairs {
      [0] = 3, [1] = 3, [23] = 3, [24] = 4, [255] = 4, [256] = 5, [65535] = 5,
      [65536] = 7,
    } do
      assert.equal(("m"):rep(least), string_of(count, least), count)
      assert.equal(("l"):rep(9), string_of(count, least - 1), count)
    end
  end)
end)

describe("values of few strings, at random", function()
  local dice = random.new()

  local function string_text(pool)
    local text = dice:pick(pool)
    local kind = dice:integer(1, 4)
    if kind == 1 then return buffer(text) end
    if kind == 2 then return '"' .. base64(text) .. '"' end
    return '"' .. text .. '"'
  end

  local function value_text(pool, levels)
    local parts, seen = {}, {}
    local is_object = dice:chance(0.5)
    for _ = 1, dice:integer(0, 12) do
      local part = levels > 0 and dice:chance(0.3) and value_text(pool, levels - 1)
        or string_text(pool)
      local name = dice:pick(pool)
      if is_object then part = not seen[name] and ('"%s":%s'):format(name, part) end
      seen[name] = true
      parts[#parts + 1] = part or nil
    end
    local open, close = is_object and "{" or "[", is_object and "}" or "]"
    return open .. table.concat(parts, ",") .. close
  end

  it("come back byte for byte", function()
    local count = 0
    for _ = 1, random.rounds(3000) do
      local pool = {}
      for i = 1, dice:integer(1, 40) do
        pool[i] = ("abcdefgh 0123456789."):rep(3):sub(i, i + dice:integer(1, 40))
      end
      local text = value_text(pool, 3)
      record.assert_form("", text)
      if core.json_encode(text):find "^.\xd9\1%z" then count = count + 1 end
    end
    assert.is_true(count > 500, count)
  end)
end)
