-- SPDX-License-Identifier: MIT
--- The records of a session in one hash for each type, all in one slot, and the creds in
-- a hash of their own. Which types there are is kept in `meta`.
--
-- An arrangement is what a layout means for reading: which commands read the records of a
-- session, and what their replies say. `types` are those that may be there.

local arrangement = {
  has_types_in_meta = true, -- and so they must be known before all can be read
  has_index = true,         -- sessions are listed from the index, not by SCAN
}

local function type_key(layout, session, kind)
  return (layout.key(session, kind, ""))
end

--- The keys that hold records, that of the creds first.
function arrangement.keys(layout, session, types)
  local keys = { (layout.key(session, "creds", "creds")) }
  for i, kind in ipairs(types) do keys[i + 1] = type_key(layout, session, kind) end
  return keys
end

--- What the commit script is told of a key: the type that `meta` is to remember, or
-- "creds" for none.
function arrangement.type_to_remember(kind)
  return kind
end

--- Reads all records.
-- @return list of commands whose replies are maps
function arrangement.read_all(layout, session, types)
  local commands = {}
  for i, key in ipairs(arrangement.keys(layout, session, types)) do
    commands[i] = { "HGETALL", key }
  end
  return commands
end

--- The records that were read.
-- @return creds or nil, { [type] = { [id] = value } }
function arrangement.records(_, _, types, maps)
  local keys = {}
  for i, kind in ipairs(types) do
    if next(maps[i + 1]) ~= nil then keys[kind] = maps[i + 1] end
  end
  return maps[1].creds, keys
end

--- Which record a reply could not be read for.
-- @param at which of the commands
-- @param field of its map
-- @return type, id
function arrangement.place(_, _, types, at, field)
  if at == 1 then return "creds", "creds" end
  return types[at - 1], field
end

--- Lists the ids of a type.
-- @return a command
function arrangement.list(layout, session, kind)
  return { "HKEYS", type_key(layout, session, kind) }
end

--- The ids in its reply.
function arrangement.ids(_, _, _, reply)
  return reply
end

--- Counts the records of a type.
-- @return a command, and what takes the number out of its reply
function arrangement.count(layout, session, kind)
  return { "HLEN", type_key(layout, session, kind) }
end

--- The number in its reply.
function arrangement.number(_, _, _, reply)
  return reply
end

--- Counts all records.
-- @return list of commands
function arrangement.count_all(layout, session, types)
  local commands = {}
  for i, key in ipairs(arrangement.keys(layout, session, types)) do
    commands[i] = { "HLEN", key }
  end
  return commands
end

--- The numbers in their replies: { [type] = n }, and that of the creds.
function arrangement.numbers(_, _, types, replies)
  local counts = {}
  for i, kind in ipairs(types) do
    if replies[i + 1] > 0 then counts[kind] = replies[i + 1] end
  end
  return counts, replies[1]
end

return arrangement
