-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"
local random = require "spec.support.random"

describe("the core of the near cache", function()
  it("does what plain arrays do, counts each byte, and bears failing allocations",
    function()
      local binary = program.compile("spec/cache/cache.c",
        { "core/base", "core/cache" }, { "-lm" })
      local dice = random.new()
      for _ = 1, random.rounds(2) do program.run(binary, dice:word()) end
    end)
end)
