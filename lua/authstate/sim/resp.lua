-- SPDX-License-Identifier: MIT
--- RESP2 as a server speaks it: requests to lists of strings, replies to bytes.
--
-- A reply is what Redis gives its scripts: a string, a number, `false` for nil, { ok = }
-- for a status, { err = } for an error, a list of replies; or NIL_LIST.

local find, sub = string.find, string.sub

local resp = {}

--- The reply of a transaction that was not carried out.
resp.NIL_LIST = {}

local function read_line(input, at)
  local last = find(input, "\r\n", at, true)
  if not last then return nil end
  return sub(input, at, last - 1), last + 2
end

--- The request at a place of what has come.
-- @return list of strings, and the place behind it; nil when it is not whole; or false
--   and a sentence when it is none
function resp.parse(input, at)
  local head, place = read_line(input, at)
  if not head then return nil end
  local count = tonumber(head:match "^%*(%d+)$")
  if not count then return false, "expected '*', got '" .. sub(head, 1, 1) .. "'" end
  local request = {}
  for i = 1, count do
    head, place = read_line(input, place)
    if not head then return nil end
    local length = tonumber(head:match "^%$(%d+)$")
    if not length then return false, "expected '$', got '" .. sub(head, 1, 1) .. "'" end
    if #input < place + length + 1 then return nil end
    request[i] = sub(input, place, place + length - 1)
    place = place + length + 2
  end
  return request, place
end

local function append(parts, reply)
  local kind = type(reply)
  if kind == "string" then
    parts[#parts + 1] = ("$%d\r\n"):format(#reply)
    parts[#parts + 1] = reply
    parts[#parts + 1] = "\r\n"
  elseif kind == "number" then
    parts[#parts + 1] = (":%.0f\r\n"):format(reply)
  elseif kind == "boolean" then
    parts[#parts + 1] = "$-1\r\n"
  elseif reply == resp.NIL_LIST then
    parts[#parts + 1] = "*-1\r\n"
  elseif reply.ok then
    parts[#parts + 1] = "+" .. reply.ok .. "\r\n"
  elseif reply.err then
    parts[#parts + 1] = "-" .. reply.err .. "\r\n"
  else
    parts[#parts + 1] = ("*%d\r\n"):format(#reply)
    for i = 1, #reply do append(parts, reply[i]) end
  end
end

--- The bytes of a reply.
function resp.encode(reply)
  local parts = {}
  append(parts, reply)
  return table.concat(parts)
end

return resp
