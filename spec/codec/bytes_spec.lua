-- SPDX-License-Identifier: MIT

local ffi = require "ffi"

local authstate = require "authstate.values"

local ALL_BYTES = {}
for byte = 0, 255 do ALL_BYTES[byte + 1] = string.char(byte) end
ALL_BYTES = table.concat(ALL_BYTES)

-- RFC 4648, section 10.
local BASE64 = {
  [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
  foobar = "Zm9vYmFy",
}

-- The message of an error that must be raised at this file's line.
local function error_of(fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  return message
end

describe("bytes", function()
  local key = authstate.bytes(("k"):rep(32))

  it("hold any content", function()
    for _, content in ipairs { "", "\0", "a\0b", ALL_BYTES, ("x"):rep(100000) } do
      local bytes = authstate.bytes(content)
      assert.equal(content, bytes:raw())
      assert.equal(#content, #bytes)
    end
  end)

  it("never show their content", function()
    assert.equal("bytes(32)", tostring(key))
    assert.equal("bytes(0)", tostring(authstate.bytes ""))
  end)

  it("are equal when their content is, and never equal to a string", function()
    assert.is_true(key == authstate.bytes(("k"):rep(32)))
    assert.is_false(key == authstate.bytes(("k"):rep(31)))
    assert.is_false(key == ("k"):rep(32))
    assert.is_true(authstate.bytes "" == authstate.bytes "")
  end)

  it("are read through FFI without a copy", function()
    local bytes = authstate.bytes(ALL_BYTES)
    local pointer = ffi.cast("const uint8_t *", bytes)
    for i = 0, #bytes - 1 do assert.equal(i, pointer[i]) end
  end)

  it("know their hexadecimal and base64 text", function()
    assert.equal("00ff10", authstate.bytes("\0\255\16"):hex())
    for content, text in pairs(BASE64) do
      assert.equal(text, authstate.bytes(content):base64())
      assert.is_true(authstate.from_base64(text) == authstate.bytes(content))
    end
    local all = authstate.bytes(ALL_BYTES)
    assert.is_true(authstate.from_hex(all:hex()) == all)
    assert.is_true(authstate.from_hex(all:hex():upper()) == all)
    assert.is_true(authstate.from_base64(all:base64()) == all)
  end)

  it("are told from other values", function()
    assert.is_true(authstate.is_bytes(key))
    for _, other in ipairs { "text", 1, {}, io.stdout, authstate.null } do
      assert.is_false(authstate.is_bytes(other))
    end
    assert.is_false(authstate.is_bytes(nil))
  end)

  it("cannot be changed", function()
    assert.equal("authstate.bytes", getmetatable(key))
    assert.has_error(function() key.raw = print end)
    assert.has_error(function() setmetatable(key, {}) end)
    assert.is_nil(key.anything)
  end)

  it("refuse what is no base64, and say what is", function()
    for _, text in ipairs {
      "A", "AA", "AAA", "A===", "====", "AB==", "AAB=", "AA==AA==", "AA=A", "-_-_",
      "AAA\n",
      "AA A", "\xc3\xa9AA",
    } do
      local message = error_of(function() authstate.from_base64(text) end)
      assert.matches("bytes_spec.lua:%d+: from_base64: .*accepted are A%-Z", message)
    end
  end)

  it("refuse what is no hexadecimal, and say what is", function()
    for _, text in ipairs { "0", "0g", "0x00", " 00" } do
      local message = error_of(function() authstate.from_hex(text) end)
      assert.matches("bytes_spec.lua:%d+: from_hex: .*accepted are 0%-9", message)
    end
  end)

  it("are not made from anything but a string", function()
    for _, other in ipairs { 1, {}, true } do
      assert.matches("string expected", error_of(authstate.bytes, other))
      assert.matches("string expected", error_of(authstate.from_hex, other))
      assert.matches("string expected", error_of(authstate.from_base64, other))
    end
  end)

  it("refuse methods on another value", function()
    assert.matches("bytes expected", error_of(key.raw, "text"))
    assert.matches("bytes expected", error_of(key.hex, io.stdout))
  end)
end)
