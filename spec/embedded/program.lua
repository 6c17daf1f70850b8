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

local function command_of(options)
  local command = {}
  for _, word in ipairs(options.before or {}) do command[#command + 1] = word end
  command[#command + 1] = luajit_path()
  command[#command + 1] = temporary.file(HEAD .. options.text, "program.lua")
  for _, word in ipairs(options) do command[#command + 1] = word end
  command.cwd, command.timeout_ms = options.cwd, options.timeout_ms
  command.env = {
    HOME = "/nowhere", XDG_STATE_HOME = false,
    LUA_PATH = ROOT .. "/lua/?.lua;" .. ROOT .. "/lua/?/init.lua;;",
    LUA_CPATH = ROOT .. "/build/" .. FLAVOUR .. "/?.so;;",
  }
  for name, value in pairs(options.env or {}) do command.env[name] = value end
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
  local words = {}
  local line = output:match "([^\n]*)\n[^\n]*$" or ""
  for word in (line .. "\t"):gmatch "([^\t]*)\t" do words[#words + 1] = word end
  return words
end

--- Waits until a started one has reported a line that begins with a word.
-- @treturn table the words of its last line
function program.await(handle, word)
  clock.wait_for(function()
    return ("\n" .. handle:output()):find("\n" .. word, 1, true) or not handle:alive()
  end, 30000)
  local words = program.words(handle:output())
  if words[1] ~= word then
    error(("%q expected, got %q; %s"):format(word, handle:output(), handle:errors()), 2)
  end
  return words
end

return program
