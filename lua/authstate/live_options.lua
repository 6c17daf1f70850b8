-- SPDX-License-Identifier: MIT
--- Other options for a store that is open: which of them take effect at once, and which
-- wait until it is opened again.
--
-- What takes effect at once is looked at when a call begins, or bounds what comes next:
-- nothing that was accepted is dropped, or changes its place.

local codec = require "authstate.codec"
local equal = require "authstate.equal"
local observer = require "authstate.observer"
local option_rows = require "authstate.options"

local live_options = {}

-- All others must wait: they decide where records are, how they are read, who they belong
-- to, or what a connection is made with.
local LIVE = {}
for _, name in ipairs {
  "compression", "compression_threshold_bytes", "compression_min_gain_bytes",
  "compression_min_gain_percent", "enable_batching", "batch_size", "batch_window_ms",
  "queue_max_operations", "queue_max_bytes", "max_commit_bytes", "tombstone_ttl_ms",
  "log", "log_level", "debug", "slow_ms", "enable_metrics", "on_operation",
  "redis.socket.command_timeout_ms",
} do LIVE[name] = true end

-- Those of the near cache, where there is one.
local OF_CACHE = {}
for _, name in ipairs {
  "cache_max_bytes", "cache_ttl_ms", "policy", "preload", "preload_limit",
  "memory_efficient",
} do OF_CACHE[name] = true end

-- In the place of a key that is not kept: 32 bytes, as text.
local NO_KEY = ("0"):rep(64)

--- Whether an option changes on a store that is open.
-- @param name full, such as "redis.socket.no_delay"
-- @param has_cache whether the store has a near cache
function live_options.is_live(name, has_cache)
  return LIVE[name] or has_cache and OF_CACHE[name] or false
end

--- What was given to `open`, to be kept: without the keys of the encryption.
function live_options.keep(given)
  local kept = {}
  for name, value in pairs(given) do kept[name] = value end
  if type(given.encryption) ~= "table" then return kept end
  kept.encryption = {}
  for name, value in pairs(given.encryption) do kept.encryption[name] = value end
  if type(given.encryption.keys) == "table" then
    kept.encryption.keys = {}
    for id in pairs(given.encryption.keys) do kept.encryption.keys[id] = NO_KEY end
  end
  return kept
end

-- ---- what differs ---------------------------------------------------------------------

-- { [full name of a row] = value } of what a table of options says.
local function add_rows(rows, path, values, flat)
  for _, row in ipairs(rows) do flat[path .. row.name] = values[row.name] end
end

-- All options by their full names; each of a server's socket, all else of the server as
-- one, and no key of the encryption.
local function flatten(options)
  local flat, server = {}, options.redis
  add_rows(option_rows.rows, "", options, flat)
  flat.profile, flat.redis, flat.encryption = nil, nil, nil
  add_rows(option_rows.socket_rows, "redis.socket.",
    server and server.socket or options.socket, flat)
  if server then
    flat.redis = {}
    for name, value in pairs(server) do flat.redis[name] = value end
    flat.redis.socket = nil
  end
  local encryption = options.encryption
  if encryption then
    flat["encryption.primary"] = encryption.primary
    flat["encryption.required"] = encryption.required
  end
  return flat
end

-- Whether other keys may be meant: they come from another file than before.
local function are_other_keys(store, applied)
  return applied:origin "encryption.keys" ~= store.profile:origin "encryption.keys"
end

-- The names of options that differ, sorted.
local function list_changes(before, after)
  local names = {}
  for name, value in pairs(after) do
    if not equal(value, before[name]) then names[#names + 1] = name end
  end
  for name in pairs(before) do
    if after[name] == nil then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- ---- making them true -----------------------------------------------------------------

-- The options with those changes that take effect at once.
local function put(store, wanted, names)
  local options = store.options
  for _, name in ipairs(names) do
    if name == "redis.socket.command_timeout_ms" then
      local socket = wanted.redis and wanted.redis.socket or wanted.socket
      store.server.socket.command_timeout_ms = socket.command_timeout_ms
    else
      options[name] = wanted[name]
    end
  end
end

local function set_bounds(store)
  local options, waiting = store.options, store.waiting
  waiting.max_operations, waiting.max_bytes =
    options.queue_max_operations, options.queue_max_bytes
  store.driver:set_bounds {
    batch_size = options.enable_batching and options.batch_size or 1,
    batch_window_ms = options.batch_window_ms,
    max_operations = options.queue_max_operations,
    max_queued_bytes = options.queue_max_bytes,
  }
end

local function set_cache(store, names)
  local is_other = false
  for _, name in ipairs(names) do is_other = is_other or OF_CACHE[name] or false end
  if not is_other then return end
  store.near:change()
  store.cache = store.near.cache
end

--- Puts what can be of other options into effect.
-- @param store that is open
-- @param wanted options as `open` would have them
-- @param applied the profile that they come from, see profile.apply
-- @return { applied = names of the options that changed, reopen = names of those that
--   change when the store is opened again }
function live_options.change(store, wanted, applied)
  local changed, waiting = {}, {}
  for _, name in ipairs(list_changes(flatten(store.options), flatten(wanted))) do
    local is_live = live_options.is_live(name, store.near ~= false)
    table.insert(is_live and changed or waiting, name)
  end
  if are_other_keys(store, applied) then table.insert(waiting, "encryption.keys") end
  put(store, wanted, changed)
  store.profile = applied
  store.made_codec = assert(codec.new(store.layout, store.options, store.keyring))
  set_bounds(store)
  set_cache(store, changed)
  observer.set(store)
  return { applied = changed, reopen = waiting }
end

return live_options
