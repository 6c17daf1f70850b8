-- SPDX-License-Identifier: MIT

-- A few bytes that somebody wrote so that reading them costs much: what they declare, how
-- deep they nest, how often they refer. They are `corrupt` before memory is taken.

local core = require "authstate.core"
local hex = require "spec.codec.hex"

local MAX_KIB = 1024
local MIB = 2 ^ 20

-- Enough bytes behind a declared count that it could be true.
local FILLER = ("\0"):rep(MIB)

local STATE_KEYS = "58c0" .. ("00"):rep(192)

-- What it is, the payload in hex, what follows that, the reason.
local CASES = {
  { "bytes of 4 GiB", "5affffffff", "", "longer than what is there" },
  { "text of 4 GiB", "7affffffff", "", "longer than what is there" },
  { "an array of 4 GiB", "9affffffff", "", "longer than what is there" },
  { "a map of 4 GiB", "baffffffff", "", "longer than what is there" },
  { "an array of 2^64 - 1", "9bffffffffffffffff", FILLER, "longer than what is there" },
  { "a map of 2^63", "bb8000000000000000", FILLER, "longer than what is there" },
  { "digits of 4 GiB", "c75affffffff", "", "tag 7 without a number" },
  { "a jid of 4 GiB", "c85affffffff", "", "longer than what is there" },
  { "a key pair of 4 GiB", "ca5affffffff", "", "longer than what is there" },
  { "a key pair of a MiB", "ca5a00100000", FILLER, "key pair of another length" },
  { "4,294,967,295 session states", "cb9affffffff", FILLER, "longer than" },
  { "a million session states", "cb9a000fffff", FILLER, "than an array" },
  { "a million chains", "cb8188" .. STATE_KEYS .. "0000000000009a000fff00", FILLER,
    "than an array" },
  { "a million message keys",
    "cb8188" .. STATE_KEYS .. "000000000000819a000fff00000040", FILLER,
    "chain of another form" },
  { "a million sender-key states", "c9cc9a000fffff", FILLER, "than an array" },
  { "the same outside of a Buffer", "cc9a000fffff", FILLER, "without tag 9" },
  { "a million sender message keys", "c9cc819a000fff005840" .. ("00"):rep(64) .. "0000",
    FILLER, "number of keys in a sender%-key" },
  { "a jid set of 4 GiB", "cd5affffffff", "", "longer than what is there" },
  { "a jid set that ends within a jid", "cd5a000fffff80", FILLER, "without jids" },
  { "value MACs of 4 GiB", "ce5affffffff", "", "longer than what is there" },
  { "half of a value MAC's entry", "ce5820", FILLER, "part of an entry" },
  { "numbers of 4 GiB", "cf5affffffff", "", "longer than what is there" },
  { "byte arrays of 4 GiB", "d45affffffff", "", "longer than what is there" },
  { "byte objects of 4 GiB", "d83c5affffffff", "", "longer than what is there" },
  { "100,000 arrays", "", ("\x81"):rep(100000) .. "\0", "256 levels" },
  { "100,000 arrays without end", "", ("\x9f"):rep(100000), "256 levels" },
  { "100,000 maps", "", ("\xa1\0"):rep(100000) .. "\0", "256 levels" },
  { "100,000 maps without end", "", ("\xbf\0"):rep(100000), "256 levels" },
  { "100,000 namespaces", "", ("\xd9\1\0"):rep(100000) .. "\0", "256 levels" },
  { "100,000 Buffers of JSON", "", ("\xc9"):rep(100000) .. "\0", "tag 9 inside" },
  { "257 arrays that declare a MiB together", "", ("\x99\x0f\x00"):rep(257) .. FILLER,
    "256 levels" },
  { "257 maps that declare 2 MiB together", "",
    ("\xb9\x0f\x00\x00"):rep(257) .. FILLER .. FILLER, "256 levels" },
  { "a reference without namespace", "d81900", "", "to no string" },
  { "a reference to itself", "d90100d81900", "", "to no string" },
  { "a reference to a reference", "d9010082d81901d81900", "", "to no string" },
  { "a reference out of range", "d901008243010203d81901", "", "to no string" },
  { "a reference far away", "d90100d8191bffffffffffffffff", "", "to no string" },
  { "a reference that is none", "d901008243010203d81920", "", "to no string" },
  { "a reference to a string too short for one", "d9010082420102d81900", "",
    "to no string" },
  { "a reference to a string of the namespace around it",
    "d901008243010203d90100d81900", "", "to no string" },
  { "a reference to a string of a namespace that has ended",
    "d9010082d9010043010203d81900", "", "to no string" },
  { "a thousand references to 1,000 bytes", "d90100825903e8" .. ("00"):rep(1000)
    .. "9903e8", ("\xd8\x19\0"):rep(1000), "make a small value large" },
  { "a thousand references to text", "d90100827903e8" .. ("31"):rep(1000) .. "9903e8",
    ("\xd8\x19\0"):rep(1000), "make a small value large" },
  { "a thousand references to numbers", "d9010082cf5903e8" .. ("00"):rep(1000)
    .. "9903e8", ("\xcf\xd8\x19\0"):rep(1000), "make a small value large" },
}

