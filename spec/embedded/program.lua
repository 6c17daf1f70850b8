-- SPDX-License-Identifier: MIT

--- Lua programs that use the private server, each in a process of its own, with an
-- environment and a working directory of its own.
-- @module spec.embedded.program

local clock = require "spec.support.clock"
local lfs = require "lfs"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local ROOT = lfs.currentdir()
local FLAVOUR = os.getenv "AUTHSTATE_BUILD" or "release"

local HEAD = [[
local authstate = require "authstate"
local core = require "authstate.core"
local function report(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
  io.write(table.concat(words, "\t"), "\n")
  io.flush()
end
-- Waits for a file.
local function await(path)
  local file
  repeat
    file = io.open(path)
    if not file then core.sleep_ms(1) end
  until file
  file:close()
end
local function open(options)
  options = options or { data_dir = arg[1] }
  local store, message, code = authstate.open(options)
  if not store then report("failed", code, message) os.exit(3) end
  return store
end
]]

local program = {}

-- The path of LuaJIT, for processes without a PATH.
local luajit
local function luajit_path()
  if not luajit then
    local name = os.getenv "LUAJIT" or "luajit"
    local _, out = process.run { "sh", "-c", "command -v " .. name }
    luajit = out:match "^(/[^\n]+)\n$"
  end
  return luajit
end

--- The first words of a command that runs a text: those of LuaJIT and of a file.
-- @param text see `run`
-- @treturn string
-- @treturn string
function program.words_for(text)
  return luajit_path(), temporary.file(HEAD .. text, "program.lua")
end

--- The environment of every program.
-- @param changes name to value, or to false for unset; may be nil
function program.environment(changes)
  local env = {
    HOME = "/nowhere", XDG_STATE_HOME = false,
    LUA_PATH = ("%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;;"):format(ROOT, ROOT, ROOT),
    LUA_CPATH = ROOT .. "/build/" .. FLAVOUR .. "/?.so;;",
  }
  for name, value in pairs(changes or {}) do env[name] = value end
  return env
end

local function command_of(options)
  local command = {}
  for _, word in ipairs(options.before or {}) do command[#command + 1] = word end
  command[#command + 1], command[#command + 2] = program.words_for(options.text)
  for _, word in ipairs(options) do command[#command + 1] = word end
  command.cwd, command.timeout_ms = options.cwd, options.timeout_ms
  command.env = program.environment(options.env)
  return command
end

--- Runs one to its end. It sees `authstate`, `core`, `report(...)`, which writes a line
-- of words, `await(path)`, `open(options)` (of `arg[1]`; reports and ends when that
-- fails) and `arg`.
-- @param options arguments; besides text, env, cwd, before (words in front of the
-- program)
-- @treturn number exit status
-- @treturn table the words of its last line
-- @treturn string what it wrote to stderr
function program.run(options)
  local status, out, err = process.run(command_of(options))
  return status, program.words(out), err
end

--- Starts one.
function program.start(options)
  return process.start(command_of(options))
end

--- The words of the last whole line of an output.
function program.words(output)
  return program.split(output:match "([^\n]*)\n[^\n]*$" or "")
end

--- The words of a line.
function program.split(line)
  local words = {}
  for word in (line .. "\t"):gmatch "([^\t]*)\t" do words[#words + 1] = word end
  return words
end

-- The words of the last whole line that begins with a word, nil when there is none.
local function find_words(output, word)
  local found
  for line in output:gmatch "([^\n]*)\n" do
    local words = program.split(line)
    if words[1] == word then found = words end
  end
  return found
end

--- Waits until a started one has reported a line whose first word is this.
-- @treturn table the words of its last such line
function program.await(handle, word)
  local found = clock.wait_for(function()
    local is_over = not handle:alive()
    return find_words(handle:output(), word) or is_over and {}
  end, 30000)
  if not found or not found[1] then
    error(("%q expected, got %q; %s"):format(word, handle:output(), handle:errors()), 2)
  end
  return found
end

return program
