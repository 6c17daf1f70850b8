-- SPDX-License-Identifier: MIT
--- Lists the sessions of a layout that has no index: SCAN over the whole database.

local scan = {}

--- Whether a string is a cursor that `page` gave out.
function scan.is_cursor(cursor)
  return cursor:find "^scan:%d+$" ~= nil
end

--- Goes on through the keys.
-- @param read function(commands) -> replies | E
-- @param layout its `session_match` says which keys, its `parse` which sessions
-- @param cursor where the last page ended, nil for the beginning
-- @param limit how many keys to look at, about
-- @param match glob of the keys; nil: the layout's `session_match`
-- @return list of { session }, and the cursor to go on with, nil at the end; or E
function scan.page(read, layout, cursor, limit, match)
  local position = cursor and cursor:match "%d+" or "0"
  local replies, message, code, details = read {
    { "SCAN", position, "MATCH", match or layout.session_match, "COUNT", tostring(limit),
      "TYPE", "hash" },
  }
  if not replies then return nil, message, code, details end
  local entries, is_listed = {}, {}
  for _, key in ipairs(replies[1][2]) do
    local session = layout.parse(key, "creds")
    if session and not is_listed[session] then
      is_listed[session] = true
      entries[#entries + 1] = { session = session }
    end
  end
  local next_position = replies[1][1]
  return entries, next_position ~= "0" and "scan:" .. next_position or nil
end

return scan
