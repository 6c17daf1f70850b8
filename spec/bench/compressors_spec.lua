-- SPDX-License-Identifier: MIT

local compressors = require "bench.harness.compressors"
local fixture = require "spec.support.fixture"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

describe("a compressor beside which stored bytes are put", function()
  it("is there: gzip, LZ4 and zstd", function()
    local names = {}
    for name in pairs(compressors) do names[#names + 1] = name end
    table.sort(names)
    assert.same({ "gzip", "lz4", "zstd" }, names)
  end)

  it("makes little of what repeats and keeps what it cannot shorten", function()
    for name, compress in pairs(compressors) do
      assert.is_true(compress(("a"):rep(10000)) < 100, name)
      local length = compress "q8Zs"
      assert.is_true(length > 4 and length < 40, name)
    end
  end)

  it("makes of a text what `gzip -9` makes of it, nearly to the byte", function()
    local text = fixture.read("small.json.gz"):sub(1, 20000)
    local path = temporary.file(text)
    local code, packed = process.run { "gzip", "-9nc", path }
    assert.equal(0, code)
    assert.near(#packed, compressors.gzip(text), #packed / 100)
  end)
end)
