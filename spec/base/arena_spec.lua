-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"
local random = require "spec.support.random"

describe("an arena", function()
  it("gives pieces that stay as they are, also when memory fails", function()
    local binary = program.compile("spec/base/arena.c", { "core/base" })
    local dice = random.new()
    for _ = 1, random.rounds(5) do program.run(binary, dice:word()) end
  end)
end)
