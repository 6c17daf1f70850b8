-- SPDX-License-Identifier: MIT
--- Records in a file, as the harness and the peers hand them to each other: for each one
-- a line `record TYPE ID LENGTH`, words between tabs, then LENGTH bytes and a line feed.

local HEAD = "^record\t([^\t\n]+)\t([^\t\n]+)\t(%d+)\n()"

local record_file = {}

--- Writes one record to an open file.
function record_file.write(file, kind, id, bytes)
  file:write(("record\t%s\t%s\t%d\n"):format(kind, id, #bytes), bytes, "\n")
end

--- Reads the record at a place of a text.
-- @return { kind, id, bytes } and where the next one begins; or nil when there is none
function record_file.parse(text, at)
  local kind, id, length, head_end = text:match(HEAD, at)
  if not kind then return nil end
  local stop = head_end + tonumber(length)
  if text:sub(stop, stop) ~= "\n" then return nil end
  return { kind = kind, id = id, bytes = text:sub(head_end, stop - 1) }, stop + 1
end

--- Reads a whole file.
-- @return list of { kind, id, bytes }
function record_file.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  local records, at = {}, 1
  while at <= #text do
    records[#records + 1], at = record_file.parse(text, at)
    assert(at, path .. ": no record")
  end
  return records
end

return record_file
