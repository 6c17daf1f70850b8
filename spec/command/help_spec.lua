-- SPDX-License-Identifier: MIT

-- The help of the tool, and doc/command-line.md beside it.

local command_line = require "authstate.command"
local tool = require "spec.command.tool"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

describe("the help", function()
  it("lists the commands, each with what it is for", function()
    local listed = {}
    for name, summary in tool.succeed({ "--help" }):gmatch "\n  ([%l-]+) +([^\n]+)" do
      listed[#listed + 1] = name
      assert.match("\n\n" .. summary:gsub("%p", "%%%0") .. "\n\n",
        tool.succeed { name, "--help" })
    end
    assert.same(command_line.names(), listed)
    assert.equal(tool.succeed { "--help" }, tool.succeed { "help" })
  end)

  for _, name in ipairs(command_line.names()) do
    it("of " .. name .. " names each of its options, with a sentence", function()
      local help = tool.succeed { name, "--help" }
      assert.match("^usage: authstate " .. name:gsub("%p", "%%%0") .. "[ \n]", help)
      for _, row in ipairs(command_line.options_of(name)) do
        local left = "--" .. row.name .. (row.value and " " .. row.value or "")
        assert.match("\n  " .. left:gsub("%p", "%%%0") .. " +%S[^\n]+\n", help)
      end
    end)

    it("of " .. name .. " is given with other options and nothing else too", function()
      assert.equal(tool.succeed { name, "--help" }, tool.succeed { name, "--json",
        "--help" })
    end)

    it("of " .. name .. " says the same as doc/command-line.md", function()
      local section = read "doc/command-line.md"
        :match("\n## " .. name:gsub("%p", "%%%0") .. "\n(.-)\n## ")
        or read "doc/command-line.md":match("\n## " .. name .. "\n(.*)$")
      assert.is_string(section)
      local usage = tool.succeed({ name, "--help" }):match "^usage: ([^\n]+)\n"
      assert.truthy(section:find("\n    " .. usage .. "\n", 1, true), usage)
      local general = read "doc/command-line.md":match "^(.-)\n## "
      for _, row in ipairs(command_line.options_of(name)) do
        local cell = "\n| `--" .. row.name .. (row.value and " " .. row.value or "")
          .. "` | "
        assert.truthy(section:find(cell, 1, true) or general:find(cell, 1, true), cell)
      end
      for option in section:gmatch "\n| `%-%-([%l-]+)" do
        local is_known = false
        for _, row in ipairs(command_line.options_of(name)) do
          is_known = is_known or row.name == option
        end
        assert.is_true(is_known, option)
      end
    end)
  end
end)
