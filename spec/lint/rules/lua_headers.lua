-- SPDX-License-Identifier: MIT
-- A core that does not know Lua can be tested, fuzzed and used without it.

local c_source = require "spec.lint.c_source"

local rule = { why = "lua.h, lauxlib.h and their like only in core/binding." }

function rule.check(where, complain)
  for _, path in ipairs(c_source.files(where)) do
    for _, include in c_source.includes(where, path) do
      if c_source.is_lua_header(include.name) and c_source.layer(path) ~= "binding" then
        complain(path, include.line,
          ("<%s> is for core/binding only"):format(include.name))
      end
    end
  end
end

return rule
