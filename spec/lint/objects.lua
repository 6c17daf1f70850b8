-- SPDX-License-Identifier: MIT
--- The C sources compiled for lint, with the flags of the Makefile, which writes them to
-- build/compile_flags.txt. Objects lie in build/lint-gcc/ of the tree.
-- @module spec.lint.objects

local home = require "spec.lint.home"
local memory = require "spec.lint.memory"
local shell = require "spec.lint.shell"

local FLAGS_PATH = home .. "/build/compile_flags.txt"

-- Programs of one file, outside the core: what specs include, and a parameter may have
-- the name of its type.
local PROGRAM_FLAGS = "-Ispec/base -Wno-shadow"

-- Two runs at a time do not meet.
local COMPILE = [[object="build/lint-gcc/${1%%.c}.o"; mkdir -p "$(dirname "$object")"
if gcc %s -Werror -fdebug-prefix-map="$PWD"=. -c -o "$object.$$" "$1"
then mv "$object.$$" "$object"
else rm -f "$object"; false
fi]]

local objects = {}

-- The results of the compiler, by tree.
local compiled = setmetatable({}, { __mode = "k" })

--- The flags to compile "$1" with, as words of a shell command.
function objects.flags()
  local file = io.open(FLAGS_PATH)
  if not file then error(FLAGS_PATH .. " is missing: make " .. FLAGS_PATH, 0) end
  local list = {}
  for flag in file:lines() do list[#list + 1] = flag end
  file:close()
  return ('%s $(case "$1" in core/*) ;; *) echo %s ;; esac)'):format(shell.words(list),
    PROGRAM_FLAGS)
end

--- All C sources of the tree.
function objects.sources(where)
  local list = {}
  for _, folder in ipairs { "core", "spec", "bench" } do
    for _, path in ipairs(where:files(folder, "%.c$")) do list[#list + 1] = path end
  end
  return list
end

--- Compiles all sources, once in a run, those that changed since they were compiled
-- without a warning. Every warning is an error.
-- @param where tree
-- @return see shell.run_each
function objects.compile(where)
  if not compiled[where] then
    local flags = objects.flags()
    local command = memory.unless_clean(where, {
      name = "gcc", preprocessor = "gcc", flags = flags, command = COMPILE:format(flags),
    })
    compiled[where] = shell.run_each(where.root, command, objects.sources(where))
  end
  return compiled[where]
end

-- `name |value |class |type |size |line |section`, and behind a tab the place in the
-- source when the debug information has it.
local function parse_symbol(line, source)
  local fields = {}
  for field in (line:match "^[^\t]*" .. "|"):gmatch "%s*(.-)%s*|" do
    fields[#fields + 1] = field
  end
  if #fields < 7 then return nil end
  local path, number = line:match "\t%.?/?(.-):(%d+)$"
  return {
    name = fields[1], class = fields[3], kind = fields[4], section = fields[7],
    source = source, path = path or source, line = tonumber(number),
  }
end

-- Not every place is in the debug information: then the first line with the name.
local function add_line(where, symbol)
  local name = symbol.name:gsub("%.%d+$", "")
  symbol.line = symbol.line or where:line_of(symbol.path, name)
  return symbol
end

local function object_of(source)
  return "build/lint-gcc/" .. source:gsub("%.c$", ".o")
end

-- The core's sources; an error when one of them has no object.
local function core_sources(where)
  local list = {}
  for _, result in ipairs(objects.compile(where)) do
    if result.file:find "^core/" then
      if result.status ~= 0 then
        error(result.file .. " cannot be compiled: see rule gcc", 0)
      end
      list[#list + 1] = result.file
    end
  end
  return list
end

-- Runs a tool that has no reason to fail.
local function ask(where, command)
  local status, output = where:run(command)
  if status ~= 0 then error(("%s: %s"):format(command, output), 0) end
  return output
end

--- The symbols of the core's objects, those that they need included.
-- @return list of { name, class (see nm), kind, section, source, path, line }
function objects.symbols(where)
  local symbols = {}
  for _, source in ipairs(core_sources(where)) do
    local output = ask(where, "nm -l -f sysv " .. object_of(source))
    for line in output:gmatch "[^\n]+" do
      local symbol = parse_symbol(line, source)
      symbols[#symbols + 1] = symbol and add_line(where, symbol)
    end
  end
  return symbols
end

--- Links the core's objects and gives the names that the library exports.
function objects.exported(where)
  local words = {}
  for i, source in ipairs(core_sources(where)) do words[i] = object_of(source) end
  local library = "build/lint-gcc/core.so"
  local output = ask(where, ("gcc -shared -o %s %s && nm -D --defined-only %s")
    :format(library, shell.words(words), library))
  local names = {}
  for name in output:gmatch "%x+ %a (%S+)" do names[#names + 1] = name end
  return names
end

return objects
