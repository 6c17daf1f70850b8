-- SPDX-License-Identifier: MIT

-- The last line of `make coverage`.

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local TRACEFILE = [[
TN:
SF:/somewhere/core/base/slice.h
DA:1,0
DA:2,5
end_of_record
SF:/somewhere/core/io/lock.c
DA:1,1
DA:2,0
end_of_record
SF:/somewhere/core/base/slice.h
DA:1,1
DA:2,0
end_of_record
]]

local function report(minimum)
  return process.run {
    "luajit", "spec/coverage/report.lua", temporary.file(TRACEFILE), minimum,
  }
end

describe("the report of line coverage", function()
  it("adds up all files, a header once", function()
    local code, out, err = report(75)
    assert.equal("coverage: 75.0 % of the lines of core/ (3 of 4)\n", out)
    assert.equal("", err)
    assert.equal(0, code)
  end)

  it("fails below the minimum and says where lines are missing", function()
    local code, out, err = report(75.5)
    assert.equal(1, code)
    assert.matches("75.0 %", out, 1, true)
    assert.is_nil(err:find "slice")
    assert.matches("less than the 75.5 %%.*1  core/io/lock.c\n", err)
  end)
end)
