-- SPDX-License-Identifier: MIT
-- Builds the clone it stands in: luarocks --lua-version=5.1 make
rockspec_format = "3.0"
package = "authstate"
version = "scm-1"

-- `make rocks` makes the archive, and says here where it is.
source = { url = "file://authstate-scm-1.tar.gz" }

description = {
  summary = "Keeps the auth state of WhatsApp sessions in Redis, for LuaJIT programs",
  detailed = [[
    The creds and Signal keys of WhatsApp sessions (Baileys, whatsmeow and the like) in
    Redis: writes of any number of records are all or nothing and take effect exactly
    once, a failed read never looks like a new session, and JSON comes back byte for
    byte. Needs LuaJIT 2.1 (not PUC Lua) and redis-server 7.0 or newer.
  ]],
  license = "MIT",
  labels = { "redis", "whatsapp", "luajit" },
}

supported_platforms = { "linux" }

-- LuaJIT counts as Lua 5.1; `require "authstate"` says so when it is another one.
dependencies = { "lua == 5.1" }

external_dependencies = {
  HIREDIS = { header = "hiredis/hiredis.h", library = "hiredis" },
  ZLIB = { header = "zlib.h", library = "z" },
  LZ4 = { header = "lz4.h", library = "lz4" },
  ZSTD = { header = "zstd.h", library = "zstd" },
  CRYPTO = { header = "openssl/evp.h", library = "crypto" },
  SSL = { header = "openssl/ssl.h", library = "ssl" },
}

build = {
  type = "make",
  build_target = "build",
  build_variables = {
    DEPS = "no",
    CFLAGS = "$(CFLAGS)",
    CPPFLAGS = "-I$(HIREDIS_INCDIR) -I$(ZLIB_INCDIR) -I$(LZ4_INCDIR) -I$(ZSTD_INCDIR) "
      .. "-I$(CRYPTO_INCDIR) -I$(SSL_INCDIR)",
    LDFLAGS = "-L$(HIREDIS_LIBDIR) -L$(ZLIB_LIBDIR) -L$(LZ4_LIBDIR) -L$(ZSTD_LIBDIR) "
      .. "-L$(CRYPTO_LIBDIR) -L$(SSL_LIBDIR)",
    ROCKS_INCDIR = "$(LUA_INCDIR)",
  },
  install_variables = {
    DEPS = "no",
    INST_BINDIR = "$(BINDIR)",
    INST_LIBDIR = "$(LIBDIR)",
    INST_LUADIR = "$(LUADIR)",
  },
  copy_directories = { "doc" },
}
