-- SPDX-License-Identifier: MIT
--- The Signal keys of a session: `session.keys`.
-- @module authstate.keys

local failure = require "authstate.failure"
local new_table = require "table.new"

local Keys = { __name = "authstate.keys" }
Keys.__index = Keys

local keys = {}

function keys.new(session)
  return setmetatable({ session = session }, Keys)
end

-- A caller's mistake is raised at the line that called the public method. The helpers
-- below are called as tails, so that line is the second level for them too.
local LEVEL = 2

local function check_type(kind, level)
  if type(kind) ~= "string" then
    error(("type: %s is no key type; accepted: a string such as \"pre-key\"")
      :format(failure.show(kind)), level + 1)
  elseif kind == "creds" then
    error('type: "creds" names the credentials, use load_creds and save_creds', level + 1)
  end
end
keys.check_type = check_type

local function count_keys(list)
  local count = 0
  for _ in pairs(list) do count = count + 1 end
  return count
end

local function check_ids(ids, level)
  if type(ids) ~= "table" then
    error(("ids: %s is no list of ids; accepted: { \"1\", \"2\" }")
      :format(failure.show(ids)), level + 1)
  end
  -- Nothing behind the last element: a plain list. All keys are counted only when there
  -- is.
  local length = #ids
  if next(ids, length > 0 and length or nil) ~= nil and count_keys(ids) ~= length then
    error("ids: has other keys than 1 to n; accepted: a list such as { \"1\", \"2\" }",
      level + 1)
  end
  for i = 1, length do
    if type(ids[i]) ~= "string" then
      error(("ids[%d]: %s is no id; accepted: a string"):format(i, failure.show(ids[i])),
        level + 1)
    end
  end
end

local function read_ids(self, kind, ids, shape, options)
  check_type(kind, LEVEL)
  check_ids(ids, LEVEL)
  local session = self.session
  local call = session.store:begin(session.id, options, LEVEL)
  if #ids == 0 then return {} end
  local layout = session.store.layout
  local command = new_table(#ids + 2, 0)
  command[1] = "HMGET"
  for i = 1, #ids do
    command[2], command[i + 2] = layout.key(session.id, kind, ids[i])
  end
  local replies, message, code, details = session:read(call, { command }, { shape })
  if not replies then
    if code == "corrupt" and details.reply then
      details.type, details.id = kind, ids[details.element]
      message = failure.record(kind, details.id) .. ": " .. message
    end
    return nil, message, code, details
  end
  local values, found = replies[1], new_table(0, #ids)
  for i = 1, #ids do
    if values[i] ~= nil then found[ids[i]] = values[i] end
  end
  return found
end

--- Reads records of one type, all in one step.
-- @param kind the type, such as "pre-key"
-- @param ids list of ids
-- @param options { timeout_ms }
-- @return { [id] = value }, absent ids absent, all tables the caller's own; or E: one
--   record that cannot be opened makes it `corrupt`, with details.id
function Keys:get(kind, ids, options)
  return read_ids(self, kind, ids, "value", options)
end

--- The same as JSON texts, exactly as they were written.
-- @param kind the type
-- @param ids list of ids
-- @param options { timeout_ms }
-- @return { [id] = text }; or E
function Keys:get_json(kind, ids, options)
  return read_ids(self, kind, ids, "json", options)
end

--- Writes records, all or nothing. `authstate.null` as a value deletes.
-- @param changes { [type] = { [id] = value } }
-- @param options { timeout_ms, expect = version }
-- @return the version that the write made; or E
function Keys:set(changes, options)
  return self.session:write(nil, changes, "set_value", options, LEVEL)
end

--- The same with JSON texts as values, which are kept exactly.
-- @param changes { [type] = { [id] = text } }
-- @param options { timeout_ms, expect = version }
-- @return the version that the write made; or E
function Keys:set_json(changes, options)
  return self.session:write(nil, changes, "set_text", options, LEVEL)
end

-- Asks about one type what the layout's arrangement knows to ask and to understand.
local function ask(self, question, understand, kind, options)
  check_type(kind, LEVEL)
  local session = self.session
  local call = session.store:begin(session.id, options, LEVEL)
  local layout = session.store.layout
  local arrangement = layout.arrangement
  local replies, message, code, details = session:read(call,
    { arrangement[question](layout, session.id, kind) }, { "raw" })
  if not replies then return nil, message, code, details end
  return arrangement[understand](layout, session.id, kind, replies[1])
end

--- All ids of a type, in no order.
-- @param kind the type
-- @param options { timeout_ms }
-- @return list, empty when there is none; or E
function Keys:list(kind, options)
  return ask(self, "list", "ids", kind, options)
end

--- How many records of a type there are.
-- @param kind the type
-- @param options { timeout_ms }
-- @return number; or E
function Keys:count(kind, options)
  return ask(self, "count", "number", kind, options)
end

--- How many records there are of each type.
-- @param options { timeout_ms }
-- @return { [type] = n }, types without any absent; or E
function Keys:types(options)
  local session = self.session
  local counts, message, code, details =
    session:count(session.store:begin(session.id, options, LEVEL))
  if not counts then return nil, message, code, details end
  return counts
end

return keys
