-- SPDX-License-Identifier: MIT
-- What one file of the core gives to the others is named as_noun_verb; what Lua's loader
-- sees, luaopen_...; what FFI will see, authstate_...

local matches = require "spec.lint.matches"
local objects = require "spec.lint.objects"

local NAMES = { "^as_%l", "^authstate_%l", "^luaopen_authstate_" }
-- nm writes the class of a name that other files see in capitals.
local SEEN = "^[ABCDGRSTVW]$"

local rule = { why = "Names between the core's files begin with as_; others are static." }

function rule.check(where, complain)
  for _, symbol in ipairs(objects.symbols(where)) do
    if symbol.class:find(SEEN) and not matches(symbol.name, NAMES) then
      complain(symbol.path, symbol.line,
        ("%s does not begin with as_: make it static or rename it"):format(symbol.name))
    end
  end
end

return rule
