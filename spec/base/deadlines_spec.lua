-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"
local random = require "spec.support.random"

describe("deadlines", function()
  it("are told in the order of their time, in whichever order they come", function()
    local binary = program.compile("spec/base/deadlines.c", { "core/base" })
    local dice = random.new()
    for _ = 1, random.rounds(5) do program.run(binary, dice:word()) end
  end)
end)
