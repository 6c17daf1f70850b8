-- SPDX-License-Identifier: MIT

-- JavaScript numbers and their text.

local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local numbers = dofile "spec/fixtures/numbers.lua"

-- A program that sets a locale with a decimal comma and reads, checks and writes the
-- texts it is given.
local COMMA_PROGRAM = [[
  local core, ffi = require "authstate.core", require "ffi"
  assert(os.setlocale("de_DE.UTF-8", "numeric"))
  ffi.cdef "int snprintf(char *, size_t, const char *, ...);"
  local written = ffi.new "char[8]"
  ffi.C.snprintf(written, 8, "%.1f", 0.5)
  assert(ffi.string(written) == "0,5") -- C has the comma, LuaJIT's own format never
  for _, text in ipairs(arg) do
    print(core.to_json(core.from_json(text)), core.json_encode(text):byte(2, 4))
  end
]]

local KEPT_WHOLE = "\x80\xd9\x01\x06"

local function text_of(value)
  return core.to_json(value)
end

local function value_of(text)
  return core.from_json(text)
end

local function is_canonical(text)
  return core.json_encode(text):sub(1, #KEPT_WHOLE) ~= KEPT_WHOLE
end

local SAMPLES = {
  ["0.1"] = 0.1, ["1.5"] = 1.5, ["-2.25"] = -2.25, ["1e+21"] = 1e21, ["1e-7"] = 1e-7,
  ["0.30000000000000004"] = 0.1 + 0.2,
  ["1.7976931348623157e+308"] = 1.7976931348623157e308,
  ["5e-324"] = 2 ^ -1074, ["123456789012345680000"] = 123456789012345680000,
}

describe("a number", function()
  local expected = numbers.parse(fixture.read "numbers.txt.gz")

  it("is written as JavaScript writes it, for 100,000 doubles", function()
    local texts, compared = {}, 0
    for index, value, family in numbers.each(expected) do
      local text = text_of(value)
      local known = expected.texts[index]
      if known then assert.equal(known, text, family) end
      texts[#texts + 1] = text
      if #texts == expected.block then
        assert.equal(expected.digests[index / expected.block], numbers.digest(texts))
        texts, compared = {}, compared + expected.block
      end
    end
    assert.equal(100000, compared)
  end)

  it("reads back as the same double, for 100,000 doubles", function()
    for _, value in numbers.each(expected) do
      local text = text_of(value)
      if value_of(text) ~= value or not is_canonical(text) then error(text) end
    end
  end)

  it("has the shortest text also at powers of two", function()
    assert.equal("5.684341886080802e-14", text_of(2 ^ -44))
    assert.equal("9.5367431640625e-7", text_of(2 ^ -20))
    assert.equal("2.2250738585072014e-308", text_of(2 ^ -1022))
    assert.equal("1.2379400392853803e+27", text_of(2 ^ 90))
    assert.equal("9.671406556917033e+24", text_of(2 ^ 83))
  end)

  it("is -0 as 0", function()
    assert.equal("0", text_of(-0.0))
    assert.equal("[0]", core.json_decode(core.encode { -0.0 }))
  end)

  it("is an integer up to 2^53", function()
    assert.equal("9007199254740992", text_of(2 ^ 53))
    assert.equal("-9007199254740992", text_of(-2 ^ 53))
    assert.equal("9007199254740994", text_of(2 ^ 53 + 2))
    assert.equal("\x80\x1b\0\x20\0\0\0\0\0\0", core.encode(2 ^ 53))
  end)

  it("reads right whatever the length of its text", function()
    local half_way = "9007199254740993"
    assert.equal(2 ^ 53, value_of(half_way))
    assert.equal(2 ^ 53, value_of(half_way .. "." .. ("0"):rep(2000)))
    assert.equal(2 ^ 53 + 2, value_of(half_way .. "." .. ("0"):rep(2000) .. "1"))
    assert.equal(1, value_of("0." .. ("0"):rep(5000) .. "1e5001"))
    assert.equal(1, value_of("1" .. ("0"):rep(5000) .. "e-5000"))
    assert.equal(0, value_of("0e" .. ("9"):rep(5000)))
    assert.equal(0, value_of("1e-" .. ("9"):rep(5000)))
    assert.equal(math.huge, value_of("1e" .. ("9"):rep(5000)))
    assert.equal(-math.huge, value_of("-1e400"))
  end)

  it("is the same under a locale with a decimal comma", function()
    local locales = temporary.directory()
    local made, _, reason = process.run {
      "localedef", "-i", "de_DE", "-f", "UTF-8", locales .. "/de_DE.UTF-8",
    }
    assert.equal(0, made, reason)
    local command = {
      "luajit", temporary.file(COMMA_PROGRAM, "comma.lua"), env = { LOCPATH = locales },
    }
    local expected_lines = {}
    for text in pairs(SAMPLES) do
      command[#command + 1] = text
      expected_lines[#expected_lines + 1] =
        table.concat({ text, core.json_encode(text):byte(2, 4) }, "\t")
    end
    local code, out, err = process.run(command)
    assert.equal(0, code, err)
    assert.equal(table.concat(expected_lines, "\n") .. "\n", out)
  end)
end)
