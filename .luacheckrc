-- SPDX-License-Identifier: MIT
-- How luacheck reads our Lua. `make lint` runs it over the whole tree; what runs inside
-- Redis is left out here and checked as it runs, prelude and script together
-- (spec/lint/rules/server_scripts.lua).

std = "luajit"
max_line_length = 90
codes = true

exclude_files = {
  "build", "**/node_modules", "lua/authstate/server",
}

files["spec"] = { std = "luajit+busted" }
-- What runs inside nginx only (spec/lint/rules/nginx.lua).
files["lua/authstate/openresty"] = { read_globals = { "ngx" } }
files["doc/examples/openresty"] = { globals = { "ngx" } }
-- Declarations for an editor: functions without bodies.
files["doc/luals"] = { unused = false }

-- What Redis 7 gives a script.
stds.redis = {
  read_globals = {
    "KEYS", "ARGV", "redis", "cjson", "cmsgpack", "struct",
    bit = { fields = {
      "tobit", "tohex", "bnot", "band", "bor", "bxor", "lshift", "rshift", "arshift",
      "rol", "ror", "bswap",
    } },
    "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber",
    "tostring", "type", "unpack", "xpcall", "setmetatable", "getmetatable", "rawget",
    "rawset", "rawequal", "math", "string", "table",
  },
}
