-- SPDX-License-Identifier: MIT
--- Scripts that tune authstate: files that return something, found by name in their
-- folder beside these modules, or by path (a "/" or ".lua" in it).

local core = require "authstate.core"
local failure = require "authstate.failure"
local suggest = require "authstate.suggest"

local script = {}

-- What a script in each folder is called.
local NOUNS = {
  layouts = "layout", policies = "policy", preload = "preload rule", profiles = "profile",
  serializers = "serializer",
}

local function folder_path(folder)
  local here = assert(package.searchpath("authstate.version", package.path))
  return (here:gsub("version%.lua$", folder))
end

--- The names of the scripts in a folder, sorted.
function script.names(folder)
  local names = {}
  for _, file in ipairs(core.list_directory(folder_path(folder)) or {}) do
    names[#names + 1] = file:match "^(.*)%.lua$"
  end
  table.sort(names)
  return names
end

-- The path of a script; or nil and a sentence.
local function find(folder, name)
  if name:find("/", 1, true) or name:find "%.lua$" then return name end
  local is_name = name:find "^[%w_-]+$"
  local path = is_name and package.searchpath(("authstate.%s.%s"):format(folder, name),
    package.path)
  if path then return path end
  local names = script.names(folder)
  return nil, ("there is no %s %s%s; accepted: %s, or the path of a Lua file"):format(
    NOUNS[folder], failure.show(name), suggest.phrase(name, names),
    table.concat(names, ", "))
end

--- Runs a script, anew each time.
-- @param folder a key of NOUNS, such as "layouts"
-- @param name name or path
-- @return what the file returns, its path; or nil, a sentence (with file and line where
--   there is one), and the path when there is a file of this name
function script.load(folder, name)
  local path, message = find(folder, name)
  if not path then return nil, message end
  local chunk
  chunk, message = loadfile(path, "t")
  if not chunk and message:find("wrong mode", 1, true) then
    return nil, path .. " is bytecode; accepted: Lua source", path
  elseif not chunk then
    message = message:gsub("^cannot open ", "")
    return nil, message, path
  end
  local is_whole, value = pcall(chunk)
  if not is_whole then return nil, tostring(value), path end
  if value == nil then return nil, path .. " returns nothing", path end
  return value, path
end

return script
