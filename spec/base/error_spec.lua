-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"

describe("a status", function()
  it("has a code and a sentence that no other has", function()
    program.run(program.compile("spec/base/error.c", { "core/base" }))
  end)
end)
