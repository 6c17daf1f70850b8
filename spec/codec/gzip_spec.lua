-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"

describe("a file that is not gzip, or more than zlib counts", function()
  it("is refused in words that tell which", function()
    program.run(program.compile("spec/codec/gzip.c", { "core/base", "core/codec" },
      { "-lz", "-llz4", "-lzstd", "-lcrypto", "-lm" }))
  end)
end)
