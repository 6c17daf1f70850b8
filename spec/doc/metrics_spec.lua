-- SPDX-License-Identifier: MIT

-- The first program of doc/metrics.md, run as it is written there.

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

describe("doc/metrics.md", function()
  it("begins with a program that prints what it says", function()
    local file = assert(io.open("doc/metrics.md"))
    local program = file:read("*a"):match "```lua\n(.-)```"
    file:close()
    local said = {}
    for line in program:gmatch "%-%->%s*([^\n]*)" do said[#said + 1] = line .. "\n" end
    local status, out, err = process.run {
      "luajit", temporary.file(program, "metrics.lua"), temporary.directory() .. "/data",
    }
    assert.same({ 0, "" }, { status, err })
    assert.equal(table.concat(said), out)
  end)
end)
