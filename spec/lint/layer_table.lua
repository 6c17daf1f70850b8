-- SPDX-License-Identifier: MIT
--- The layers of the core, from the bottom: what each may include of the others, which
-- headers of libraries and of the system, and which functions of theirs it may call. A
-- new library is a row here.
--
-- `below` names layers, or single headers of one. `headers` and `calls` are Lua patterns.
-- @module spec.lint.layer_table

-- What only computes: no file, no clock, no process, no environment.
local PURE_HEADERS = {
  "^assert%.h$", "^ctype%.h$", "^float%.h$", "^inttypes%.h$", "^limits%.h$", "^math%.h$",
  "^stdalign%.h$", "^stdarg%.h$", "^stdbool%.h$", "^stddef%.h$", "^stdint%.h$",
  "^stdio%.h$", "^stdlib%.h$", "^string%.h$",
}

-- Of stdio.h and stdlib.h, which have both kinds, only this.
local PURE_CALLS = {
  "^as_", "^mem%w+$", "^str%w+$", "^v?snprintf$", "^sscanf$", "^malloc$", "^calloc$",
  "^realloc$", "^free$", "^qsort$", "^bsearch$", "^ato[il]$", "^__assert_fail$",
  "^__stack_chk_fail$", "^_GLOBAL_OFFSET_TABLE_$", "^__%w+_chk$", "^__isoc99_%w+$",
  "^__ctype_%w+$", "^f?abs$", "^fmin$", "^fmax$", "^fmod$", "^floor$", "^ceil$",
  "^round$", "^trunc$", "^rint$", "^nearbyint$", "^l?lround$", "^l?lrint$", "^pow$",
  "^exp2?$", "^log2?$", "^log10$", "^sqrt$", "^ldexp$", "^frexp$", "^modf$", "^scalbn$",
}

local ANY = { "." }

return {
  pure_headers = PURE_HEADERS,
  pure_calls = PURE_CALLS,
  layers = {
    base = { below = {}, headers = {}, calls = {} },
    engine = {
      below = { "base" },
      headers = { "^hiredis/hiredis%.h$", "^hiredis/read%.h$" },
      calls = { "^redisReader" },
    },
    codec = {
      below = { "base" },
      headers = {
        "^zlib%.h$", "^lz4%.h$", "^zstd%.h$", "^zstd_errors%.h$", "^openssl/evp%.h$",
        -- Order of bytes, from libc, and vectors, from the compiler: no calls.
        "^endian%.h$", "^emmintrin%.h$", "^immintrin%.h$",
      },
      calls = {
        "^inflate", "^deflate", "^LZ4_", "^ZSTD_", "^EVP_", "^OPENSSL_cleanse$",
        "^__cpu_model$", -- which vectors the processor has, from the compiler's library
      },
    },
    cache = { below = { "base" }, headers = {}, calls = {} },
    io = { below = { "base", "engine/engine.h" }, headers = ANY, calls = ANY },
    binding = {
      below = { "base", "engine", "codec", "cache", "io" },
      headers = { "^errno%.h$" },
      calls = { "^lua_", "^luaL_", "^__errno_location$" },
    },
  },
}
