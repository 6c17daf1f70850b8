-- SPDX-License-Identifier: MIT

-- What somebody is told whose Lua, core or paths are wrong.

local lfs = require "lfs"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"
local version = require "authstate.version"

local ROOT = lfs.currentdir()
local CORE_PATH = ("%s/build/%s"):format(ROOT, os.getenv "AUTHSTATE_BUILD" or "release")

-- Two programs meet authstate's absence: one that dies of it, one that asks twice.
local DIES = 'require "authstate"'
local ASKS = [[
local _, first = pcall(require, "authstate")
local _, second = pcall(require, "authstate")
assert(first == second, second)
assert(package.loaded.authstate == nil)
io.stdout:write(first)
]]

local function run(interpreter, program, modules, cores)
  return process.run {
    interpreter, "-e", program, cwd = temporary.directory(),
    env = {
      LUA_PATH = ("%s/?.lua;%s/?/init.lua"):format(modules, modules),
      LUA_CPATH = cores .. "/?.so", LUA_INIT = false, LUA_PATH_5_4 = false,
    },
  }
end

-- Checks that a program gets one sentence, also when it asks again, and not what the
-- loaders of `require` say.
local function check_told(sentence, interpreter, modules, cores, preamble)
  preamble = preamble or ""
  local status, out, err = run(interpreter, preamble .. ASKS, modules, cores)
  assert.equal("", err)
  assert.equal(0, status)
  assert.truthy(out:find(sentence, 1, true), out)
  assert.falsy(out:find("\n", 1, true), out)
  status, out, err = run(interpreter, preamble .. DIES, modules, cores)
  assert.equal(1, status)
  assert.equal("", out)
  assert.truthy(err:find("^" .. interpreter:gsub("%p", "%%%0") .. ": authstate"), err)
  assert.truthy(err:find(sentence, 1, true), err)
  assert.falsy(err:find("no file", 1, true), err)
end

-- The Lua modules of another version.
local function other_modules()
  local directory = temporary.directory()
  assert(os.execute(("cp -r lua/authstate %s"):format(process.quote(directory))) == 0)
  local file = assert(io.open(directory .. "/authstate/version.lua", "w"))
  file:write 'return "99.0"\n'
  file:close()
  return directory
end

-- A directory with authstate/core.so of some bytes.
local function other_core(bytes)
  local directory = temporary.directory()
  assert(lfs.mkdir(directory .. "/authstate"))
  local file = assert(io.open(directory .. "/authstate/core.so", "wb"))
  file:write(bytes)
  file:close()
  return directory
end

describe("a program that requires authstate", function()
  local modules = ROOT .. "/lua"

  for _, number in ipairs { "5.1", "5.4" } do
    it("under Lua " .. number .. " is told to run with luajit", function()
      check_told("authstate needs LuaJIT 2.1, this is Lua " .. number .. ": run the "
        .. "program with luajit", "lua" .. number, modules, CORE_PATH)
    end)
  end

  it("under an older LuaJIT is told to run with 2.1", function()
    check_told("authstate needs LuaJIT 2.1, this is LuaJIT 2.0.5: ", "luajit", modules,
      CORE_PATH, 'jit.version, jit.version_num = "LuaJIT 2.0.5", 20005 ')
  end)

  it("is told when no core was built, and where it was looked for", function()
    local nowhere = temporary.directory()
    check_told("authstate/core.so, is nowhere in package.cpath (" .. nowhere
      .. "/?.so); `make build` makes it", "luajit", modules, nowhere)
  end)

  it("is told why the core cannot be loaded", function()
    local broken = other_core "not a library"
    check_told("the compiled core cannot be loaded: error loading module "
      .. "'authstate.core' from file '" .. broken .. "/authstate/core.so'", "luajit",
      modules, broken)
  end)

  it("is told both versions when modules and core do not belong together", function()
    check_told(("the Lua modules are of version 99.0, the compiled core %s/authstate/"
      .. "core.so is of version %s; install both anew"):format(CORE_PATH, version),
      "luajit", other_modules(), CORE_PATH)
  end)

  it("is told when the core is too old to know its version", function()
    check_told("is of an older one; install both anew", "luajit", modules, CORE_PATH,
      'package.preload["authstate.core"] = function() return {} end ')
  end)

  it("gets the module when all is right", function()
    local status, out, err = run("luajit",
      'io.stdout:write(require("authstate")._VERSION)', modules, CORE_PATH)
    assert.same({ 0, version, "" }, { status, out, err })
  end)
end)

describe("the command", function()
  -- The launcher alone, in a directory as deep as bin/.
  local function lonely_launcher()
    local tree = temporary.directory()
    assert(lfs.mkdir(tree .. "/bin"))
    local path = tree .. "/bin/authstate"
    assert(os.execute(("cp bin/authstate %s"):format(process.quote(path))) == 0)
    return path
  end

  local function check_refused(sentence, command)
    local status, out, err = process.run(command)
    assert.equal(1, status)
    assert.equal("", out)
    assert.match("^authstate[^\n]+\n$", err)
    assert.truthy(err:find(sentence, 1, true), err)
  end

  it("says when there is no luajit", function()
    local programs = temporary.directory()
    assert(os.execute(("ln -s $(command -v dirname) $(command -v readlink) %s")
      :format(process.quote(programs))) == 0)
    check_refused("authstate: luajit is not found; install LuaJIT 2.1, or set LUAJIT to "
      .. "its path\n", { "/bin/sh", "bin/authstate", "sessions",
        env = { PATH = programs, LUAJIT = false } })
  end)

  it("says when LUAJIT names no program", function()
    check_refused("authstate: /nowhere/luajit is not found; ",
      { "bin/authstate", "sessions", env = { LUAJIT = "/nowhere/luajit" } })
  end)

  it("says when LUAJIT is another Lua", function()
    check_refused("authstate needs LuaJIT 2.1, this is Lua 5.4: ",
      { "bin/authstate", "sessions", env = { LUAJIT = "lua5.4" } })
  end)

  it("says when it stands where no modules are", function()
    check_refused("authstate: the Lua modules are nowhere in package.path (/nowhere/?.",
      { lonely_launcher(), "sessions", env = { LUA_PATH = "/nowhere/?.lua" } })
  end)

  it("uses the modules that LUA_PATH and LUA_CPATH name when it stands alone", function()
    local status, out = process.run { lonely_launcher(), "--version", env = {
      LUA_PATH = ROOT .. "/lua/?.lua;" .. ROOT .. "/lua/?/init.lua",
      LUA_CPATH = CORE_PATH .. "/?.so",
    } }
    assert.equal(0, status)
    assert.equal("authstate " .. version .. "\n", out)
  end)
end)
