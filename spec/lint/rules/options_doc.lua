-- SPDX-License-Identifier: MIT
-- doc/options.md is written from the rows that check the options.

local home = require "spec.lint.home"
local shell = require "spec.lint.shell"

local PAGE, WRITER = "doc/options.md", "doc/write_options.lua"
local COMMAND = ("LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH=%s %s %s")
  :format(shell.quote(home .. "/build/release/?.so;;"), os.getenv "LUAJIT" or "luajit",
    WRITER)

local rule = { why = "doc/options.md is what the rows of options.lua say: make options." }

local function lines_of(text)
  local list = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do list[#list + 1] = line end
  return list
end

function rule.check(where, complain)
  local status, wanted = where:run(COMMAND)
  if status ~= 0 then return complain(WRITER, 1, wanted:match "[^\n]*") end
  local there = where:has(PAGE) and where:read(PAGE) or ""
  if there == wanted then return end
  local left, right = lines_of(there), lines_of(wanted)
  for number = 1, math.max(#left, #right) do
    if left[number] ~= right[number] then
      return complain(PAGE, number, ("the line should be: %s")
        :format(shell.quote(right[number] or "none")))
    end
  end
end

return rule
