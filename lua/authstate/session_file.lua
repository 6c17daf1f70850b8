-- SPDX-License-Identifier: MIT
--- A session as one JSON text, `{"creds":{...},"keys":{"<type>":{"<id>":record}}}`, in a
-- file that may be compressed by gzip.

local core = require "authstate.core"

local session_file = {}

local GZIP_MAGIC = "\31\139"
local MAX_TEXT_BYTES = 512 * 1024 * 1024

--- The bytes of a file; or nil and a sentence that names it.
function session_file.read_bytes(path)
  local file, reason = io.open(path, "rb")
  if not file then return nil, reason end
  local bytes
  bytes, reason = file:read("*a")
  file:close()
  if not bytes then return nil, path .. ": " .. reason end
  return bytes
end

--- Reads and unpacks a file.
-- @return its text; or nil and a sentence that names the file
function session_file.read_text(path)
  local bytes, reason = session_file.read_bytes(path)
  if not bytes then return nil, reason end
  if bytes:sub(1, 2) ~= GZIP_MAGIC then return bytes end
  local text
  text, reason = core.gunzip(bytes, MAX_TEXT_BYTES)
  if not text then return nil, path .. ": " .. reason end
  return text
end

--- Splits a session's text into the texts of its records.
-- @return { creds = text or nil, keys = { [type] = { [id] = text } }, records }; or nil
--   and a sentence with the byte offset
function session_file.parse(text, name)
  local split, message = core.split_session(text)
  if not split then return nil, name .. ": " .. message end
  return split
end

--- Reads and splits a file.
-- @return what `parse` gives, with json_bytes; or nil and a sentence that names the file
function session_file.read(path)
  local text, message = session_file.read_text(path)
  if not text then return nil, message end
  local split
  split, message = session_file.parse(text, path)
  if not split then return nil, message end
  split.json_bytes = #text
  return split
end

--- The names in a table, sorted by their bytes.
function session_file.sorted_names(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- The text of an object whose values are texts already, names sorted by their bytes.
local function object_text(map, value_text)
  local parts = {}
  for i, name in ipairs(session_file.sorted_names(map)) do
    local quoted, reason = core.to_json(name)
    if not quoted then return nil, reason end
    local text
    text, reason = value_text(map[name])
    if not text then return nil, reason end
    parts[i] = quoted .. ":" .. text
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function record_text(text)
  return text
end

local function type_text(records)
  return object_text(records, record_text)
end

--- The JSON text of a session; records exactly as given, types and ids sorted by bytes.
-- @param session { creds = text or nil, keys = { [type] = { [id] = text } } }
-- @return text; or nil and a sentence when a type or id is not UTF-8
function session_file.compose(session)
  local keys, reason = object_text(session.keys, type_text)
  if not keys then return nil, reason end
  return ('{"creds":%s,"keys":%s}'):format(session.creds or "null", keys)
end

return session_file
