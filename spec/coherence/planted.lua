-- SPDX-License-Identifier: MIT

--- authstate with a bug in it: its modules loaded anew, a few lines of their texts
-- replaced by others. What lies in the tree stays as it is, and nothing in it knows.
--
-- A plant is a list of changes { module, text, other text }. Each text must be in its
-- module exactly once: a plant that misses would prove nothing.
-- @module spec.coherence.planted

local planted = {}

-- Made of C, or declared to the FFI: there once in a Lua state.
local KEPT = {
  ["authstate.core"] = true, ["authstate.core_ffi"] = true, ["authstate.process"] = true,
}

local function read_source(module)
  local path = assert(package.searchpath(module, package.path))
  local file = assert(io.open(path, "rb"))
  local source = file:read "*a"
  file:close()
  return source, path
end

local function replace_once(source, text, other, module)
  local first, last = source:find(text, 1, true)
  if not first then error(("%s has no %q"):format(module, text), 0) end
  if source:find(text, last + 1, true) then
    error(("%s has %q more than once"):format(module, text), 0)
  end
  return source:sub(1, first - 1) .. other .. source:sub(last + 1)
end

local function wrong_source(plant, module)
  local source, path = read_source(module)
  for _, change in ipairs(plant) do
    if change[1] == module then
      source = replace_once(source, change[2], change[3], module)
    end
  end
  return source, path
end

--- From now on `require` gives the modules of a plant with their bugs.
-- @tparam table plant
-- @treturn function to be called to end that
function planted.install(plant)
  local sources = {}
  for _, change in ipairs(plant) do
    assert(not package.loaded[change[1]], change[1] .. " is loaded already")
    local source, path = wrong_source(plant, change[1])
    sources[change[1]] = assert(loadstring(source, "@planted " .. path))
  end
  local function find(module) return sources[module] end
  table.insert(package.loaders, 2, find)
  return function()
    for i, loader in ipairs(package.loaders) do
      if loader == find then table.remove(package.loaders, i) break end
    end
  end
end

local function take_modules()
  local taken = {}
  for name, module in pairs(package.loaded) do
    if name:find "^authstate" and not KEPT[name] then taken[name] = module end
  end
  for name in pairs(taken) do package.loaded[name] = nil end
  return taken
end

--- Calls a function with an authstate of its own that has a bug.
-- @tparam table plant; an empty one has none
-- @tparam function fn of that authstate
-- @return whether it did not raise, and what it returned or raised
function planted.with(plant, fn)
  local before = take_modules()
  local is_fine, result = pcall(function()
    local remove = planted.install(plant)
    local was_fine, value = pcall(function() return fn(require "authstate") end)
    remove()
    if not was_fine then error(value, 0) end
    return value
  end)
  take_modules()
  for name, module in pairs(before) do package.loaded[name] = module end
  return is_fine, result
end

return planted
