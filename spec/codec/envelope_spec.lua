-- SPDX-License-Identifier: MIT

-- The first byte of a stored value, and stored values that are damaged.

local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local hex = require "spec.codec.hex"
local program = require "spec.base.program"
local random = require "spec.support.random"

-- Of values that are damaged bit by bit.
local LONGEST = 1500

-- Both readers must give the same answer: a value, or a reason.
local function read(stored, max_bytes)
  local value, message, code = core.decode(stored, max_bytes)
  local text, text_message = core.json_decode(stored, max_bytes)
  if value == nil then
    assert.equal("corrupt", code)
    assert.is_string(message)
    assert.equal(message, text_message)
    return nil, message
  end
  if not text or core.from_json(text) == nil then
    error(hex.encode(stored) .. ": " .. tostring(text_message or text))
  end
  return value
end

-- Whether there is time for more: `make check` runs the specs under the sanitizers.
local IS_CHECK = os.getenv "AUTHSTATE_BUILD" == "sanitize"

local COMPRESSORS = { lz4 = 1, zstd = 2, deflate = 3 }

local function sealing(compressor, serializer)
  return core.sealing {
    compressor = compressor, serializer = serializer or "cbor", threshold_bytes = 0,
    min_gain_bytes = 1, min_gain_percent = 0,
  }
end

local PENDING = '},"pendingPreKey":{"signedKeyId":9,"baseKey":'
  .. '"BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC","preKeyId":5}}},"version":"v1"}'

