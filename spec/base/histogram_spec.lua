-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"
local random = require "spec.support.random"

describe("a histogram", function()
  it("gives the quantiles of the durations themselves, within a thirty-first", function()
    local binary = program.compile("spec/base/histogram.c", { "core/base" }, { "-lm" })
    local dice = random.new()
    for _ = 1, random.rounds(5) do program.run(binary, dice:word()) end
  end)
end)
