-- SPDX-License-Identifier: MIT
-- Sockets, clocks, processes, files and randomness are for core/io. What the others may
-- include is listed in layer_table.lua; lua.h has a rule of its own.

local c_source = require "spec.lint.c_source"
local matches = require "spec.lint.matches"
local layer_table = require "spec.lint.layer_table"

local rule = { why = "System headers only in core/io, libraries only as listed." }

function rule.check(where, complain)
  for _, path in ipairs(c_source.files(where)) do
    local layer = layer_table.layers[c_source.layer(path)] or layer_table.layers.base
    for _, include in c_source.includes(where, path) do
      local is_fine = include.is_ours or c_source.is_lua_header(include.name)
        or matches(include.name, layer_table.pure_headers)
        or matches(include.name, layer.headers)
      if not is_fine then
        complain(path, include.line, ("<%s> is not for this layer: the system belongs "
          .. "into core/io, libraries are listed in spec/lint/layer_table.lua")
          :format(include.name))
      end
    end
  end
end

return rule
