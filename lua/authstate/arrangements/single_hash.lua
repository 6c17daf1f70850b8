-- SPDX-License-Identifier: MIT
--- All records of a session, creds included, in one hash; what a field is the layout's
-- `parse` tells. See hash_per_type.lua for what an arrangement is.

local arrangement = { has_types_in_meta = false, has_index = false }

local function hash_key(layout, session)
  return (layout.key(session, "creds", "creds"))
end

function arrangement.keys(layout, session)
  return { hash_key(layout, session) }
end

function arrangement.type_to_remember()
  return "creds"
end

function arrangement.read_all(layout, session)
  return { { "HGETALL", hash_key(layout, session) } }
end

-- The third value: how many fields `parse` does not know, nil for none.
function arrangement.records(layout, session, _, maps)
  local key, keys, creds, unknown = hash_key(layout, session), {}, nil, 0
  for field, value in pairs(maps[1]) do
    local _, kind, id = layout.parse(key, field)
    if not kind then
      unknown = unknown + 1
    elseif kind == "creds" then
      creds = value
    else
      keys[kind] = keys[kind] or {}
      keys[kind][id] = value
    end
  end
  return creds, keys, unknown > 0 and unknown or nil
end

function arrangement.place(layout, session, _, _, field)
  local _, kind, id = layout.parse(hash_key(layout, session), field)
  return kind or "field", id or field
end

function arrangement.list(layout, session)
  return { "HKEYS", hash_key(layout, session) }
end

function arrangement.ids(layout, session, kind, reply)
  local key, ids = hash_key(layout, session), {}
  for _, field in ipairs(reply) do
    local _, field_kind, id = layout.parse(key, field)
    if field_kind == kind then ids[#ids + 1] = id end
  end
  return ids
end

arrangement.count = arrangement.list

function arrangement.number(layout, session, kind, reply)
  return #arrangement.ids(layout, session, kind, reply)
end

function arrangement.count_all(layout, session)
  return { arrangement.list(layout, session) }
end

function arrangement.numbers(layout, session, _, replies)
  local key, counts, creds = hash_key(layout, session), {}, 0
  for _, field in ipairs(replies[1]) do
    local _, kind = layout.parse(key, field)
    if kind == "creds" then
      creds = 1
    elseif kind then
      counts[kind] = (counts[kind] or 0) + 1
    end
  end
  return counts, creds
end

return arrangement
