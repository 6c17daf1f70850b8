-- SPDX-License-Identifier: MIT
--- What compressors that know nothing of auth state make of a text, each text by itself:
-- by name, functions from a text to the number of bytes. One whose library is not
-- installed is missing.
--
--     gzip    as `gzip -9` without a file's name
--     lz4     one block, which does not tell its own length
--     zstd    level 3, as `zstd` without options

local ffi = require "ffi"

ffi.cdef [[
unsigned long compressBound(unsigned long length);
int compress2(uint8_t *out, unsigned long *out_length, const uint8_t *text,
              unsigned long length, int level);
int LZ4_compressBound(int length);
int LZ4_compress_default(const char *text, char *out, int length, int room);
size_t ZSTD_compressBound(size_t length);
size_t ZSTD_compress(void *out, size_t room, const void *text, size_t length, int level);
unsigned ZSTD_isError(size_t code);
]]

local GZIP_LEVEL, ZSTD_LEVEL = 9, 3

-- Around the same deflate stream gzip has 18 bytes, zlib 6.
local GZIP_BYTES_MORE = 12

local makers = {}

function makers.gzip()
  local zlib = ffi.load "libz.so.1"
  local length = ffi.new "unsigned long[1]"
  return function(text)
    length[0] = zlib.compressBound(#text)
    local out = ffi.new("uint8_t[?]", length[0])
    assert(zlib.compress2(out, length, text, #text, GZIP_LEVEL) == 0, "zlib failed")
    return tonumber(length[0]) + GZIP_BYTES_MORE
  end
end

function makers.lz4()
  local lz4 = ffi.load "liblz4.so.1"
  return function(text)
    local room = lz4.LZ4_compressBound(#text)
    local out = ffi.new("char[?]", room)
    local length = lz4.LZ4_compress_default(text, out, #text, room)
    assert(length > 0, "lz4 failed")
    return length
  end
end

function makers.zstd()
  local zstd = ffi.load "libzstd.so.1"
  return function(text)
    local room = zstd.ZSTD_compressBound(#text)
    local out = ffi.new("uint8_t[?]", room)
    local length = zstd.ZSTD_compress(out, room, text, #text, ZSTD_LEVEL)
    assert(zstd.ZSTD_isError(length) == 0, "zstd failed")
    return tonumber(length)
  end
end

local compressors = {}

for name, make in pairs(makers) do
  local is_there, compress = pcall(make)
  if is_there then compressors[name] = compress end
end

return compressors
