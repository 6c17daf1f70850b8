-- SPDX-License-Identifier: MIT

local floor = require "bench.harness.floor"
local sessions = require "bench.harness.sessions"

-- What another implementation counts, which knows nothing of this one.
local KNOWN = {
  small = {
    ["app-state-sync-key"] = { 479, 131 }, ["app-state-sync-version"] = { 11621, 5700 },
    creds = { 1908, 626 }, ["device-list"] = { 266, 9 },
    ["identity-key"] = { 3266, 1518 },
    ["lid-mapping"] = { 1344, 504 }, ["pre-key"] = { 7708, 3008 },
    ["sender-key"] = { 218455, 28559 }, ["sender-key-memory"] = { 1271, 216 },
    session = { 88817, 27045 }, tctoken = { 2079, 456 },
  },
  large = {
    ["app-state-sync-key"] = { 478, 131 }, ["app-state-sync-version"] = { 67460, 32773 },
    creds = { 1908, 628 }, ["device-list"] = { 1990, 93 },
    ["identity-key"] = { 21513, 9999 }, ["lid-mapping"] = { 8928, 3348 },
    ["pre-key"] = { 71176, 27776 }, ["sender-key"] = { 812088, 99726 },
    ["sender-key-memory"] = { 22078, 3780 }, session = { 491329, 148782 },
    tctoken = { 5193, 1152 },
  },
}

local CASES = {
  { '"QUJDREVGR0g="', 8, "base64 text is its bytes" },
  { '"AAAAAAAB"', 6, "base64 text is its bytes" },
  { '"abcd"', 4, "short text is no base64" },
  { '"AAAAAAB="', 5, "base64 with unused bits is its bytes" },
  { '["QUJDREVGR0g=","QUJDREVGR0g="]', 9, "what is repeated costs one byte" },
  { '{"a":"QUJDREVGR0g=","b":{"type":"Buffer","data":"QUJDREVGR0g="}}', 9,
    "what is repeated in another form costs one byte" },
  { '{"type":"Buffer","data":[1,2,3]}', 3, "a Buffer of numbers is its bytes" },
  { '{"type":"Buffer","data":"AQI=","x":1}', 11, "an object with more is no Buffer" },
  { '{"type":"Buffer","data":"eyJhIjoxMDAwfQ=="}', 2, "JSON in a Buffer is its values" },
  { '{"type":"Buffer","data":"MTIz"}', 3, "digits in a Buffer are no JSON" },
  { '{"a":[65,66,67,68,69,70,71,72],"b":[65,66,67,68,69,70,71,72,73]}', 17,
    "small numbers are one byte each, more than eight of them a string" },
  { "[0,1,2,3,4,5,6,7,256]", 9, "an array with a larger number is its numbers" },
  { '{"0":1,"1":200}', 3, "an object with numbers for names is its names and numbers" },
  { '"5511999999999@s.whatsapp.net"', 6, "a user's address is its number" },
  { '"5511999999999:3@s.whatsapp.net"', 8, "other text is at most eight bytes" },
  { '"Padaria S\195\163o Jo\195\163o"', 8, "other text is at most eight bytes" },
  { '"\195\169\195\169"', 2, "text counts characters" },
  { '"100000000419707"', 6, "digits are an integer" },
  { "9007199254740992", 7, "an integer is the bytes it needs" },
  { "-300", 2, "an integer is the bytes it needs" }, { "0", 0, "zero is nothing" },
  { "1e21", 8, "a float is eight bytes" }, { "1.5", 8, "a float is eight bytes" },
  { "123456789012345680000", 9, "a long integer is the bytes it needs" },
  { '{"chain_key":255,"key.id":256}', 9, "a name costs nothing, another key does" },
  { "[true,false,null,{},[]]", 0, "what has no content is nothing" },
}

describe("the floor of a record", function()
  for _, case in ipairs(CASES) do
    it(("counts that %s: %s"):format(case[3], case[1]), function()
      assert.equal(case[2], floor.of(case[1]))
    end)
  end

  for name, known in pairs(KNOWN) do
    it(("is what it is known to be for each type of the %s session"):format(name),
      function()
        local session = assert(sessions.read(sessions.fixture_path(name), name))
        local counted = {}
        for _, part in ipairs(session.types) do
          local sum = 0
          for _, record in ipairs(part.records) do sum = sum + floor.of(record.text) end
          counted[part.name] = { part.json_bytes, sum }
        end
        assert.same(known, counted)
      end)
  end
end)