-- How much Lua memory a call takes at most, nothing freed meanwhile, and its answers.
local function measure(call, stored)
  collectgarbage()
  collectgarbage "stop"
  local before = collectgarbage "count"
  local value, message, code = call(stored)
  local kib = collectgarbage "count" - before
  collectgarbage "restart"
  return kib, value, message, code
end

describe("a stored value that asks for much", function()
  for _, case in ipairs(CASES) do
    local what, bytes, rest, reason = unpack(case)
    it("is refused, and costs nothing: " .. what, function()
      local stored = "\x80" .. hex.decode(bytes) .. rest
      for _, call in ipairs { core.decode, core.json_decode } do
        local kib, value, message, code = measure(call, stored)
        assert.is_nil(value)
        assert.equal("corrupt", code)
        assert.matches(reason, message)
        assert.is_true(kib < MAX_KIB, kib .. " KiB")
      end
    end)
  end

  it("is read when it is true: 256 namespaces inside of each other", function()
    assert.equal(7, core.decode("\x80" .. ("\xd9\1\0"):rep(256) .. "\7"))
  end)

  it("is read when it is true: 100,000 tags that mean nothing here", function()
    local stored = "\x80" .. ("\xd8\x63"):rep(100000) .. "\7"
    local kib, value = measure(core.decode, stored)
    assert.equal(7, value)
    assert.is_true(kib < MAX_KIB)
    assert.equal("7", core.json_decode(stored))
  end)

  it("is read when it is true: references that give sixteen times the value", function()
    local bytes = "\x80\xd9\1\0\x82\x58\x28" .. ("\1"):rep(40) .. "\x98\x1e"
      .. ("\xd8\x19\0"):rep(30)
    local value = assert(core.decode(bytes))
    assert.equal(30, #value[2])
    assert.is_true(value[2][30] == core.bytes(("\1"):rep(40)))
  end)

  it("is no list of numbers when it is a list of commas", function()
    for _, list in ipairs { (","):rep(100000), ("1,"):rep(50000), ("1,,"):rep(30000) } do
      local text = '{"type":"Buffer","data":[' .. list .. "]}"
      local stored, message, code = core.json_encode(text)
      assert.is_nil(stored)
      assert.equal("corrupt", code)
      assert.matches("not JSON", message)
    end
  end)
end)

-- The process' memory in KiB: "VmRSS" now, "VmHWM" at most since forget_peak().
local function memory_kib(field)
  local file = assert(io.open "/proc/self/status")
  local status = file:read "*a"
  file:close()
  return tonumber(status:match(field .. ":%s*(%d+) kB"))
end

local function forget_peak()
  local file = assert(io.open("/proc/self/clear_refs", "w"))
  file:write "5"
  file:close()
end

-- Every Buffer seems to end where the innermost list does, so each was given room for a
-- list of that length.
describe("JSON text with lists inside of lists", function()
  it("is stored without memory for each", function()
    local levels = 100
    local text = ('{"type":"Buffer","data":['):rep(levels) .. '"'
      .. ("1,"):rep(2 * MIB) .. '"' .. ("]}"):rep(levels)
    forget_peak()
    local before = memory_kib "VmRSS"
    local stored = assert(core.json_encode(text))
    assert.is_true(memory_kib "VmHWM" - before < 100 * 1024)
    assert.equal(text, core.json_decode(stored))
  end)
end)
