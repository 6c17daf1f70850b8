-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"
local random = require "spec.support.random"

describe("a buffer", function()
  it("does what a plain array does, in random order", function()
    local binary = program.compile("spec/base/buffer.c", { "core/base" })
    for _ = 1, 5 do program.run(binary, random.new():word()) end
  end)
end)
