-- SPDX-License-Identifier: MIT
-- A function is read at one look. Of the specs, and of the scripts that make policies and
-- preload rules, only named functions count: what describes or makes something holds all
-- of it.

local c_source = require "spec.lint.c_source"
local lua_source = require "spec.lint.lua_source"
local matches = require "spec.lint.matches"

local MAX_LINES = 50

local rule = { why = "No function is longer than " .. MAX_LINES .. " lines." }

-- The functions of a C text: list of { name, line, last_line }.
local function c_functions(text)
  local found, depth, number, open = {}, 0, 0, nil
  for line in (c_source.code(text) .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    if depth == 0 then
      -- A declarator may go over several lines: its first one has the name.
      local name = line:match "^[%a].-([%w_]+)%("
      if name then open = { name = name, line = number } end
    end
    local is_body = open and (depth > 0 or line:find "%) {")
    depth = depth + select(2, line:gsub("{", "")) - select(2, line:gsub("}", ""))
    if is_body and depth == 0 then
      open.last_line = number
      found[#found + 1] = open
      open = nil
    end
  end
  return found
end

local MAKERS = { "^spec/", "^lua/authstate/policies/", "^lua/authstate/preload/" }

local function lua_functions(where, path)
  local found = {}
  for _, each in ipairs(lua_source.functions(where:read(path))) do
    if each.name or not matches(path, MAKERS) then found[#found + 1] = each end
  end
  return found
end

local function judge(complain, path, functions)
  for _, each in ipairs(functions) do
    local length = each.last_line - each.line + 1
    if length > MAX_LINES then
      complain(path, each.line, ("%s has %d lines, at most %d are allowed"):format(
        each.name or "a function", length, MAX_LINES))
    end
  end
end

function rule.check(where, complain)
  for _, folder in ipairs { "core", "lua", "spec", "doc", "bench", "bin" } do
    for _, path in ipairs(where:files(folder, "%.[ch]$")) do
      judge(complain, path, c_functions(where:read(path)))
    end
    for _, path in ipairs(where:files(folder, "%.lua$")) do
      judge(complain, path, lua_functions(where, path))
    end
  end
end

return rule
