-- SPDX-License-Identifier: MIT

-- Values that are encrypted, as the store hands them to its keys; see keyring.c for what
-- only C can reach.

local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local hex = require "spec.codec.hex"
local program = require "spec.base.program"

local KEYS = { [1] = ("\1"):rep(32), [7] = ("\7"):rep(32) }
local PLACE = { "5511999999999", 1700000000000000, "pre-key", "1" }

-- Tries all that it tries, and gives what it prints: the example.
local function run_program()
  local libraries = { "-lz", "-llz4", "-lzstd", "-lcrypto", "-lm" }
  return program.run(program.compile("spec/codec/keyring.c",
    { "core/base", "core/codec" }, libraries))
end

local function new(is_required)
  return core.keyring(KEYS, 1, is_required)
end

describe("a keyring", function()
  it("encrypts for one place only, and bounds the use of a key", function()
    run_program()
  end)

  it("makes the example of doc/envelope.md", function()
    local made = run_program()
    local file = assert(io.open "doc/envelope.md")
    local text = file:read "*a"
    file:close()
    local example = text:match "\n## Encryption\n.-:\n\n(    90 .-)\n\n"
    local digits = {}
    for pairs_of_digits in (example .. "\n"):gmatch "    ([%x ]-)   [^\n]*\n" do
      digits[#digits + 1] = pairs_of_digits:gsub(" ", "")
    end
    assert.equal(made, table.concat(digits))
    local key = {}
    for i = 1, 32 do key[i] = string.char(i - 1) end
    local keyring = core.keyring({ [1] = table.concat(key) }, 1, true)
    assert.equal("\x80\x82\x61\x30\x61\x32", keyring:decrypt(hex.decode(made),
      "5511999999999", 1700000000000000, "device-list", "1"))
  end)

  it("gives back what it encrypted, as value, as text and as stored", function()
    local keyring = new(true)
    local session = core.split_session(fixture.read "small.json.gz")
    local count = 0
    for kind, records in pairs(session.keys) do
      for id, text in pairs(records) do
        local stored = core.json_encode(text)
        local encrypted = assert(keyring:encrypt(stored, "s", 9, kind, id))
        assert.equal(#stored + 37, #encrypted)
        assert.equal(1, keyring:key_id(encrypted))
        assert.equal(stored, keyring:decrypt(encrypted, "s", 9, kind, id))
        assert.equal(text, keyring:json_decode(encrypted, "s", 9, kind, id))
        assert.equal(core.to_json(core.decode(stored)),
          core.to_json(keyring:decode(encrypted, "s", 9, kind, id)))
        count = count + 1
      end
    end
    assert.is_true(count > 100)
    assert.is_nil(keyring:key_id "\x80\xa0")
  end)

  it("gives every value a nonce of its own", function()
    local keyring, seen = new(true), {}
    local stored = core.encode "the same"
    for _ = 1, 5000 do
      local nonce = keyring:encrypt(stored, unpack(PLACE)):sub(11, 22)
      assert.is_nil(seen[nonce])
      seen[nonce] = true
    end
  end)

  it("reads what is not encrypted, unless encryption is required", function()
    local lenient, strict = new(false), new(true)
    for _, stored in ipairs { core.encode { a = 1 }, '{"a":1}' } do
      assert.same({ a = 1 }, lenient:decode(stored, unpack(PLACE)))
      for _, method in ipairs { "decode", "json_decode", "decrypt" } do
        local value, message, code = strict[method](strict, stored, unpack(PLACE))
        assert.is_nil(value)
        assert.equal("corrupt", code)
        assert.matches("not encrypted", message, 1, true)
      end
    end
  end)

  it("gives no value when one bit is another one, or when it is cut", function()
    local keyring = new(false)
    local stored = assert(keyring:encrypt(core.encode { token = "x" }, unpack(PLACE)))
    local function refused(damaged)
      for _, method in ipairs { "decode", "json_decode" } do
        local value, message, code = keyring[method](keyring, damaged, unpack(PLACE))
        assert.is_nil(value)
        assert.is_string(message)
        assert.equal("corrupt", code)
      end
    end
    for at = 1, #stored do
      refused(stored:sub(1, at - 1))
      for bit = 0, 7 do
        local byte = require "bit".bxor(stored:byte(at), 2 ^ bit)
        refused(stored:sub(1, at - 1) .. string.char(byte) .. stored:sub(at + 1))
      end
    end
  end)

  it("does not show its keys, and has none once it is closed", function()
    local keyring = new(false)
    local stored = keyring:encrypt(core.encode "x", unpack(PLACE))
    assert.not_matches("\1\1", tostring(keyring), 1, true)
    keyring:close()
    keyring:close()
    local value, message, code = keyring:decode(stored, unpack(PLACE))
    assert.is_nil(value)
    assert.equal("key id 1 not configured", message)
    assert.equal("corrupt", code)
    value, message = keyring:encrypt(core.encode "x", unpack(PLACE))
    assert.is_nil(value)
    assert.equal("there is no primary key", message)
  end)

  it("takes no wrong arguments", function()
    assert.has_error(function() core.keyring({ [256] = KEYS[1] }, 256) end)
    assert.has_error(function() core.keyring({ [1] = "short" }, 1) end)
    assert.has_error(function() core.keyring({ [1] = KEYS[1] }, 2) end)
    local keyring = new(false)
    for _, generation in ipairs { -1, 2 ^ 54, 0 / 0, "x" } do
      assert.has_error(function()
        keyring:encrypt(core.encode "x", "s", generation, "t", "i")
      end)
    end
  end)

  it("can be asked while it makes a value: a finalizer may read too", function()
    local keyring = new(true)
    local stored = keyring:encrypt(core.encode { ("x"):rep(100) }, unpack(PLACE))
    local asked = 0
    for _ = 1, 2000 do
      local proxy = newproxy(true)
      getmetatable(proxy).__gc = function()
        asked = asked + 1
        assert(keyring:decode(stored, unpack(PLACE))[1] == ("x"):rep(100))
      end
      assert.same({ ("x"):rep(100) }, keyring:decode(stored, unpack(PLACE)))
    end
    collectgarbage()
    assert.is_true(asked > 0)
  end)

  it("refuses a value that is larger than is allowed before it decrypts it", function()
    local keyring = new(true)
    local stored = keyring:encrypt(core.encode(("x"):rep(100)), unpack(PLACE))
    local session, generation, kind, id = unpack(PLACE)
    local function decode(max_bytes)
      return keyring:decode(stored, session, generation, kind, id, max_bytes)
    end
    assert.equal(("x"):rep(100), decode(#stored))
    assert.matches("max_value_bytes %(99%)", (select(2, decode(99))))
  end)
end)
