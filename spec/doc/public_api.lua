-- SPDX-License-Identifier: MIT

--- What users can call, from the modules themselves: every function that an object of the
-- API or the module has, but for those whose comment says `@local`.
-- @module spec.doc.public_api

local authstate = require "authstate"

local public_api = {}

-- The names that a source marks as its own, in functions of one table.
local function local_names(path, class)
  local names, is_local = {}, false
  for line in io.lines(path) do
    local name = line:match("^function " .. class .. "[.:]([%w_]+)") or
      line:match("^" .. class .. "%.([%w_]+) =")
    if name and is_local then names[name] = true end
    if line:find "^%-%-" then
      is_local = is_local or line:find "^%-%- @local$" ~= nil
    else
      is_local = false
    end
  end
  return names
end

local function functions_of(object, path, class)
  local hidden, functions = path and local_names(path, class) or {}, {}
  for name, value in pairs(debug.getmetatable(object).__index) do
    if type(value) == "function" and not hidden[name] and not name:find "^__" then
      functions[name] = value
    end
  end
  return functions
end

--- All public functions.
-- @treturn table by receiver (`authstate`, `task`, `store`, `session`, `keys`,
--   `bytes`) and name
function public_api.functions()
  local store = assert(authstate.open { redis = {} })
  local session = store:session "any"
  local module = {}
  for name, value in pairs(authstate) do
    if type(value) == "function" then module[name] = value end
  end
  local task = authstate.run(function() return authstate.spawn(function() end) end)
  store:close()
  return {
    authstate = module,
    task = functions_of(task, "lua/authstate/scheduler.lua", "Task"),
    store = functions_of(store, "lua/authstate/store.lua", "Store"),
    session = functions_of(session, "lua/authstate/session.lua", "Session"),
    keys = functions_of(session.keys, "lua/authstate/keys.lua", "Keys"),
    bytes = functions_of(authstate.bytes ""),
  }
end

--- The names of the module's fields that are no functions.
-- @treturn {string,...} sorted
function public_api.fields()
  local names = {}
  for name, value in pairs(authstate) do
    if type(value) ~= "function" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- The receivers, in the order of reading.
public_api.RECEIVERS = { "authstate", "store", "session", "keys", "bytes" }

return public_api
