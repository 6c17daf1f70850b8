-- SPDX-License-Identifier: MIT
--- Reading the `meta` hash of a session; server/prelude.lua lists its fields.

local meta = {}

local TYPE_PREFIX = "t:"

-- The newest seq in a field w:<writer>.
local function newest_seq(runs)
  return runs and tonumber(runs:match("^(%d+):"))
end

--- The command whose reply `parse` understands.
function meta.command(key, writer)
  return { "HMGET", key, "gen", "ver", "tombstone", "w:" .. writer }
end

--- @return { generation = decimal string or nil, version = number, is_deleted = boolean,
--   recorded = newest seq of the writer or nil }
function meta.parse(reply)
  return {
    generation = reply[1] or nil,
    version = tonumber(reply[2] or 0),
    is_deleted = reply[3] ~= false,
    recorded = newest_seq(reply[4] or nil),
  }
end

--- The same from the flat field, value, ... list of HGETALL, and more: `types` (list),
-- `registered`, `last_write_ms`.
function meta.parse_all(reply, writer)
  local fields, types = {}, {}
  for i = 1, #reply, 2 do
    local name = reply[i]
    fields[name] = reply[i + 1]
    if name:sub(1, #TYPE_PREFIX) == TYPE_PREFIX then
      types[#types + 1] = name:sub(#TYPE_PREFIX + 1)
    end
  end
  local parsed = meta.parse {
    fields.gen or false, fields.ver or false, fields.tombstone or false,
    fields["w:" .. writer] or false,
  }
  parsed.types = types
  parsed.registered = fields.registered and fields.registered == "1"
  parsed.last_write_ms = tonumber(fields.at)
  return parsed
end

return meta
