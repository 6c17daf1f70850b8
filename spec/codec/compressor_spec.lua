-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"
local random = require "spec.support.random"

describe("lz4, zstd and deflate", function()
  it("give back what they packed, and nothing else for what is damaged", function()
    program.run(program.compile("spec/codec/compressor.c", { "core/base", "core/codec" },
      { "-lz", "-llz4", "-lzstd", "-lcrypto", "-lm" }), random.new():word())
  end)
end)
