-- SPDX-License-Identifier: MIT

-- Installing, with the real make and luarocks, into an empty tree.

local lfs = require "lfs"
local temporary = require "spec.support.temporary"
local version = require "authstate.version"
local visitor = require "spec.rock.visitor"

local ROOT = lfs.currentdir()

-- Stores and reads a record in a private server; tells where it was loaded from.
local PROGRAM = [[
local authstate = require "authstate"
local store = assert(authstate.open { data_dir = arg[1] })
local session = store:session "visitor"
assert(session:save_creds { registered = true })
assert(session.keys:set { ["pre-key"] = { ["1"] = { public = authstate.bytes "p" } } })
assert(assert(session:load_creds()).registered == true)
assert(session.keys:get("pre-key", { "1" })["1"].public:raw() == "p")
assert(store:close())
print(package.searchpath("authstate.version", package.path))
print(package.searchpath("authstate.core", package.cpath))
]]

-- A rocks server, and the source unpacked from it: what somebody gets who has no clone.
local server, source

local function make_server()
  server = temporary.directory()
  visitor.succeed { ROOT .. "/rocks/make-server", server }
  local unpacked = temporary.directory()
  visitor.succeed { "tar", "-C", unpacked, "-xf", server .. "/authstate-scm-1.tar.gz" }
  source = unpacked .. "/authstate-scm-1"
end

local function luarocks(words)
  table.insert(words, 1, "luarocks")
  table.insert(words, 2, "--lua-version=5.1")
  return words
end

-- A directory of programs that write down that they were called, and fail.
local function tripwire(names)
  local directory = temporary.directory()
  for _, name in ipairs(names) do
    local file = assert(io.open(directory .. "/" .. name, "w"))
    file:write("#!/bin/sh\necho ", name, " >>", directory, "/called\nexit 1\n")
    file:close()
    visitor.succeed { "chmod", "+x", directory .. "/" .. name }
  end
  return directory, directory .. "/called"
end

local function exists(path)
  return lfs.attributes(path) ~= nil
end

-- Each puts authstate into the empty directory `tree`. The demo, which takes a while, is
-- run where the most hands were at work.
local WAYS = {
  {
    name = "make install",
    install = function(tree)
      visitor.succeed { "make", "-s", "install", "DEPS=no", "PREFIX=" .. tree,
        cwd = source }
    end,
    paths = function(tree)
      return ("LUA_PATH='%s/share/lua/5.1/?.lua;%s/share/lua/5.1/?/init.lua;;'; "
        .. "LUA_CPATH='%s/lib/lua/5.1/?.so;;'; export LUA_PATH LUA_CPATH"):format(tree,
        tree, tree)
    end,
  },
  {
    name = "luarocks make",
    install = function(tree)
      visitor.succeed(luarocks { "make", "--deps-mode=none", "--tree=" .. tree,
        cwd = source })
    end,
  },
  {
    name = "luarocks install from a local server", runs_demo = true,
    install = function(tree)
      visitor.succeed(luarocks { "install", "--only-server=" .. server,
        "--tree=" .. tree, "authstate" })
    end,
  },
}

local function luarocks_paths(tree)
  return visitor.succeed(luarocks { "path", "--tree=" .. tree })
end

setup(make_server)

for _, way in ipairs(WAYS) do
  describe(way.name .. " into an empty tree", function()
    local tree

    setup(function()
      tree = temporary.directory()
      way.install(tree)
    end)

    it("gives a module that LuaJIT loads from that tree and no other place", function()
      local paths = (way.paths or luarocks_paths)(tree)
      local printed = visitor.succeed {
        "sh", "-c", paths .. '\nexec luajit "$0" "$1"',
        temporary.file(PROGRAM, "program.lua"), temporary.directory() .. "/state",
      }
      assert.equal(("%s/share/lua/5.1/authstate/version.lua\n"
        .. "%s/lib/lua/5.1/authstate/core.so\n"):format(tree, tree), printed)
    end)

    it("gives a command that works in any directory, whatever paths are set", function()
      local said = "authstate " .. version .. "\n"
      local command = tree .. "/bin/authstate"
      assert.equal(said, visitor.succeed { command, "--version" })
      assert.equal(said, visitor.succeed { "authstate", "--version",
        path = tree .. "/bin" })
      assert.equal(said, visitor.succeed { command, "--version",
        env = { LUA_PATH = "/nowhere/?.lua", LUA_CPATH = "/nowhere/?.so" } })
      assert.equal(said, visitor.succeed { command, "--version",
        env = { LUA_PATH = "", LUA_CPATH = "" } })
      assert.match("\n  demo +", visitor.succeed { command, "--help" })
    end)

    it("gives a command that works through symbolic links", function()
      local directory = temporary.directory()
      visitor.succeed { "ln", "-s", tree .. "/bin/authstate", directory .. "/first" }
      visitor.succeed { "ln", "-s", "first", directory .. "/second" }
      assert.equal("authstate " .. version .. "\n",
        visitor.succeed { directory .. "/second", "--version" })
    end)

    it("brings all modules, the sources of the scripts in Redis, the demo's session",
      function()
        local modules = tree .. "/share/lua/5.1/"
        for path in visitor.succeed({ "find", "lua", "-type", "f", cwd = source })
          :gmatch "lua/([^\n]+)" do
          assert.is_true(exists(modules .. path), path)
        end
        assert.is_true(exists(modules .. "authstate/demo/small.json.gz"))
        assert.is_true(exists(modules .. "authstate/demo/small.trace.jsonl.gz"))
      end)

    if way.runs_demo then
      it("brings a demo that runs", function()
        local out = visitor.succeed { tree .. "/bin/authstate", "demo" }
        assert.match("\nreplay   4850 of 4850\n", out)
        assert.match("\nlost: 0\ndoubled: 0\n$", out)
      end)
    end
  end)
