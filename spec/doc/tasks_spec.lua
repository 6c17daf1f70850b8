-- SPDX-License-Identifier: MIT

-- The first program of doc/tasks.md, run as it is written there.

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

describe("doc/tasks.md", function()
  it("begins with a program that prints what it says", function()
    local file = assert(io.open("doc/tasks.md"))
    local program = file:read("*a"):match "```lua\n(.-)```"
    file:close()
    local status, out, err = process.run {
      "luajit", temporary.file(program, "tasks.lua"),
      env = { XDG_STATE_HOME = temporary.directory() },
    }
    assert.same({ 0, "" }, { status, err })
    assert.equal(program:match "%-%->%s*([^\n]*)" .. "\n", out)
  end)
end)
