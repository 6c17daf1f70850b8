-- SPDX-License-Identifier: MIT
-- A number that stands twice is wrong after the next release. The CHANGELOG is history.

local HOME = "lua/authstate/version.lua"
-- The versions of other people's packages.
local FOREIGN = { ["CHANGELOG.md"] = true }

local rule = { why = "The version stands in " .. HOME .. " and nowhere else." }

local function is_foreign(path)
  return FOREIGN[path] or path:find "package%-lock%.json$" or path:find "package%.json$"
    or path:find "%.gz$"
end

-- Whether a line has the number, not as a part of a longer one.
local function has_number(line, number)
  local start, stop = line:find(number, 1, true)
  while start do
    local before, after = line:sub(start - 1, start - 1), line:sub(stop + 1, stop + 2)
    if not before:find "[%d.]" and not after:find "^%.?%d" then return true end
    start, stop = line:find(number, stop + 1, true)
  end
  return false
end

function rule.check(where, complain)
  local number = where:read(HOME):match 'return "(%d+%.%d+%.%d+)'
  if not number then return complain(HOME, 1, "it does not return a version") end
  for _, path in ipairs(where:files("")) do
    if path ~= HOME and not is_foreign(path) then
      for line_number, line in where:lines(path) do
        if has_number(line, number) then
          complain(path, line_number, "the version is repeated: read " .. HOME)
        end
      end
    end
  end
end

return rule
