-- SPDX-License-Identifier: MIT
-- A code of an error stands in three places: AS_ERROR_MAP for C, failure.CODES for Lua,
-- and doc/errors.md for people, in its table and as a heading, with what the code says of
-- trying again.

local lua_source = require "spec.lint.lua_source"

local C_MAP, LUA_LIST, PAGE =
  "core/base/error.h", "lua/authstate/failure.lua", "doc/errors.md"

local rule = { why = "Each error code is in C, in failure.CODES and in doc/errors.md." }

-- The lines of a file that match a pattern: by what it captures first, the line's number
-- and the second capture.
local function find_codes(where, path, pattern)
  local found = {}
  for number, line in where:lines(path) do
    local code, says = line:match(pattern)
    if code then found[code] = { line = number, says = says } end
  end
  return found
end

local function in_lua(where, failure)
  local found = {}
  for _, code in ipairs(failure.CODES) do
    found[code] = { line = where:line_of(LUA_LIST, '"' .. code .. '"') }
  end
  return found
end

-- The headings of the page, with the first word behind "Again?".
local function in_sections(where)
  local found, last = {}, nil
  for number, line in where:lines(PAGE) do
    local code = line:match "^## `([%w_]+)`$"
    if code then
      last = { line = number }
      found[code] = last
    end
    local says = line:match "^%*%*Again%?%*%* (%a+)"
    if last and says then last.says = says:lower() end
  end
  return found
end

local function compare(complain, list, other)
  for code, place in pairs(list.codes) do
    if not other.codes[code] then
      complain(list.path, place.line, ("%s is not in %s"):format(code, other.name))
    end
  end
end

-- What the page says of trying again, and what the details of a failed call say.
local function compare_retry(complain, failure, codes)
  for _, code in ipairs(failure.CODES) do
    local place = codes[code]
    local _, _, _, details = failure.new(code, "")
    local wanted = details.retry and "yes" or "no"
    if place and place.says ~= wanted then
      complain(PAGE, place.line, ("%s: %s of trying again, but details.retry says %s")
        :format(code, place.says or "nothing is said", wanted))
    end
  end
end

-- Whether a token is the first argument of failure.new( ... ).
local function is_made(list, at)
  return at > 4 and list[at - 4].text == "failure" and list[at - 2].text == "new"
    and list[at - 1].text == "("
end

local function check_uses(where, complain, codes)
  for _, path in ipairs(where:files("lua", "%.lua$")) do
    local list = {}
    for token in lua_source.tokens(where:read(path)) do
      list[#list + 1] = token
      local code = token.kind == "string" and token.text:sub(2, -2)
      if code and is_made(list, #list) and not codes[code] then
        complain(path, token.line, code .. " is not in failure.CODES")
      end
    end
  end
end

function rule.check(where, complain)
  local failure = assert(loadfile(where.root .. "/" .. LUA_LIST))()
  local lists = {
    { name = "AS_ERROR_MAP", path = C_MAP,
      codes = find_codes(where, C_MAP, '^%s*X%(%w[%w_]*, %-%d+, "([%w_]+)"') },
    { name = "failure.CODES", path = LUA_LIST, codes = in_lua(where, failure) },
    { name = "the table of " .. PAGE, path = PAGE,
      codes = find_codes(where, PAGE, "^| `([%w_]+)` |.*| (%a+) |$") },
    { name = "the sections of " .. PAGE, path = PAGE, codes = in_sections(where) },
  }
  -- Each with the next one, the last with the first: nothing can be missing in one.
  for i, list in ipairs(lists) do compare(complain, list, lists[i % #lists + 1]) end
  compare_retry(complain, failure, lists[3].codes)
  compare_retry(complain, failure, lists[4].codes)
  check_uses(where, complain, lists[2].codes)
end

return rule
