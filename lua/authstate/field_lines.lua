-- SPDX-License-Identifier: MIT
--- Finds the line of a Lua file where a field is written, for messages about what the
-- file returns: a value does not know where it comes from, so its text is looked through.
--
-- A field is written as `name =` in a table constructor, as `a.name =` or `a["name"] =`.
-- Each such place has a path, the names of the constructors around it included:
-- `return { options = { redis = { port = 1 } } }` writes options.redis.port. Of all
-- places the one whose path has most in common with the wanted one, from its end on, is
-- meant.

local field_lines = {}

local function skip_long(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, last = text:find("]" .. level .. "]", at, true)
  return last and last + 1 or #text + 1
end

local function skip_comment(text, at)
  if text:sub(at, at + 1) ~= "--" then return nil end
  return skip_long(text, at + 2) or text:find("\n", at, true) or #text + 1
end

-- The position behind the string at `at`; nil when there is none.
local function skip_string(text, at)
  local quote = text:match("^[\"']", at)
  local behind = at + 1
  while quote and behind <= #text do
    local byte = text:sub(behind, behind)
    if byte == "\\" then behind = behind + 1 end
    if byte == quote or byte == "\n" then return behind + 1 end
    behind = behind + 1
  end
  return quote and behind or skip_long(text, at)
end

-- The kinds of token, in the order in which they are tried: name, and the position behind
-- the token at `at`, or nil.
local KINDS = {
  { "space", function(text, at) return text:match("^%s+()", at) end },
  { "space", skip_comment },
  { "string", skip_string },
  { "name", function(text, at) return text:match("^[%a_][%w_]*()", at) end },
  { "number", function(text, at) return text:match("^%.?%d[%w.]*()", at) end },
  { "symbol", function(text, at) return text:match("^[=~<>]=()", at) end },
  { "symbol", function(_, at) return at + 1 end },
}

local function count_lines(text)
  return select(2, text:gsub("\n", ""))
end

-- The tokens of a text: { kind, text, line } each.
local function tokens_of(text)
  local tokens, at, line = {}, text:match "^#[^\n]*()" or 1, 1
  while at <= #text do
    local behind, kind
    for _, each in ipairs(KINDS) do
      kind, behind = each[1], each[2](text, at)
      if behind then break end
    end
    local token = text:sub(at, behind - 1)
    if kind ~= "space" then
      tokens[#tokens + 1] = { kind = kind, text = token, line = line }
    end
    line, at = line + count_lines(token), behind
  end
  return tokens
end

-- What a token is as a key: of a string what is in its quotes.
local function key_of(token)
  if token.kind ~= "string" then return token.text end
  return token.text:match "^[\"'](.*)[\"']$" or token.text:match "^%[=*%[(.*)%]=*%]$"
end

local function is_symbol(token, text)
  return token ~= nil and token.kind == "symbol" and token.text == text
end

-- The names of `a.b["c"]` that end before tokens[last + 1], the last name first.
local function names_before(tokens, last)
  local names = {}
  while tokens[last] do
    local token = tokens[last]
    if token.kind == "name" then
      names[#names + 1] = token.text
      if not is_symbol(tokens[last - 1], ".") then break end
      last = last - 2
    elseif is_symbol(token, "]") and is_symbol(tokens[last - 2], "[") and
       tokens[last - 1].kind ~= "name" then
      names[#names + 1] = key_of(tokens[last - 1])
      last = last - 3
    else
      break
    end
  end
  return names
end

-- All places where something is written: { names, the last first; line; value = the token
-- behind the sign }.
local function places_in(text)
  local tokens, places, around = tokens_of(text), {}, {}
  for i, token in ipairs(tokens) do
    if is_symbol(token, "{") then
      local is_field = is_symbol(tokens[i - 1], "=")
      around[#around + 1] = is_field and places[#places].names or {}
    elseif is_symbol(token, "}") then
      around[#around] = nil
    elseif is_symbol(token, "=") then
      local names = names_before(tokens, i - 1)
      for _, name in ipairs(around[#around] or {}) do names[#names + 1] = name end
      places[#places + 1] =
        { names = names, line = tokens[i - 1].line, value = tokens[i + 1] }
    end
  end
  return places
end

-- How many of the wanted names a place has, from the end on.
local function common_names(place, wanted)
  local count = 0
  while count < #wanted and place.names[count + 1] == wanted[#wanted - count] do
    count = count + 1
  end
  return count
end

local function writes(place, value)
  local token = place.value
  return token ~= nil and (token.text == tostring(value) or
    token.kind == "string" and key_of(token) == value)
end

-- Whether a place inside a field of this name may be meant.
local function is_inside(place, field)
  for i = 2, #place.names do
    if place.names[i] == field then return true end
  end
  return false
end

--- The line where a field is written.
-- @param text of a Lua file
-- @param wanted list of names, the outermost first: { "options", "redis", "port" }
-- @param value what the field is: a place that writes just this goes before another
-- @param except name of a field in which it is not, or nil
-- @return line; or nil when it is not found
function field_lines.find(text, wanted, value, except)
  local best, best_rank
  for _, place in ipairs(places_in(text)) do
    local count = common_names(place, wanted)
    local rank = 4 * count + (writes(place, value) and 2 or 0)
      + (#place.names == count and 1 or 0)
    if count > 0 and not (except and is_inside(place, except)) and
       (not best or rank > best_rank) then
      best, best_rank = place, rank
    end
  end
  return best and best.line
end

return field_lines
