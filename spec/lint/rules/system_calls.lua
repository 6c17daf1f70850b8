-- SPDX-License-Identifier: MIT
-- stdio.h and stdlib.h have functions that compute and functions that ask the system, so
-- what the objects call is compared with what layer_table.lua allows.

local c_source = require "spec.lint.c_source"
local matches = require "spec.lint.matches"
local layer_table = require "spec.lint.layer_table"
local objects = require "spec.lint.objects"

local rule = { why = "None but core/io makes a system call or reads a clock." }

function rule.check(where, complain)
  for _, symbol in ipairs(objects.symbols(where)) do
    local layer = layer_table.layers[c_source.layer(symbol.source)]
    local is_fine = symbol.class ~= "U" or layer and (matches(symbol.name, layer.calls)
      or matches(symbol.name, layer_table.pure_calls))
    if not is_fine then
      complain(symbol.path, symbol.line, ("%s is called; what this layer may call is "
        .. "listed in spec/lint/layer_table.lua"):format(symbol.name))
    end
  end
end

return rule
