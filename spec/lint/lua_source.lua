-- SPDX-License-Identifier: MIT
--- What the rules read in Lua sources: their words, without comments and strings.
-- @module spec.lint.lua_source

local lua_source = {}

-- The end of a long bracket that opens at a place, nil when none does.
local function long_end(text, at)
  local equals = text:match("^%[(=*)%[", at)
  if not equals then return nil end
  return select(2, text:find("]" .. equals .. "]", at, true)) or #text
end

-- The end of a string in quotes that opens at a place.
local function string_end(text, at)
  local quote, stop = text:sub(at, at), at + 1
  while stop < #text and text:sub(stop, stop) ~= quote do
    stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
  end
  return stop
end

-- The end of the comment that opens at a place.
local function comment_end(text, at)
  return long_end(text, at + 2) or (text:find("\n", at, true) or #text + 1) - 1
end

--- Iterates over the tokens of a text: a table { kind, text, line }; kinds are "name",
-- "number", "string" (with its quotes) and "sign" (one character). Comments are left out.
function lua_source.tokens(text)
  local at, line = 1, 1
  local function take(stop, kind)
    local token = { kind = kind, text = text:sub(at, stop), line = line }
    line = line + select(2, token.text:gsub("\n", ""))
    at = stop + 1
    return token
  end
  return function()
    while at <= #text do
      local character, two = text:sub(at, at), text:sub(at, at + 1)
      if two == "--" then
        take(comment_end(text, at))
      elseif character:find "%s" then
        take(select(2, text:find("^%s+", at)))
      elseif character == '"' or character == "'" then
        return take(string_end(text, at), "string")
      elseif long_end(text, at) then
        return take(long_end(text, at), "string")
      elseif character:find "[%a_]" then
        return take(select(2, text:find("^[%w_]+", at)), "name")
      elseif character:find "%d" then
        return take(select(2, text:find("^[%w%.]+", at)), "number")
      else
        return take(at, "sign")
      end
    end
  end
end

local OPENS = { ["do"] = true, ["if"] = true, ["repeat"] = true, ["function"] = true }
local CLOSES = { ["end"] = true, ["until"] = true }

-- The name behind the word `function`: "a.b:c", or nil for a nameless one.
local function function_name(list, at)
  local words = {}
  while list[at] and (list[at].kind == "name" or list[at].text:find "^[.:]$") do
    words[#words + 1] = list[at].text
    at = at + 1
  end
  if words[1] then return table.concat(words) end
end

--- The functions of a text: list of { name (nil for a nameless one), line, last_line }.
function lua_source.functions(text)
  local list, found, open = {}, {}, {}
  for token in lua_source.tokens(text) do list[#list + 1] = token end
  for i, token in ipairs(list) do
    if token.kind == "name" and OPENS[token.text] then
      open[#open + 1] = token.text == "function"
        and { line = token.line, name = function_name(list, i + 1) } or false
    elseif token.kind == "name" and CLOSES[token.text] then
      local block = table.remove(open)
      if block then
        block.last_line = token.line
        found[#found + 1] = block
      end
    end
  end
  return found
end

return lua_source
