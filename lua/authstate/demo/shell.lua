-- SPDX-License-Identifier: MIT
--- Programs that the demo starts.

local shell = {}

local function quote(word)
  return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function command_line(words)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = quote(word) end
  return "exec " .. table.concat(quoted, " ")
end

--- The LuaJIT that runs this process.
function shell.interpreter()
  local at = 0
  while arg[at - 1] do at = at - 1 end
  return arg[at]
end

--- Starts a program whose output is read.
-- @param words list of program and arguments
-- @return a file
function shell.read_from(words)
  return assert(io.popen(command_line(words), "r"))
end

--- Starts a program whose input is written.
function shell.write_to(words)
  return assert(io.popen(command_line(words), "w"))
end

return shell
