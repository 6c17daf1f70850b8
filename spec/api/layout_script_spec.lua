-- SPDX-License-Identifier: MIT

-- Layouts that users write: doc/layouts.md as it stands there, and what is said of files
-- that are no layouts.

local authstate = require "authstate"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

describe("doc/layouts.md", function()
  local text = read "doc/layouts.md"
  local blocks = {}
  for block in text:gmatch "\n```lua\n(.-)```" do blocks[#blocks + 1] = block end
  local directory = temporary.directory()

  local function write(name, content)
    local file = assert(io.open(directory .. "/" .. name, "w"))
    assert(file:write(content))
    file:close()
  end

  setup(function()
    write("mine.lua", blocks[1])
    write("program.lua", blocks[2])
  end)

  local function run(...)
    local root = os.getenv "PWD"
    return process.run {
      cwd = directory, env = {
        LUA_PATH = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;;",
        LUA_CPATH = root .. "/build/" .. (os.getenv "AUTHSTATE_BUILD" or "release")
          .. "/?.so;;",
      }, ...,
    }
  end

  it("writes a layout that keeps all rules, and shows what check says of it", function()
    local root = os.getenv "PWD"
    local status, out, err = run(root .. "/bin/authstate", "check", "mine.lua", "--seed",
      "1")
    assert.equal("", err)
    assert.equal(0, status)
    assert.equal(text:match "%-%-seed 1\n\n```\n(.-)```", out)
  end)

  it("uses it in a program that prints what it says", function()
    local status, out, err = run(os.getenv "LUAJIT" or "luajit", "program.lua",
      directory .. "/state")
    assert.equal("", err)
    assert.equal(0, status)
    assert.equal(blocks[2]:match "%-%-> ([^\n]+)" .. "\n", out)
  end)

  it("lists the rules that check has", function()
    local listed = {}
    for rule in text:match "\n## The rules\n(.-)\nAn id":gmatch "\n%- ([^\n]+)" do
      listed[#listed + 1] = rule
    end
    table.remove(listed) -- that it raises no error and ends is no rule of checks/layout
    table.sort(listed)
    assert.same(require("authstate.checks.layout").names(), listed)
  end)
end)

describe("a layout that is none is refused:", function()
  local GOOD = [[
    local layout = require "authstate.layouts.typed" { prefix = "p:" }
    %s
    return function() return layout end
  ]]

  for _, case in ipairs {
    { "a file that is not there", nil, "no-such.lua: No such file" },
    { "a syntax error", "return {", ".lua:1: unexpected symbol" },
    { "an error while it is read", "local a = nil\nreturn a.b", ".lua:2: attempt" },
    { "nothing returned", "local a = 1", "returns nothing" },
    { "a table", "return {}", "returns a table; accepted: a function of the options" },
    { "an error in the function", "return function(o)\n o.x.y() end", ".lua:2: attempt" },
    { "a function without a table", "return function() return 5 end",
      "returns 5; accepted: a table" },
    { "bytecode", string.dump(function() return 1 end), "bytecode" },
    { "no key", "layout.key = nil", "field key: nil; accepted: a function" },
    { "parse of another type", "layout.parse = 'x'",
      'field parse: "x"; accepted: a function' },
    { "no session_match", "layout.session_match = nil", "field session_match: nil" },
    { "keys of single records", "layout.atomic = 'none'", 'field atomic: "none"' },
    { "another form", "layout.form = 'hex'", 'field form: "hex"; accepted: "base64"' },
    { "a key for each id", "layout.hash_key = false", "field hash_key: false" },
    { "an envelope that is no boolean", "layout.envelope = 0", "field envelope: 0" },
  } do
    it(case[1], function()
      local text = case[2]
      if text and text:find "^layout" then text = GOOD:format(text) end
      local path = text and temporary.file(text, "layout.lua")
        or temporary.directory() .. "/no-such.lua"
      local is_open, message = pcall(authstate.open,
        { redis = "unix:///nowhere", layout = path })
      assert.is_false(is_open)
      assert.matches('option "layout": ', message, 1, true)
      assert.matches(case[3], message, 1, true)
    end)
  end
end)
