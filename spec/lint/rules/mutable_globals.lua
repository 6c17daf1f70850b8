-- SPDX-License-Identifier: MIT
-- Several Lua states may live in one process, and threads of a host: all state hangs in
-- the Lua registry. Read from the objects, so that a static in a function counts too.

local matches = require "spec.lint.matches"
local objects = require "spec.lint.objects"

-- Tables of constant pointers are written once, by the linker: .data.rel.ro.
local CONSTANT = "^%.data%.rel%.ro"
local WRITABLE = { "^%.l?data", "^%.l?bss", "^%.tdata", "^%.tbss", "^%*COM%*" }

local rule = { why = "No mutable global, static or not, in C: make it const or pass it." }

function rule.check(where, complain)
  for _, symbol in ipairs(objects.symbols(where)) do
    local is_mutable = matches(symbol.section, WRITABLE)
      and not symbol.section:find(CONSTANT)
    if is_mutable and symbol.kind ~= "SECTION" then
      complain(symbol.path, symbol.line, ("%s can be written (section %s)"):format(
        symbol.name:gsub("%.%d+$", ""), symbol.section))
    end
  end
end

return rule
