-- SPDX-License-Identifier: MIT
-- Puts what the demo printed into the README, between its two marks:
-- luajit doc/put_demo.lua PRINTED README

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = assert(file:read "*a")
  file:close()
  return text
end

local printed, path = read(arg[1]), arg[2]
local PLACE = "(<!%-%- what `make demo` printed[^\n]*\n```\n).-(```\n<!%-%- end)"
local readme, count = read(path):gsub(PLACE,
  function(head, tail) return head .. printed .. tail end)
assert(count == 1, path .. " has no place for it")
local file = assert(io.open(path, "wb"))
assert(file:write(readme))
assert(file:close())
