-- SPDX-License-Identifier: MIT

-- The corpus of every fuzz target without the fuzzer: where it began, and what it found.

local lfs = require "lfs"
local program = require "spec.base.program"

local FOLDER = "spec/fuzz/"

local WHAT = {
  base64 = "base64 text and bytes",
  byte_list = "a list of numbers",
  cbor = "a stored CBOR item of any bytes",
  connection = "what a server answers, however it is cut",
  deflate = "what zlib has packed, or anybody",
  engine = "callers, sockets and servers in any order",
  envelope = "a stored value of any bytes",
  gzip = "a compressed file of any bytes",
  jid = "addresses, and digits",
  jsontext = "text that may be JSON",
  keyring = "an encrypted value of any bytes",
  lz4 = "a block of LZ4, or any bytes",
  number = "any double",
  pack = "records and what is nearly one",
  reply = "replies of any bytes, however they are cut",
  session_text = "text that may be a session",
  unpack = "what makers of values are told of any bytes",
  zstd = "a frame of Zstandard, or any bytes",
}

local function corpus(target)
  local folder, files = FOLDER .. "corpus/" .. target, {}
  for name in lfs.dir(folder) do
    if name:sub(1, 1) ~= "." then files[#files + 1] = folder .. "/" .. name end
  end
  table.sort(files)
  return files
end

describe("the fuzzer's corpus", function()
  local binary

  setup(function()
    local sources = {}
    for name in lfs.dir(FOLDER) do
      if name:match "%.c$" and name ~= "fuzzer.c" then
        sources[#sources + 1] = FOLDER .. name
      end
    end
    binary = program.compile(table.concat(sources, " "),
      { "core/base", "core/codec", "core/engine" },
      { "-lhiredis", "-lz", "-llz4", "-lzstd", "-lcrypto", "-lm" })
  end)

  for target, what in pairs(WHAT) do
    it(("keeps what is promised for %s (%s)"):format(what, target), function()
      local files = corpus(target)
      assert.is_true(#files > 0)
      local replayed = program.run(binary, target, unpack(files))
      assert.equal(table.concat(files, "\n") .. "\n", replayed)
    end)
  end

  it("has a folder for every target", function()
    local count = 0
    for name in lfs.dir(FOLDER .. "corpus") do
      if name:sub(1, 1) ~= "." then
        assert.is_string(WHAT[name], name)
        count = count + 1
      end
    end
    local targets = program.run(binary):gsub("\n", " ")
    for target in targets:gmatch "%S+" do
      assert.is_string(WHAT[target], target)
      count = count - 1
    end
    assert.equal(0, count)
  end)
end)
