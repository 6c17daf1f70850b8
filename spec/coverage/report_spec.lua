-- SPDX-License-Identifier: MIT

-- The last line of `make coverage`.

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local TRACEFILE = [[
TN:
SF:/somewhere/core/base/heap.c
DA:1,5
LF:90
LH:90
end_of_record
SF:/somewhere/core/io/lock.c
LF:10
LH:1
end_of_record
]]

local function report(minimum)
  return process.run {
    "luajit", "spec/coverage/report.lua", temporary.file(TRACEFILE), minimum,
  }
end

describe("the report of line coverage", function()
  it("adds up all files", function()
    local code, out, err = report(90)
    assert.equal("coverage: 91.0 % of the lines of core/ (91 of 100)\n", out)
    assert.equal("", err)
    assert.equal(0, code)
  end)

  it("fails below the minimum and says where lines are missing", function()
    local code, out, err = report(91.5)
    assert.equal(1, code)
    assert.matches("91.0 %", out, 1, true)
    assert.matches("less than the 91.5 %%.*9  core/io/lock.c", err)
  end)
end)
