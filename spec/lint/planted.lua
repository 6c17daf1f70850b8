-- SPDX-License-Identifier: MIT
--- Trees in which a rule is broken on purpose: copies of ours, and small ones.
-- @module spec.lint.planted

local lfs = require "lfs"

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local Tree = { __name = "planted_tree" }
Tree.__index = Tree

local planted = {}

local COPY = [[tar cf - --exclude=node_modules --exclude='*.gz' %s | tar xf - -C %s]]
local CLEAN = {
  LD_PRELOAD = false, MAKEFLAGS = false, SANITIZE = false, COVERAGE = false,
}

--- Makes what lint needs of the Makefile: the flags to compile with, and the core.
function planted.make_ready()
  local code, _, err = process.run {
    "make", "-s", "DEPS=no", "build", "build/compile_flags.txt", env = CLEAN,
    timeout_ms = 120000,
  }
  assert(code == 0, err)
end

--- A copy of some of our files.
-- @param patterns words of a shell command, such as "core/base/* lua"
function planted.copy(patterns)
  local root = temporary.directory()
  local code, _, err = process.run { "sh", "-c", COPY:format(patterns, root) }
  assert(code == 0, err)
  return setmetatable({ root = root, originals = {} }, Tree)
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

local function make_folders(root, path)
  for at in path:gmatch "()/" do lfs.mkdir(root .. "/" .. path:sub(1, at - 1)) end
end

--- Writes a file anew until `restore`.
function Tree:write(path, text)
  make_folders(self.root, path)
  local full_path = self.root .. "/" .. path
  if self.originals[path] == nil then self.originals[path] = read(full_path) or false end
  write(full_path, text)
end

--- Breaks a rule.
-- @param plant { file, text (added to its end; the file is made when it is not there), or
--   old and new (what is replaced), mark (where lint must point to, by default the first
--   line that is new) }
-- @return number of the line that lint must name
function Tree:plant(plant)
  local before = read(self.root .. "/" .. plant.file) or ""
  local after, new
  if plant.old then
    local start, stop = before:find(plant.old, 1, true)
    assert(start, plant.file .. " does not have " .. plant.old)
    after, new = before:sub(1, start - 1) .. plant.new .. before:sub(stop + 1), start
  else
    after, new = before .. plant.text, #before + 1
  end
  self:write(plant.file, after)
  local at = plant.mark and assert(after:find(plant.mark, 1, true)) or new
  return 1 + select(2, after:sub(1, at - 1):gsub("\n", ""))
end

--- The number of the first line of a file that has a text.
function Tree:line_of(path, text)
  local whole = assert(read(self.root .. "/" .. path))
  local at = assert(whole:find(text, 1, true), path .. " does not have " .. text)
  return 1 + select(2, whole:sub(1, at - 1):gsub("\n", ""))
end

--- Takes back what was planted.
function Tree:restore()
  for path, text in pairs(self.originals) do
    local full_path = self.root .. "/" .. path
    if text then write(full_path, text) else os.remove(full_path) end
  end
  self.originals = {}
end

--- Runs lint over the tree.
-- @return exit status, what it printed to stdout, and to stderr
function Tree:lint(...)
  return planted.lint("--root", self.root, ...)
end

--- Runs lint over our tree, or with any arguments.
function planted.lint(...)
  return process.run {
    env = CLEAN, timeout_ms = 120000, "luajit", "spec/lint/lint.lua", ...,
  }
end

return planted
