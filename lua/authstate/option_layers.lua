-- SPDX-License-Identifier: MIT
--- Options above options: those given to `open` above those of a profile above those of
-- the profile that it extends. Tables are merged deeply and arrays replaced, but the
-- server is one thing: who names another one means nothing of the one below.

local url = require "authstate.url"

local layers = {}

--- Whether the option `redis`, as a table, tells where a server is.
function layers.names_server(redis)
  return redis ~= nil and (redis.url or redis.path or redis.host or redis.port) ~= nil
end

-- Arrays are replaced, not merged; one that is empty has the metatable of arrays.
local function is_map(value)
  return type(value) == "table" and #value == 0 and getmetatable(value) == nil
end

--- Puts a table above another one, deeply. Neither changes.
function layers.merge_tables(below, above)
  local merged = {}
  for name, value in pairs(below) do merged[name] = value end
  for name, value in pairs(above) do
    local are_maps = is_map(value) and is_map(merged[name])
    merged[name] = are_maps and layers.merge_tables(merged[name], value) or value
  end
  return merged
end

local function add_leaves(values, path, leaves)
  for name, value in pairs(values) do
    local full_name = path .. tostring(name)
    if is_map(value) then
      add_leaves(value, full_name .. ".", leaves)
    else
      leaves[full_name] = value
    end
  end
  return leaves
end

--- Options by their full names: { ["redis.socket.no_delay"] = true }.
function layers.leaves(values)
  return add_leaves(values, "", {})
end

-- What a URL says, and nothing that it leaves open.
local function said_by(text)
  local parsed = url.parse(text)
  if parsed.database == 0 and not text:find "[/=?]0+$" then parsed.database = nil end
  parsed.tls = nil -- that there is TLS, not how
  return parsed
end

local function is_unix(redis)
  return redis.path ~= nil or redis.url ~= nil and url.parse(redis.url).path ~= nil
end

-- What stays of the server below. One that is named replaces another one with all that
-- belongs to it: a password does not go to a server that it was not meant for.
local function kept_server(below, above)
  local is_named = below.url or below.path or below.host
  local names_other = above.url or above.path or above.host or
    (above.port and is_unix(below))
  if is_named and names_other then return { socket = below.socket } end
  local said, kept = above.url and said_by(above.url) or {}, {}
  for name, value in pairs(below) do
    if said[name] == nil then kept[name] = value end
  end
  return kept
end

-- What stays of all options below.
local function kept_below(below, above)
  local kept, redis = layers.merge_tables(below, {}), below.redis
  if above.data_dir ~= nil then
    kept.redis = redis and { socket = redis.socket }
  elseif above.redis then
    if layers.names_server(above.redis) then kept.data_dir = nil end
    kept.redis = redis and kept_server(redis, above.redis)
  end
  return kept
end

--- Puts options above others: tables are merged deeply, arrays replaced, and where the
-- server is (`data_dir`, or what `redis` says but for `socket`) is replaced as one.
-- @param below options, checked
-- @param above options, checked
-- @param origins { [full name] = where it was said }: follows
-- @param origin where `above` is said; nil for nowhere
-- @return the merged options
function layers.merge(below, above, origins, origin)
  local kept = kept_below(below, above)
  local kept_names = layers.leaves(kept)
  for name in pairs(origins) do
    if kept_names[name] == nil then origins[name] = nil end
  end
  for name in pairs(layers.leaves(above)) do origins[name] = origin end
  return layers.merge_tables(kept, above)
end

return layers
