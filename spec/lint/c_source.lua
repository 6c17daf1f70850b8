-- SPDX-License-Identifier: MIT
--- What the rules read in C sources.
-- @module spec.lint.c_source

local c_source = {}

--- The layer of a file of the core, nil for one that lies in none.
function c_source.layer(path)
  return path:match "^core/([^/]+)/"
end

--- Sources and headers of the core.
function c_source.files(where)
  return where:files("core", "%.[ch]$")
end

--- Iterates over the includes of a file: { line, name, is_ours }; ours are in quotes.
function c_source.includes(where, path)
  local list = {}
  for number, line in where:lines(path) do
    local open, name = line:match '^%s*#%s*include%s*(["<])([^">]+)[">]'
    if name then
      list[#list + 1] = { line = number, name = name, is_ours = open == '"' }
    end
  end
  return ipairs(list)
end

--- Whether a header is one of Lua's: lua.h, lauxlib.h, lualib.h, luaconf.h, luajit.h.
function c_source.is_lua_header(name)
  return name:find "^lua%w*%.h$" ~= nil or name == "lauxlib.h"
end

-- The end of a comment or of something in quotes; nil when there is only a slash.
local function no_code_end(text, start)
  local first, two = text:sub(start, start), text:sub(start, start + 1)
  if two == "/*" then
    return select(2, text:find("*/", start + 2, true)) or #text
  elseif two == "//" then
    return (text:find("\n", start, true) or #text + 1) - 1
  elseif first == "/" then
    return nil
  end
  local stop = start + 1
  while stop < #text and text:sub(stop, stop) ~= first do
    stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
  end
  return stop
end

local function blank(text)
  return (text:gsub("[^\n]", " "))
end

--- The text without comments and without what is in quotes; lines stay where they are.
function c_source.code(text)
  local code, at = {}, 1
  while at <= #text do
    local start = text:find([=[["'/]]=], at)
    if not start then break end
    code[#code + 1] = text:sub(at, start - 1)
    local stop = no_code_end(text, start)
    code[#code + 1] = stop and blank(text:sub(start, stop)) or "/"
    at = (stop or start) + 1
  end
  code[#code + 1] = text:sub(at)
  return table.concat(code)
end

return c_source
