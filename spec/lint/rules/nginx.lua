-- SPDX-License-Identifier: MIT
-- What knows of nginx lies in one file; everything else runs in any LuaJIT.

local lua_source = require "spec.lint.lua_source"

local DRIVER = "lua/authstate/drivers/openresty.lua"

local rule = { why = "ngx and resty modules only in " .. DRIVER .. "." }

function rule.check(where, complain)
  for _, path in ipairs(where:files("lua", "%.lua$")) do
    for token in lua_source.tokens(path == DRIVER and "" or where:read(path)) do
      if token.kind == "name" and token.text == "ngx"
         or token.kind == "string" and token.text:find "^.resty%." then
        complain(path, token.line, token.text .. " is for " .. DRIVER .. " only")
      end
    end
  end
end

return rule
