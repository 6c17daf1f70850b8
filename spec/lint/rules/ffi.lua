-- SPDX-License-Identifier: MIT
-- FFI types are global in a Lua state: all declarations, and the handle of the library
-- they belong to, have one home, and the others ask it.

local lua_source = require "spec.lint.lua_source"

local HOME = "lua/authstate/core_ffi.lua"

local rule = { why = "ffi.cdef, ffi.load and require of ffi only in " .. HOME .. "." }

local function is_ffi(token)
  if token.kind == "name" then return token.text == "cdef" end
  return token.kind == "string" and token.text:find "^%p+ffi%p+$" ~= nil
end

function rule.check(where, complain)
  for _, path in ipairs(where:files("lua", "%.lua$")) do
    for token in lua_source.tokens(path == HOME and "" or where:read(path)) do
      if is_ffi(token) then
        complain(path, token.line, token.text .. " is for " .. HOME .. " only")
      end
    end
  end
end

return rule