-- What the fixtures lack: a pending pre-key, JSON text in a Buffer that is no sender-key,
-- bytes in every form, a map of value MACs, strings that come again.
local function others()
  local key = core.bytes(("k"):rep(32)):base64()
  local json = core.bytes '{"a":["5",1.5]}':base64()
  local sessions = core.split_session(fixture.read "small.json.gz").keys.session
  local _, session = next(sessions)
  local list = {}
  for i, text in ipairs {
    (session:gsub('}}},"version":"v1"}$', PENDING)),
    ('{"type":"Buffer","data":"%s"}'):format(json),
    '{"hash":{"0":1,"1":2},"x":{"type":"Buffer","data":[1,2]},"y":[1,2,3,4]}',
    ('{"%s":{"valueMac":{"type":"Buffer","data":"%s"}}}'):format(key, key),
    ' {"a":[1.0,"\\ud800"]}', '{"\\ud800":["\\udc00",-1.5,1e+300,true,null]}',
    '[{"data":"AQID","type":"Buffer"},{"public":{"1":1,"0":2}}]',
  } do
    list[i] = assert(core.json_encode(text))
  end
  for _, bytes in ipairs {
    "80 d90100 84 43010203 6461626364 d81900 d9010082 43616263 d81900",
    "80 d90100 83 a2 6474797065 66427566666572 6464617461 6441514944 d81900 d81902",
  } do
    list[#list + 1] = hex.decode(bytes)
  end
  return list
end

-- Which form a record has: the shortest of each is damaged.
local function form_of(type_name, text)
  local form = type_name
  for _, pattern in ipairs { '"messageKeys":{"%d', '"closed":%d', ":%d+@" } do
    form = form .. (text:find(pattern) and " yes" or " no")
  end
  return form .. " " .. math.min(2, math.floor(#text / 2000))
end

-- Stored values of every form of every type of record in both fixtures.
local function samples()
  local list, shortest = others(), {}
  local function note(form, text)
    local stored = assert(core.json_encode(text))
    if not shortest[form] or #stored < #shortest[form] then shortest[form] = stored end
  end
  for _, name in ipairs { "small.json.gz", "large.json.gz" } do
    local session = core.split_session(fixture.read(name))
    note("creds", session.creds)
    for type_name, records in pairs(session.keys) do
      for _, text in pairs(records) do note(form_of(type_name, text), text) end
    end
  end
  for _, stored in pairs(shortest) do
    if #stored <= LONGEST then list[#list + 1] = stored end
  end
  assert(#list > 25)
  return list
end

-- Values that are compressed, by each compressor and serializer.
local function compressed_samples()
  local list = {}
  local text = ('{"name":"%s","id":"x","again":"%s"}'):format(("ab c"):rep(20),
    ("ab c"):rep(9))
  for compressor, code in pairs(COMPRESSORS) do
    for serializer, low_bits in pairs { cbor = 0, json = 1 } do
      local stored = core.json_encode(text, nil, sealing(compressor, serializer))
      assert.equal(0x80 + 32 * code + low_bits, stored:byte(1))
      list[#list + 1] = stored
    end
  end
  return list
end

describe("an envelope", function()
  it("of our own begins with 0x80", function()
    assert.equal("80a0", hex.encode(core.encode {}))
    assert.equal("80a0", hex.encode(core.json_encode "{}"))
  end)

  it("may be missing: foreign JSON is read as it stands", function()
    assert.same({ a = { 1 } }, core.decode ' {"a": [1.0]}\n')
    assert.equal(' {"a": [1.0]}\n', core.json_decode ' {"a": [1.0]}\n')
    local value, message = core.decode '{"a":'
    assert.is_nil(value)
    assert.matches("not JSON at byte 5", message)
  end)

  it("is refused when it is not known, and the message says what is not", function()
    local cases = {
      ["82"] = "serializer 2", ["83"] = "serializer 3", ["84"] = "serializer 4",
      ["87"] = "serializer 7", ["8f"] = "serializer 15", ["90"] = "encrypted",
      ["e2"] = "serializer 2",
    }
    for header, reason in pairs(cases) do
      local value, message = read(hex.decode(header .. "f6"))
      assert.is_nil(value)
      assert.matches(reason, message, 1, true)
    end
  end)

  it("is refused when there is nothing", function()
    assert.matches("empty", (select(2, read "")))
    assert.matches("unexpected end", (select(2, read "\x80")))
  end)

  it("is refused when it is longer than max_value_bytes", function()
    local stored = core.encode(("x y "):rep(25))
    assert.is_string(read(stored, #stored))
    local value, message = read(stored, #stored - 1)
    assert.is_nil(value)
    assert.matches("103 bytes.*102", message)
    assert.is_nil(core.decode(("[1]"):rep(10), 29))
  end)
end)

describe("a damaged stored value", function()
  local stored_values = samples()

  it("gives a reason when it is cut short anywhere", function()
    for _, stored in ipairs(stored_values) do
      for length = 0, #stored - 1 do
        assert.is_nil(read(stored:sub(1, length)))
      end
    end
  end)

  it("gives a reason when something follows it", function()
    for _, stored in ipairs(stored_values) do
      local value, message = read(stored .. "\0")
      assert.is_nil(value)
      assert.matches("after the end", message)
    end
  end)

  -- One of each byte's, in `make check` all.
  it("gives a value or a reason for every flipped bit", function()
    local dice = random.new()
    for _, stored in ipairs(stored_values) do
      for at = 1, #stored do
        local byte = stored:byte(at)
        local first = IS_CHECK and 0 or dice:integer(0, 7)
        for bit_index = first, IS_CHECK and 7 or first do
          local flipped = bit.bxor(byte, 2 ^ bit_index)
          read(stored:sub(1, at - 1) .. string.char(flipped) .. stored:sub(at + 1))
        end
      end
    end
  end)
end)

describe("a compressed stored value", function()
  local stored_values = compressed_samples()

  it("gives a reason when it is cut short anywhere, or goes on", function()
    for _, stored in ipairs(stored_values) do
      assert.is_table(read(stored))
      for length = 0, #stored - 1 do
        assert.is_nil(read(stored:sub(1, length)))
      end
      local value, message = read(stored .. "\0")
      assert.is_nil(value)
      assert.matches("damaged", message)
    end
  end)

  it("gives a value or a reason for every flipped bit, and every other byte", function()
    for _, stored in ipairs(stored_values) do
      for at = 1, #stored do
        for byte = 0, 255 do
          read(stored:sub(1, at - 1) .. string.char(byte) .. stored:sub(at + 1))
        end
      end
    end
  end)

  it("gives a reason when its size is another one, or not written as short as can be",
    function()
      for _, stored in ipairs(stored_values) do
        local header, size, packed = stored:sub(1, 1), stored:byte(2), stored:sub(4)
        if size < 128 then packed = stored:sub(3) end
        for _, wrong in ipairs {
          "", "\0", "\1", "\127", "\128", "\128\0", "\255\255\255\255\255\1",
          "\255\255\255\255\15", "\128\128\128\128\128",
          string.char(size % 128 + 128, math.floor(size / 128) + 128, 0),
        } do
          assert.is_nil(read(header .. wrong .. packed))
        end
      end
    end)

  it("takes at most a mebibyte for a kibibyte, whatever it promises; gains are exact",
    function()
      program.run(program.compile("spec/codec/envelope.c", { "core/base", "core/codec" },
        { "-lz", "-llz4", "-lzstd", "-lcrypto", "-lm" }), random.new():word())
    end)

  it("is what doc/envelope.md shows", function()
    local file = assert(io.open "doc/envelope.md")
    local section = file:read("*a"):match "\n## Compression\n(.-)\n## "
    file:close()
    local count = 0
    section = section:gsub("\n\n", "\n\n\n\n")
    for block in section:gmatch "\n\n(    .-)\n\n" do
      local bytes = {}
      for line in (block .. "\n"):gmatch "(.-)\n" do
        bytes[#bytes + 1] = line:match "^%s+(%x%x[%x ]-)%s%s" or ""
      end
      assert.equal(("ha "):rep(40), read(hex.decode(table.concat(bytes))))
      count = count + 1
    end
    assert.equal(3, count)
  end)
end)
