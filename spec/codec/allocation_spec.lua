-- SPDX-License-Identifier: MIT

-- The codec when memory runs out.

local program = require "spec.base.program"

describe("values, sessions and gzip when an allocation fails", function()
  local binary

  setup(function()
    binary = program.compile("spec/codec/allocation.c spec/base/failing_heap.c",
      { "core/base", "core/codec" },
      {
        program.FAILING_HEAP, "-l:libz.a", "-l:liblz4.a", "-l:libzstd.a", "-lcrypto",
        "-lm",
      })
  end)

  for _, in_a_row in ipairs { 1, 2, 5 } do
    it(in_a_row .. " in a row: no file is called damaged, nothing leaks", function()
      local failures = tonumber(program.run(binary, 1, in_a_row))
      assert.is_true(failures > 50)
    end)
  end
end)
