-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"
local random = require "spec.support.random"

describe("a map", function()
  it("finds what was put in, seldom misses it, and never tells a wrong number", function()
    local binary = program.compile("spec/base/map.c", { "core/base" })
    local dice = random.new()
    for _ = 1, random.rounds(5) do program.run(binary, dice:word()) end
  end)
end)
