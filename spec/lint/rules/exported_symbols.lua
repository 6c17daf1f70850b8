-- SPDX-License-Identifier: MIT
-- The core shares a process with other libraries: it gives out only what is listed here.

local objects = require "spec.lint.objects"

-- FFI is where authstate_... is called from.
local ALLOWED = {
  authstate_now_ms = "core/binding/ffi.c",
  authstate_read = "core/binding/ffi.c",
  authstate_set = "core/binding/ffi.c",
  luaopen_authstate_core = "core/binding/core.c",
}

local rule = { why = "core.so exports what is listed in this rule, and nothing else." }

-- Where a name is defined.
local function place_of(where, name)
  for _, symbol in ipairs(objects.symbols(where)) do
    if symbol.name == name and symbol.class ~= "U" then
      return symbol.path, symbol.line
    end
  end
end

function rule.check(where, complain)
  local exported = {}
  for _, name in ipairs(objects.exported(where)) do
    exported[name] = true
    if not ALLOWED[name] then
      local path, line = place_of(where, name)
      complain(path or "core", line or 1, name .. " is exported: hide it, or list it in "
        .. "spec/lint/rules/exported_symbols.lua")
    end
  end
  for name, path in pairs(ALLOWED) do
    if not exported[name] then complain(path, 1, name .. " is not exported") end
  end
end

return rule
