-- SPDX-License-Identifier: MIT

-- The first byte of a stored value, and stored values that are damaged.

local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local hex = require "spec.codec.hex"

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

-- Stored values of every type of record, none too long to damage it bit by bit.
local function samples()
  local session = core.split_session(fixture.read "small.json.gz")
  local list = { assert(core.json_encode(session.creds)) }
  for type_name, records in pairs(session.keys) do
    local shortest
    for _, text in pairs(records) do
      local stored = core.json_encode(text)
      if not shortest or #stored < #shortest then shortest = stored end
    end
    list[#list + 1] = assert(shortest, type_name)
  end
  list[#list + 1] = core.json_encode ' {"a":[1.0,"\\ud800"]}'
  list[#list + 1] = core.json_encode '{"\\ud800":["\\udc00",-1.5,1e+300,true,null]}'
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

  it("gives a value or a reason for every flipped bit", function()
    for _, stored in ipairs(stored_values) do
      for at = 1, #stored do
        local byte = stored:byte(at)
        for bit_index = 0, 7 do
          local flipped = bit.bxor(byte, 2 ^ bit_index)
          read(stored:sub(1, at - 1) .. string.char(flipped) .. stored:sub(at + 1))
        end
      end
    end
  end)
end)
