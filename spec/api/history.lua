-- SPDX-License-Identifier: MIT

--- What was asked of a session, in the order of the calls, and what was answered: whether
-- a single queue in that order could have given it. A session here is a plain table;
-- nothing of the library is used.
--
-- Values are numbers that are written once, so that each tells the write that it is of.
-- @module spec.api.history

local history = {}

local function copy_of(records)
  local copy = {}
  for id, value in pairs(records) do copy[id] = value end
  return copy
end

local function show(value)
  if type(value) ~= "table" then return tostring(value) end
  local names, words = {}, {}
  for name in pairs(value) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for i, name in ipairs(names) do
    words[i] = ("%s = %s"):format(tostring(name), show(value[name]))
  end
  return "{ " .. table.concat(words, ", ") .. " }"
end

local function is_same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for name, value in pairs(a) do
    if not is_same(value, b[name]) then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end

local function count(records)
  local number = 0
  for _ in pairs(records or {}) do number = number + 1 end
  return number
end

-- What each kind of call does to a session, { creds, keys, version }, and answers. A
-- write's `changes` are { [type] = { [id] = value, or false: deleted } }.
local RULES = {
  get = function(session, call)
    local found, records = {}, session.keys[call.type] or {}
    for _, id in ipairs(call.ids) do found[id] = records[id] end
    return found
  end,

  count = function(session, call)
    return count(session.keys[call.type])
  end,

  load = function(session)
    local keys = {}
    for kind, records in pairs(session.keys) do
      if next(records) ~= nil then keys[kind] = copy_of(records) end
    end
    return { creds = session.creds, keys = keys, version = session.version }
  end,

  write = function(session, call)
    if call.expect and call.expect ~= session.version then return "conflict" end
    session.creds = call.creds or session.creds
    for kind, changes in pairs(call.changes) do
      local records = session.keys[kind] or {}
      session.keys[kind] = records
      for id, value in pairs(changes) do records[id] = value or nil end
    end
    session.version = session.version + 1
    return session.version
  end,
}

--- What a session is after these calls, from nothing.
-- @param calls list in the order in which they were made: { name = "get" "count" "load"
--   or "write", answer = what it answered, and what the rule above wants }
-- @return { creds, keys, version }; or nil and what went wrong first
function history.replay(calls)
  local session = { keys = {}, version = 0 }
  for number, call in ipairs(calls) do
    local wanted = RULES[call.name](session, call)
    if not is_same(wanted, call.answer) then
      return nil, ("call %d of %d, %s: %s was answered, %s is right"):format(number,
        #calls, show { name = call.name, type = call.type, ids = call.ids,
          changes = call.changes, expect = call.expect }, show(call.answer), show(wanted))
    end
  end
  return session
end

return history
