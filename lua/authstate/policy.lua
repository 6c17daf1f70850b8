-- SPDX-License-Identifier: MIT
--- Eviction policies: finds the script of one and makes it for a cache. A policy has
--
--     insert(e)   hit(e)   resize(capacity_bytes)
--     evict() -> e                   names an entry, changes nothing
--     remove(e, why)                 the one place to unlink
--
-- of which `hit` and `resize` may be missing. doc/policies.md tells how to write one.

local failure = require "authstate.failure"
local script = require "authstate.script"

require "authstate.structures"

local policy = {}

local REQUIRED, OPTIONAL = { "insert", "evict", "remove" }, { "hit", "resize" }

local function do_nothing() end

-- The hooks of what a script made; or nil and a sentence.
local function read_hooks(made)
  if type(made) ~= "table" then
    return nil, ("returns %s; accepted: a table"):format(failure.show(made))
  end
  local hooks = {}
  for _, name in ipairs(REQUIRED) do
    if type(made[name]) ~= "function" then
      return nil, ("field %s: %s; accepted: a function"):format(name,
        failure.show(made[name]))
    end
    hooks[name] = made[name]
  end
  for _, name in ipairs(OPTIONAL) do
    local hook = made[name] == nil and do_nothing or made[name]
    if type(hook) ~= "function" then
      return nil, ("field %s: %s; accepted: a function"):format(name, failure.show(hook))
    end
    hooks[name] = hook
  end
  return hooks
end

--- Loads the script of a policy, anew each time: what LuaJIT compiles of it is then for
-- one cache alone.
-- @param name of one of those in policies/, or path of a script
-- @return function(cache, options), path; or nil and a sentence
function policy.load(name)
  local make, path = script.load("policies", name)
  if make == nil then return nil, path end
  if type(make) ~= "function" then
    return nil, ("%s returns %s; accepted: a function of the cache"):format(path,
      failure.show(make))
  end
  return make, path
end

--- Makes a policy for a cache.
-- @param make from `load`
-- @param path of the script
-- @param core the cache that the policy sees (see structures.lua)
-- @param options `types`: { [number] = name }, the types that entry.type numbers
-- @return its hooks, all five; or nil and a sentence
function policy.make(make, path, core, options)
  local is_whole, made = pcall(make, core, options)
  if not is_whole then return nil, tostring(made) end
  local hooks, message = read_hooks(made)
  if not hooks then return nil, path .. ": " .. message end
  return hooks
end

return policy
