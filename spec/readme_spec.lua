-- SPDX-License-Identifier: MIT

-- The README's program, run as it is written there.

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

describe("the README", function()
  local readme = read "README.md"
  local program = readme:match "```lua\n(.-)```"

  it("has a synopsis that prints what it says", function()
    local code, out, err = process.run {
      "luajit", temporary.file(program, "synopsis.lua"),
      env = { XDG_STATE_HOME = temporary.directory() },
    }
    assert.equal("", err)
    assert.equal(0, code)
    local promised = {}
    for text in program:gmatch "%-%->%s*([^\n]*)" do
      promised[#promised + 1] = text .. "\n"
    end
    assert.equal(table.concat(promised), out)
  end)

  it("shows what the demo prints, but for times and what differs in each run", function()
    local shown = readme:match "<!%-%- what `make demo` printed[^\n]*\n```\n(.-)```"
    local _, printed = process.run { "bin/authstate", "demo" }
    local function masked(text)
      return (text:gsub("/tmp/%S+", "DIR"):gsub("%d[%d.]*", "N"):gsub(" +", " "))
    end
    assert.equal(masked(printed), masked(shown))
    for _, line in ipairs { "\nload [^\n]*yes\n", "\nlost: 0\n", "\ndoubled: 0\n" } do
      assert.match(line, shown)
    end
  end)

  it("names every command of the tool", function()
    local _, help = process.run { "bin/authstate", "--help" }
    for name in help:gmatch "\n  (%l+) " do
      assert.truthy(readme:find(name, 1, true), name)
    end
  end)

  it("names only targets that make has", function()
    local makefile = read "Makefile"
    for target in readme:gmatch "\n    make (%l+)" do
      assert.truthy(makefile:find("\n" .. target .. ":", 1, true), target)
    end
  end)
end)
