-- SPDX-License-Identifier: MIT
--- The near caches of a Lua state. Stores that ask for the same bound, policy and time to
-- live share one; who asks for another one later leaves it to the others. A cache that
-- nobody else uses is changed as it stands, with all it holds.

local cache = require "authstate.cache"
local clock = require "authstate.clock"
local core = require "authstate.core"
local here = require "authstate.openresty.here"

local shared_cache = {}

-- By what they are made with, and the other way round.
local caches = setmetatable({}, { __mode = "v" })
local names = setmetatable({}, { __mode = "k" })

-- Who uses each: { [cache] = { [user] = true } }.
local users = setmetatable({}, { __mode = "k" })

-- What a cache takes when nobody says: a part of what the machine has. Each worker of
-- nginx has one.
local LEAST_BYTES, MOST_BYTES, MEMORY_SHARE = 16 * 1024 ^ 2, 256 * 1024 ^ 2, 32

-- Enough to try a policy with.
local TRIAL_BYTES = 65536

local function describe_ttl(ttl_ms)
  if type(ttl_ms) ~= "table" then return tostring(ttl_ms) end
  local parts = {}
  for name, value in pairs(ttl_ms) do parts[#parts + 1] = name .. "=" .. value end
  table.sort(parts)
  return table.concat(parts, ",")
end

local function default_bytes()
  local share = math.min((core.memory_bytes() or 0) / MEMORY_SHARE, MOST_BYTES)
  return math.max(math.floor(share / here.worker_count()), LEAST_BYTES)
end

-- The bound that is asked for, and what a cache of these options is known by.
local function describe(options)
  local max_bytes = options.cache_max_bytes or default_bytes()
  local parts = {
    options.policy, ("%.0f"):format(max_bytes), describe_ttl(options.cache_ttl_ms),
  }
  return max_bytes, table.concat(parts, "\0")
end

local function now_ms() return clock.now_ms() end

-- A cache; or nil and a sentence.
local function make(options, max_bytes, log)
  local made, message = cache.new {
    max_bytes = max_bytes, policy = options.policy, ttl_ms = options.cache_ttl_ms,
    log = log, now_ms = now_ms,
  }
  if made then return made end
  return nil, ('option "policy": %s'):format(message)
end

local function put(made, name)
  local before = names[made]
  if before and caches[before] == made then caches[before] = nil end
  caches[name], names[made] = made, name
end

--- Gives a user the cache that its options ask for.
-- @param user a table
-- @param options of a store
-- @param log of the store: of the one that is first here
-- @return the cache; or nil and a sentence
function shared_cache.join(user, options, log)
  local max_bytes, name = describe(options)
  local made = caches[name]
  if not made then
    local message
    made, message = make(options, max_bytes, log)
    if not made then return nil, message end
    put(made, name)
    users[made] = setmetatable({}, { __mode = "k" })
  end
  users[made][user] = true
  return made
end

--- The user is done with its cache.
function shared_cache.leave(user, made)
  users[made][user] = nil
end

--- Why there can be no cache with these options: a sentence, or nil.
function shared_cache.fault(options)
  local tried, message = make(options, TRIAL_BYTES)
  if not tried then return message end
  tried:close()
end

-- Whether nobody else uses a cache. One of another time to live holds nothing that may
-- be kept.
local function is_own(user, made, options)
  for other in pairs(users[made]) do
    if other ~= user then return false end
  end
  return describe_ttl(made.ttl) == describe_ttl(options.cache_ttl_ms)
end

--- Gives a user, whose options have changed, the cache that they ask for now: its own
-- with another bound and policy, or one that it shares with others, or another one.
-- @param user as in `join`
-- @param made the cache that it has
-- @param options of the store, see `fault`
-- @param log of the store
-- @return the cache
function shared_cache.change(user, made, options, log)
  local max_bytes, name = describe(options)
  if names[made] == name then return made end
  if caches[name] or not is_own(user, made, options) then
    shared_cache.leave(user, made)
    return assert(shared_cache.join(user, options, log))
  end
  put(made, name)
  if made.policy_name ~= options.policy then made:set_policy(options.policy) end
  if made.core.capacity_bytes ~= max_bytes then made:resize(max_bytes) end
  return made
end

return shared_cache
