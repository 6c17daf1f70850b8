-- SPDX-License-Identifier: MIT
--- The calls that a library made to its key store, one a line:
-- ["get",type,[ids]], ["set",{type:[id or -id]}], ["creds"].

local core = require "authstate.core"
local session_file = require "authstate.session_file"

local trace = {}

--- Reads a trace.
-- @return list of calls; or nil and a sentence
function trace.read(path)
  local text, message = session_file.read_text(path)
  if not text then return nil, message end
  local calls = {}
  for line in text:gmatch "[^\n]+" do
    local call
    call, message = core.from_json(line)
    if not call then return nil, ("%s: line %d: %s"):format(path, #calls + 1, message) end
    calls[#calls + 1] = call
  end
  return calls
end

--- The first `count` writes among the calls.
function trace.writes(calls, count)
  local writes = {}
  for _, call in ipairs(calls) do
    if #writes == count then break end
    if call[1] ~= "get" then writes[#writes + 1] = call end
  end
  return writes
end

local ADVANCE, WRITE = {}, {}

function ADVANCE.set(model, call)
  return model:apply(call[2])
end

function ADVANCE.creds(model)
  return model:next_creds()
end

function WRITE.set(session, change, options)
  return session.keys:set_json(change, options)
end

function WRITE.creds(session, change, options)
  return session:commit_json(('{"creds":%s}'):format(change), options)
end

--- Does a write in the model.
-- @return what the store must be given
function trace.advance(model, call)
  return ADVANCE[call[1]](model, call)
end

--- Does a write in the store.
-- @param change what `advance` returned
-- @return version; or E
function trace.write(session, call, change, options)
  return WRITE[call[1]](session, change, options)
end

--- Which single write to withhold: the last one of one record that nothing later touches,
-- so that exactly that record is lost.
-- @return its index, nil when there is none
function trace.choose_withheld(calls)
  local is_touched = {}
  for at = #calls, 1, -1 do
    local call = calls[at]
    if call[1] == "set" then
      local kind, ids = next(call[2])
      local is_single = next(call[2], kind) == nil and #ids == 1
      local name = kind .. "\0" .. ids[1]
      if is_single and ids[1]:sub(1, 1) ~= "-" and not is_touched[name] then return at end
      for each_kind, each_ids in pairs(call[2]) do
        for _, id in ipairs(each_ids) do
          is_touched[each_kind .. "\0" .. id:gsub("^-", "")] = true
        end
      end
    end
  end
end

return trace
