-- SPDX-License-Identifier: MIT
-- math.random is one generator for a whole process: not unpredictable enough for names of
-- writers (core.random), and its seed is not printed when a spec fails (support.random).

local lua_source = require "spec.lint.lua_source"

-- Free ports are no choice of a spec.
local HOMES = {
  ["spec/support/random.lua"] = true, ["spec/support/redis_server.lua"] = true,
}

local rule = { why = "Randomness by core.random in lua/, by support.random in spec/." }

function rule.check(where, complain)
  for _, folder in ipairs { "lua", "spec" } do
    for _, path in ipairs(where:files(folder, "%.lua$")) do
      local before, last = {}, {}
      for token in lua_source.tokens(HOMES[path] and "" or where:read(path)) do
        if before.text == "math" and last.text == "." and token.text:find "^random" then
          complain(path, token.line, "math." .. token.text .. ": " .. rule.why)
        end
        before, last = last, token
      end
    end
  end
end

return rule
