-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"
local random = require "spec.support.random"

describe("a buffer", function()
  it("does what a plain array does, in random order", function()
    local binary = program.compile("spec/base/buffer.c", { "core/base" })
    local dice = random.new()
    for _ = 1, random.rounds(5) do program.run(binary, dice:word()) end
  end)
end)