end

describe("make install", function()
  it("tells the command where modules are that do not lie under PREFIX", function()
    local tree = temporary.directory()
    local modules, core = tree .. "/a & b | c", tree .. "/core"
    visitor.succeed { "make", "-s", "install", "DEPS=no", "PREFIX=" .. tree,
      "LUADIR=" .. modules, "LIBDIR=" .. core, cwd = source }
    assert.is_true(exists(modules .. "/authstate/init.lua"))
    assert.is_true(exists(core .. "/authstate/core.so"))
    assert.is_false(exists(tree .. "/share"))
    assert.equal("authstate " .. version .. "\n",
      visitor.succeed { tree .. "/bin/authstate", "--version" })
  end)

  it("puts all under DESTDIR for a package, which later lies elsewhere", function()
    local stage, tree = temporary.directory(), temporary.directory()
    visitor.succeed { "make", "-s", "install", "DEPS=no", "DESTDIR=" .. stage,
      "PREFIX=" .. tree, "LUADIR=" .. tree .. "/lua", cwd = source }
    assert.equal("bin\nlib\nlua\n", visitor.succeed { "ls", "-A", stage .. tree })
    assert.equal("", visitor.succeed { "ls", "-A", tree })
    visitor.succeed { "cp", "-a", stage .. tree .. "/.", tree }
    visitor.succeed { "rm", "-r", stage }
    assert.equal("authstate " .. version .. "\n",
      visitor.succeed { tree .. "/bin/authstate", "--version" })
  end)
end)

describe("the rock", function()
  it("is built without asking the system's package manager for anything", function()
    local path, called = tripwire { "apt-get", "dpkg-query", "sudo" }
    visitor.succeed(luarocks { "make", "--deps-mode=none",
      "--tree=" .. temporary.directory(), cwd = source, path = path })
    assert.is_false(exists(called))
    -- As make does when nobody says otherwise.
    visitor.run { "make", "-s", "deps", "APT_GET=false", cwd = source, path = path }
    assert.is_true(exists(called))
  end)

  it("is not built when a library is missing, whose name is said", function()
    local outcome = visitor.run(luarocks { "make", "--deps-mode=none",
      "--tree=" .. temporary.directory(), "HIREDIS_DIR=" .. temporary.directory(),
      cwd = source })
    assert.not_equal(0, outcome.status)
    assert.match("HIREDIS", outcome.err)
  end)

  it("is gone when it is removed, command, modules and data", function()
    local tree = temporary.directory()
    visitor.succeed(luarocks { "make", "--deps-mode=none", "--tree=" .. tree,
      cwd = source })
    visitor.succeed(luarocks { "remove", "--tree=" .. tree, "authstate" })
    for _, path in ipairs { "/bin/authstate", "/share/lua/5.1/authstate",
      "/lib/lua/5.1/authstate" } do
      assert.is_false(exists(tree .. path), path)
    end
  end)

  it("installs from the rockspec alone when the server keeps no source rock", function()
    local plain = temporary.directory()
    visitor.succeed { ROOT .. "/rocks/make-server", plain }
    visitor.succeed { "rm", plain .. "/authstate-scm-1.src.rock" }
    visitor.succeed { "luarocks-admin", "--lua-version=5.1", "make-manifest", plain }
    local tree = temporary.directory()
    visitor.succeed(luarocks { "install", "--only-server=" .. plain, "--tree=" .. tree,
      "authstate" })
    assert.equal("authstate " .. version .. "\n",
      visitor.succeed { tree .. "/bin/authstate", "--version" })
  end)
end)
