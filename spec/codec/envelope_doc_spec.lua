-- SPDX-License-Identifier: MIT

-- What doc/envelope.md says of the payload: every example, every name.

local core = require "authstate.core"
local hex = require "spec.codec.hex"

local PATH = "doc/envelope.md"

-- Tags that must have an example.
local TAGS = {
  "c7", "c8", "c9", "ca", "cb", "cc", "cd", "ce", "cf", "d4", "d6", "d8 19", "d8 3c",
  "d9 01 00", "d9 01 06",
}

local function read_page()
  local file = assert(io.open(PATH, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- "1*3" is 1,1,1; line breaks are the page's.
local function json_of(lines, kind)
  local text = lines:gsub("\n *", ""):gsub("(%d+)%*(%d+)", function(number, times)
    return (number .. ","):rep(tonumber(times)):sub(1, -2)
  end)
  if kind ~= " in a Buffer" then return text end
  return ('{"type":"Buffer","data":"%s"}'):format(core.bytes(text):base64())
end

-- The bytes at the beginning of each line, up to two spaces; "01*3" is 01 01 01.
local function bytes_of(lines)
  local parts = {}
  for line in lines:gmatch "[^\n]+" do
    for word in line:gsub("(%S)  .*", "%1"):gmatch "%S+" do
      local digits, times = word:match "^(%x%x)%*?(%d*)$"
      assert(digits, line)
      parts[#parts + 1] = digits:rep(tonumber(times) or 1)
    end
  end
  return hex.decode(table.concat(parts))
end

local function examples_of(page)
  local list = {}
  local pattern = "```json([^\n]*)\n(.-)\n```\n\n```hex([^\n]*)\n(.-)\n```"
  for json_kind, json, hex_kind, lines in page:gmatch(pattern) do
    list[#list + 1] = {
      text = json_of(json, json_kind), bytes = bytes_of(lines), lines = lines,
      is_written = hex_kind ~= " read",
    }
  end
  return list
end

-- Of number n, the key of a map in hex.
local function key_of(n)
  if n < 24 then return ("%02x"):format(n) end
  if n < 48 then return ("%02x"):format(0x20 + n - 24) end
  return ("18%02x"):format(n - 24)
end

describe("doc/envelope.md", function()
  local page = read_page()
  local examples = examples_of(page)

  it("has examples that are stored so, and read so", function()
    assert.is_true(#examples >= 17)
    for _, example in ipairs(examples) do
      assert.equal(example.text, core.json_decode(example.bytes), example.lines)
      assert(core.decode(example.bytes) ~= nil)
      if example.is_written then
        local stored = core.json_encode(example.text)
        assert.equal(hex.encode(example.bytes), hex.encode(stored))
      end
    end
  end)

  it("has pairs of text and bytes only", function()
    local _, texts = page:gsub("\n```json", "")
    local _, bytes = page:gsub("\n```hex", "")
    assert.equal(#examples, texts)
    assert.equal(#examples, bytes)
  end)

  it("has an example of every tag", function()
    local lines = {}
    for i, example in ipairs(examples) do lines[i] = "\n" .. example.lines end
    local all = table.concat(lines)
    for _, tag in ipairs(TAGS) do
      assert.truthy(all:find("\n *" .. tag .. " "), tag)
    end
  end)

  it("has all well-known names, with their numbers", function()
    local section = page:match "## Well%-known names.-\n## "
    local count = 0
    for first, names in section:gmatch "\n| (%d+) |([^\n]+)|" do
      assert.equal(count, tonumber(first))
      for name in names:gmatch "`([^`]+)`" do
        local stored = core.json_encode(('{"%s":null}'):format(name))
        assert.equal("80a1" .. key_of(count) .. "f6", hex.encode(stored), name)
        count = count + 1
      end
    end
    assert.truthy(section:find(("with %d names"):format(count), 1, true))
    local _, message = core.decode(hex.decode("80a1" .. key_of(count) .. "f6"))
    assert.matches("a name that this version does not know", message)
  end)

  it("names the names that hold bytes", function()
    local list, count = page:match "the value of a name that holds bytes:(.-)%.\n", 0
    local named = {}
    for name in list:gmatch "`([^`]+)`" do named[name] = true end
    for names in page:match("## Well%-known names.-\n## "):gmatch "\n| %d+ |([^\n]+)|" do
      for name in names:gmatch "`([^`]+)`" do
        local stored = core.json_encode(('{"%s":{"0":1,"1":2}}'):format(name))
        local is_bytes = hex.encode(stored):find "d83c420102$" ~= nil
        assert.equal(is_bytes, named[name] == true, name)
        count = count + (is_bytes and 1 or 0)
      end
    end
    assert.is_true(count > 15)
  end)
end)
