-- SPDX-License-Identifier: MIT
-- What knows of nginx is its driver and the folder beside it; everything else runs in any
-- LuaJIT.

local lua_source = require "spec.lint.lua_source"

local DRIVER, FOLDER = "lua/authstate/drivers/openresty.lua", "lua/authstate/openresty/"

local rule = { why = ("ngx and resty modules only in %s and %s."):format(DRIVER, FOLDER) }

local function is_home(path)
  return path == DRIVER or path:sub(1, #FOLDER) == FOLDER
end

function rule.check(where, complain)
  for _, path in ipairs(where:files("lua", "%.lua$")) do
    for token in lua_source.tokens(is_home(path) and "" or where:read(path)) do
      if token.kind == "name" and token.text == "ngx"
         or token.kind == "string" and token.text:find "^.resty%." then
        complain(path, token.line, token.text .. " is for " .. DRIVER .. " only")
      end
    end
  end
end

return rule
