-- SPDX-License-Identifier: MIT
--- The names that Baileys, and stores modelled after it, give to a record: "<type>-<id>"
-- with each "/" written as "__" and each ":" as "-". The type is the longest known one
-- that a name begins with; what of the id can be undone depends on the type:
--
--     name                          type                id
--     sender-key-memory-1@g.us      sender-key-memory   1@g.us
--     sender-key-1@g.us--2_1--0     sender-key          1@g.us::2_1::0
--     app-state-sync-key-7A__+      app-state-sync-key  7A/+
--     tctoken-__index               tctoken             __index

local baileys_names = {}

local REPLACEMENT = "\239\191\189" -- U+FFFD in UTF-8
local LONE_SURROGATE = "\237[\160-\191][\128-\191]" -- as WTF-8 writes it

local function as_written(id)
  return id
end

-- <group>::<user>::<device>; a group's id may itself have a "--".
local function undo_sender_key(id)
  local group, user, device = id:match "^(.*)%-%-(.*)%-%-(.*)$"
  return group and ("%s::%s::%s"):format(group, user, device) or id
end

-- Base64, which has no "_".
local function undo_sync_key(id)
  return (id:gsub("__", "/"))
end

-- The types of Baileys' SignalDataTypeMap, and how an id comes back from a name.
local TYPES = {
  ["app-state-sync-key"] = undo_sync_key,
  ["app-state-sync-version"] = as_written,
  ["device-list"] = as_written,
  ["identity-key"] = as_written,
  ["lid-mapping"] = as_written,
  ["pre-key"] = as_written,
  ["sender-key"] = undo_sender_key,
  ["sender-key-memory"] = as_written,
  ["session"] = as_written,
  ["tctoken"] = as_written,
}

--- What Baileys makes of a name. Node writes a lone surrogate as U+FFFD.
function baileys_names.fix(name)
  return (name:gsub("/", "__"):gsub(":", "-"):gsub(LONE_SURROGATE, REPLACEMENT))
end

--- The record that has a name.
-- @return type, id; nil when the name begins with no known type
function baileys_names.parse(name)
  local kind
  for known in pairs(TYPES) do
    local is_prefix = name:sub(1, #known + 1) == known .. "-"
    if is_prefix and (not kind or #known > #kind) then kind = known end
  end
  if not kind then return nil end
  return kind, TYPES[kind](name:sub(#kind + 2))
end

--- Whether a name could come from Node: it has no lone surrogate.
function baileys_names.is_possible(name)
  return not name:find(LONE_SURROGATE)
end

return baileys_names
