-- SPDX-License-Identifier: MIT

local program = require "spec.base.program"

describe("AES-256-GCM", function()
  it("gives what the published vectors say, and refuses every change", function()
    program.run(program.compile("spec/codec/aead.c", { "core/base", "core/codec" },
      { "-lz", "-llz4", "-lzstd", "-lcrypto", "-lm" }))
  end)
end)
