-- SPDX-License-Identifier: MIT
--- What authstate stands on: LuaJIT 2.1, and a compiled core of the same version as the
-- Lua modules. This file must be understood by every Lua from 5.1 on.

local version = require "authstate.version"

local platform = {}

local CORE = "authstate.core"
local LEAST_LUAJIT = 20100

-- One line: what a loader says has many.
local function one_line(text)
  return (tostring(text):gsub("%s+", " "))
end

local function check_lua()
  local jit = rawget(_G, "jit")
  if type(jit) == "table" and jit.version_num >= LEAST_LUAJIT then return true end
  return nil, ("authstate needs LuaJIT 2.1, this is %s: run the program with luajit")
    :format(jit and jit.version or _VERSION)
end

local function check_core()
  local path = package.searchpath(CORE, package.cpath)
  if not path and not package.preload[CORE] and not package.loaded[CORE] then
    return nil, ("authstate: the compiled core, authstate/core.so, is nowhere in "
      .. "package.cpath (%s); `make build` makes it"):format(package.cpath)
  end
  local is_loaded, core = pcall(require, CORE)
  if not is_loaded then
    return nil, "authstate: the compiled core cannot be loaded: " .. one_line(core)
  end
  if core.version == version then return true end
  return nil, ("authstate: the Lua modules are of version %s, the compiled core %s is of "
    .. "%s; install both anew"):format(version, path or CORE,
    core.version and "version " .. core.version or "an older one")
end

--- Checks what is needed.
-- @return true; or nil and a sentence
function platform.check()
  local is_right, message = check_lua()
  if not is_right then return nil, message end
  return check_core()
end

return platform
