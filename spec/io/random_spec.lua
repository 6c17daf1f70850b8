-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"

describe("a pool of random bytes", function()
  it("gives out each byte once, in a child of the process too", function()
    program.run(program.compile("spec/io/random.c core/io/random.c", { "core/base" }))
  end)
end)
