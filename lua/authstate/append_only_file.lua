-- SPDX-License-Identifier: MIT
--- Redis' append-only file, as far as it must be read when redis does not find its end. A
-- crash in the middle of a write leaves the beginning of one, which is cut off; damage to
-- a length looks the same to redis, and must not be.
--
-- We cut, not redis: its `aof-load-truncated` cuts behind the last whole command, also in
-- the middle of a transaction. What is written next then stands inside the half
-- transaction: lost at the next start, or carried out with the half (seen with 7.0.15).
--
-- An incremental file holds commands as a client sends them (RESP arrays of bulk strings)
-- and lines that begin with "#". Source: redis 7.0, src/aof.c, loadSingleAppendOnlyFile.

local append_only_file = {}

-- `proto-max-bulk-len` of redis, and the two bytes behind.
local MAX_ARGUMENT_BYTES = 512 * 1024 * 1024 + 2

-- The beginning of a command. A length that was made greater swallows what follows.
local COMMAND = "\r\n%*%d+\r\n%$%d+\r\n"

-- A line that ends with the file before its line feed may be cut off.
local function judge_header(file, header, beginning)
  local is_last = header == nil or file:read(0) == nil
  return is_last and (header or ""):find(beginning) and "cut" or "damaged"
end

-- Reads one argument. "whole", its length in the file, its text; "cut"; or "damaged".
local function read_argument(file)
  local header = file:read "*l"
  local length = header and header:match "^%$(%d+)\r$"
  if not length then return judge_header(file, header, "^%$?%d*\r?$") end
  local wanted = tonumber(length) + 2
  if wanted > MAX_ARGUMENT_BYTES then return "damaged" end
  local at = file:seek()
  local is_short = file:seek "end" - at < wanted
  file:seek("set", at)
  local payload = file:read(is_short and "*a" or wanted)
  if is_short then return payload:find(COMMAND) and "damaged" or "cut" end
  if payload:sub(-2) ~= "\r\n" then return "damaged" end
  return "whole", #header + 1 + wanted, payload:sub(1, -3)
end

-- Reads one command. "whole", its length in the file, its name; "cut"; "damaged"; or
-- "end".
local function read_command(file)
  local header = file:read "*l"
  if not header then return "end" end
  if header:sub(1, 1) == "#" then return "whole", #header + 1, "#" end
  local count = header:match "^%*(%d+)\r$"
  if not count then return judge_header(file, header, "^%*?%d*\r?$") end
  local bytes, name = #header + 1, nil
  for i = 1, tonumber(count) do
    local state, length, text = read_argument(file)
    if state ~= "whole" then return state end
    bytes = bytes + length
    if i == 1 then name = text:upper() end
  end
  return "whole", bytes, name
end

--- Where the last whole write of an incremental file ends, when all that follows is the
-- beginning of a command, or of a transaction, that a crash cut off.
-- @return bytes, bytes that follow; nil when the file is damaged, or ends whole
function append_only_file.find_cut(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local position, whole_until, is_open = 0, 0, false
  local state, bytes, name
  repeat
    state, bytes, name = read_command(file)
    if state == "whole" then
      position = position + bytes
      is_open = name == "MULTI" or is_open and name ~= "EXEC"
      if not is_open then whole_until = position end
    end
  until state ~= "whole"
  local size = file:seek "end"
  file:close()
  local is_cut = state == "cut" or state == "end" and is_open
  if is_cut then return whole_until, size - whole_until end
end

-- The last file of a kind that the manifest names; nil when there is no manifest or it
-- names none. A line is "file NAME seq N type b|h|i".
local function last_in_manifest(directory, kinds)
  local file = io.open(directory .. "/appendonly.aof.manifest", "rb")
  if not file then return nil end
  local found
  for line in file:lines() do
    local name, kind = line:match "^file (%S+) seq %d+ type (%a)"
    if name and kinds:find(kind, 1, true) then found = name end
  end
  file:close()
  return found
end

--- The file that is written to.
function append_only_file.last(directory)
  return last_in_manifest(directory, "bhi")
end

--- The file that the log begins with.
function append_only_file.base(directory)
  return last_in_manifest(directory, "b")
end

return append_only_file
