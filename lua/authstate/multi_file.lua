-- SPDX-License-Identifier: MIT
--- The directory that Baileys' useMultiFileAuthState reads and writes, see
-- doc/multi-file.md.
--
--     creds.json                the credentials
--     <type>-<id>.json          one record of the key store
--
-- A file holds what JSON.stringify wrote, and is taken and given byte for byte. Its name
-- is written as baileys_names.lua says, type and id included.

local baileys_names = require "authstate.baileys_names"
local core = require "authstate.core"
local failure = require "authstate.failure"
local report = require "authstate.report"
local session_file = require "authstate.session_file"

local multi_file = {}

local CREDS_NAME = "creds.json"
local MAX_NAME_BYTES = 255 -- NAME_MAX of Linux' file systems

local fix = baileys_names.fix

-- ---- names --------------------------------------------------------------------------

--- The name of the file of a record.
function multi_file.file_name(kind, id)
  return fix(("%s-%s.json"):format(kind, id))
end

--- The record that a file of this name holds.
-- @return type, id; nil when the name is none of a record of a known type
function multi_file.parse_name(name)
  local stem = name:match "^(.*)%.json$"
  if not stem or not core.to_json(name) or not baileys_names.is_possible(name) then
    return nil
  end
  return baileys_names.parse(stem)
end

-- ---- reading ------------------------------------------------------------------------

local function path_of(directory, name)
  return directory:gsub("/*$", "/", 1) .. report.id(name)
end

local function refuse_unknown(directory, unknown)
  local others = #unknown > 1 and (" (nor are %d others)"):format(#unknown - 1) or ""
  return nil, ("%s: neither %s nor <type>-<id>.json of a known type%s; --skip-unknown "
    .. "leaves such files out"):format(path_of(directory, unknown[1]), CREDS_NAME, others)
end

-- Which files there are: { creds = boolean, records = { { name, kind, id } }, skipped },
-- records in the order of their names; or nil and a sentence.
local function survey(directory, skips_unknown)
  local names, reason = core.list_directory(directory)
  if not names then return nil, directory .. ": " .. reason end
  table.sort(names)
  local found, unknown, taken = { creds = false, records = {} }, {}, {}
  for _, name in ipairs(names) do
    local kind, id = multi_file.parse_name(name)
    if name == CREDS_NAME then
      found.creds = true
    elseif not kind then
      unknown[#unknown + 1] = name
    elseif taken[fix(name)] then
      return nil, ("%s and %s are both the file of %s"):format(
        path_of(directory, taken[fix(name)]), path_of(directory, name),
        failure.record(kind, id))
    else
      taken[fix(name)] = name
      table.insert(found.records, { name = name, kind = kind, id = id })
    end
  end
  if #unknown > 0 and not skips_unknown then return refuse_unknown(directory, unknown) end
  if not found.creds and #found.records == 0 then
    return nil, ("%s: no session: neither %s nor a file of a record"):format(directory,
      CREDS_NAME)
  end
  found.skipped = #unknown
  return found
end

-- The text of a file, which must be JSON; or nil and a sentence.
local function read_record(directory, name)
  local text, reason = session_file.read_bytes(directory .. "/" .. name)
  if not text then return nil, reason end
  local value, message = core.from_json(text)
  if value ~= nil then return text end
  return nil, ("%s: %s"):format(path_of(directory, name), message)
end

local function read_creds(directory)
  local text, message = read_record(directory, CREDS_NAME)
  if not text then return nil, message end
  local at = text:find "[^ \t\r\n]"
  if text:sub(at, at) ~= "{" then
    return nil, ("%s: not creds at byte %d: an object is expected"):format(
      path_of(directory, CREDS_NAME), at - 1)
  end
  return text
end

--- Reads a directory.
-- @param directory its path
-- @param skips_unknown whether files of other names are left out instead of refused
-- @return { creds = text or nil, keys = { [type] = { [id] = text } }, records,
--   json_bytes, skipped }; or nil and a sentence that names the file
function multi_file.read(directory, skips_unknown)
  local found, message = survey(directory, skips_unknown)
  if not found then return nil, message end
  local session = {
    keys = {}, records = #found.records, json_bytes = 0, skipped = found.skipped,
  }
  if found.creds then
    session.creds, message = read_creds(directory)
    if not session.creds then return nil, message end
    session.json_bytes = #session.creds
  end
  for _, record in ipairs(found.records) do
    local text
    text, message = read_record(directory, record.name)
    if not text then return nil, message end
    session.keys[record.kind] = session.keys[record.kind] or {}
    session.keys[record.kind][record.id] = text
    session.json_bytes = session.json_bytes + #text
  end
  return session
end

-- ---- what is to be written ----------------------------------------------------------

-- Whether a record of this name can be a file; nil and a sentence when not.
local function check_name(kind, id, name)
  if not core.to_json(name) then
    return nil, failure.record(kind, id) .. " is not UTF-8: no file of Baileys' can "
      .. "have its name"
  elseif name:find("\0", 1, true) then
    return nil, failure.record(kind, id) .. " has a NUL, which no file name can have"
  elseif #name > MAX_NAME_BYTES then
    return nil, ("%s: its file name has %d bytes, accepted are %d"):format(
      failure.record(kind, id), #name, MAX_NAME_BYTES)
  end
  return true
end

--- The files of a session.
-- @param session { creds = text or nil, keys = { [type] = { [id] = text } } }
-- @return { { name, text } }, creds last; and how many records have a name from which
--   they do not come back; or nil and a sentence that names the records
function multi_file.compose(session)
  local files, lossy, holder = {}, 0, {}
  for _, kind in ipairs(session_file.sorted_names(session.keys)) do
    for _, id in ipairs(session_file.sorted_names(session.keys[kind])) do
      local name = multi_file.file_name(kind, id)
      local is_fine, message = check_name(kind, id, name)
      if not is_fine then return nil, message end
      if holder[name] then
        return nil, ("%s and %s would both be the file %s"):format(holder[name],
          failure.record(kind, id), report.id(name))
      end
      holder[name] = failure.record(kind, id)
      local back_kind, back_id = multi_file.parse_name(name)
      if back_kind ~= kind or back_id ~= id then lossy = lossy + 1 end
      files[#files + 1] = { name = name, text = session.keys[kind][id] }
    end
  end
  if session.creds then
    files[#files + 1] = { name = CREDS_NAME, text = session.creds }
  end
  return files, lossy
end

return multi_file
