-- SPDX-License-Identifier: MIT
--- A tree: the files of the project under one root, as the rules see them. Paths are
-- relative to the root. What is built, fetched or hidden is not part of it, except for
-- the few hidden files that we write.
-- @module spec.lint.tree

local shell = require "spec.lint.shell"

local Tree = { __name = "tree" }
Tree.__index = Tree

local tree = {}

local FIND = [[find . \( -name build -o -name node_modules -o -name .git \) -prune -o
  -type f -print | sed 's,^\./,,' | LC_ALL=C sort]]

--- @tparam string root a directory
function tree.open(root)
  local code, output = shell.run(root, FIND:gsub("\n", " "))
  assert(code == 0, output)
  local paths = {}
  for path in output:gmatch("[^\n]+") do paths[#paths + 1] = path end
  return setmetatable({ root = root, paths = paths }, Tree)
end

--- The files in a folder, "" for the root with all below, whose path matches a pattern.
-- @treturn {string,...} paths, sorted
function Tree:files(folder, pattern)
  local found = {}
  for _, path in ipairs(self.paths) do
    local is_inside = folder == "" or path:sub(1, #folder + 1) == folder .. "/"
    if is_inside and path:find(pattern or ".") then found[#found + 1] = path end
  end
  return found
end

--- Whether there is a file of this path.
function Tree:has(path)
  local file = io.open(self.root .. "/" .. path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- The whole of a file; it must be there.
function Tree:read(path)
  local file = assert(io.open(self.root .. "/" .. path, "rb"))
  local text = assert(file:read "*a")
  file:close()
  return text
end

--- Iterates over the lines of a file: number, line.
function Tree:lines(path)
  local text = self:read(path)
  if text:sub(-1) ~= "\n" then text = text .. "\n" end
  local next_line, number = text:gmatch "([^\n]*)\n", 0
  return function()
    number = number + 1
    local line = next_line()
    return line and number, line
  end
end

--- The number of the first line that contains a text, 1 when none does.
function Tree:line_of(path, text)
  for number, line in self:lines(path) do
    if line:find(text, 1, true) then return number end
  end
  return 1
end

--- Runs a shell command in the root.
-- @treturn number exit status
-- @treturn string what it printed, errors too
function Tree:run(command)
  return shell.run(self.root, command)
end

return tree
