-- SPDX-License-Identifier: MIT
--- Preload rules: what else to read in a round trip that has to be made anyway. A rule
-- has
--
--     read(also, type, ids, session)     ids are about to be read; also(type, id) adds to
--                                        the same round trip, and says whether it does
--     seen(type, id, is_useful)          what became of one that was added: it was read,
--                                        or left the cache unread
--
-- either of which may be missing. `session` is the number of the session, by which a rule
-- can tell reads apart. doc/policies.md tells how to write one.

local failure = require "authstate.failure"
local script = require "authstate.script"

local Preload = { __name = "authstate.preload" }
Preload.__index = Preload

local preload = {}

local LIMIT = 32

local function do_nothing() end

local function read_hook(made, name)
  local hook = made[name]
  if hook == nil then return do_nothing end
  if type(hook) == "function" then return hook end
  return nil, ("field %s: %s; accepted: a function"):format(name, failure.show(hook))
end

local function read_hooks(made)
  if type(made) ~= "table" then
    return nil, ("returns %s; accepted: a table"):format(failure.show(made))
  end
  local read, message = read_hook(made, "read")
  if not read then return nil, message end
  local seen
  seen, message = read_hook(made, "seen")
  if not seen then return nil, message end
  return { read = read, seen = seen }
end

--- Makes a rule.
-- @param name of one of those in preload/, or path of a script
-- @param options `preload_limit`: how many a rule may add to a round trip;
--   `log`: function(level, message, fields); the rule sees all of them
-- @return the rule; or nil and a sentence
function preload.new(name, options)
  local make, path = script.load("preload", name)
  if make == nil then return nil, path end
  if type(make) ~= "function" then
    return nil, ("%s returns %s; accepted: a function of the options"):format(path,
      failure.show(make))
  end
  local is_whole, made = pcall(make, options)
  if not is_whole then return nil, tostring(made) end
  local hooks, message = read_hooks(made)
  if not hooks then return nil, path .. ": " .. message end
  return setmetatable({
    name = name, hooks = hooks, limit = options.preload_limit or LIMIT,
    log = options.log or do_nothing,
  }, Preload)
end

-- A rule that fails is not asked again.
function Preload:fail(what)
  self.hooks = { read = do_nothing, seen = do_nothing }
  self.log("error", ('preload rule "%s": %s; nothing is preloaded any more'):format(
    self.name, what), { preload = self.name })
end

local function check_record(type_name, id)
  if type(type_name) ~= "string" then
    error(("also: type: %s; accepted: a string"):format(failure.show(type_name)), 3)
  elseif type(id) ~= "string" then
    error(("also: id: %s; accepted: a string"):format(failure.show(id)), 3)
  elseif type_name == "creds" then
    error('also: type: "creds" names the credentials, which are not cached', 3)
  end
end

--- What to read besides.
-- @param type_name, ids what is about to be read
-- @param session number
-- @param is_wanted function(type, id): false for what need not be read
-- @return list of { type, id }, each once
function Preload:extra(type_name, ids, session, is_wanted)
  local list, is_taken = {}, { [type_name] = {} }
  for _, id in ipairs(ids) do is_taken[type_name][id] = true end
  local function also(extra_type, id)
    check_record(extra_type, id)
    local taken = is_taken[extra_type] or {}
    is_taken[extra_type] = taken
    if #list == self.limit or taken[id] or not is_wanted(extra_type, id) then
      return false
    end
    taken[id] = true
    list[#list + 1] = { extra_type, id }
    return true
  end
  local is_whole, raised = pcall(self.hooks.read, also, type_name, ids, session)
  if is_whole then return list end
  self:fail("read: " .. tostring(raised))
  return {}
end

--- Tells the rule what became of a record that it added.
function Preload:note_fate(type_name, id, is_useful)
  local is_whole, raised = pcall(self.hooks.seen, type_name, id, is_useful)
  if not is_whole then self:fail("seen: " .. tostring(raised)) end
end

return preload
