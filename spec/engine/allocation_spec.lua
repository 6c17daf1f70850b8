-- SPDX-License-Identifier: MIT

-- The engine when memory runs out.

local program = require "spec.base.program"

describe("an allocation that fails", function()
  local binary

  setup(function()
    binary = program.compile("spec/engine/allocation.c spec/base/failing_heap.c",
      { "core/base", "core/engine" },
      { program.FAILING_HEAP, "-l:libhiredis.a", "-lm" })
  end)

  for _, in_a_row in ipairs { 1, 2, 5 } do
    it(in_a_row .. " in a row, anywhere: nothing is lost, nothing leaks", function()
      local failures = tonumber(program.run(binary, 1, in_a_row))
      assert.is_true(failures > 100)
    end)
  end
end)
