-- SPDX-License-Identifier: MIT
--- The commands of Redis that the model of it knows: what they do to a keyspace and what
-- they answer. Those of connections, transactions and scripts are in server.lua.
--
-- A command is { arity (as Redis counts: below 0 at least), run(keyspace, arguments) ->
-- reply, writes, needs_memory (refused when memory is full) }. arguments[1] is its name.

local COUNT = "^%-?%d+$"

local commands = {}

local OK = { ok = "OK" }
local NO_INTEGER = { err = "ERR value is not an integer or out of range" }
local NO_FLOAT = { err = "ERR min or max is not a float" }
local NO_SCORE = { err = "ERR value is not a valid float" }
local SYNTAX = { err = "ERR syntax error" }
local NO_HASH_INTEGER = { err = "ERR hash value is not an integer" }
local NONE = { ok = "none" }

local function wrong_arity(name)
  return { err = ("ERR wrong number of arguments for '%s' command"):format(name) }
end

local function whole(text)
  return text:find(COUNT) and tonumber(text) or nil
end

-- A score as Redis reads it.
local function parse_score(text)
  local word = text:lower()
  if word == "inf" or word == "+inf" then return math.huge end
  if word == "-inf" then return -math.huge end
  if word == "" or word:find "^%s" or word:find "%s$" or word:find "nan" then
    return nil
  end
  return tonumber(word)
end

-- And as it writes it.
local function show_score(score)
  if score == math.huge then return "inf" end
  if score == -math.huge then return "-inf" end
  if score % 1 == 0 and math.abs(score) < 2 ^ 63 then return ("%.0f"):format(score) end
  return ("%.17g"):format(score)
end

local function define(name, arity, run, flags)
  flags = flags or {}
  commands[name] = {
    name = name, arity = arity, run = run, writes = flags.writes or false,
    needs_memory = flags.needs_memory or false,
  }
end

local WRITES, GROWS = { writes = true }, { writes = true, needs_memory = true }

-- ---- keys -------------------------------------------------------------------------

local function each_key(keys, arguments, action)
  local count = 0
  for i = 2, #arguments do
    if action(keys, arguments[i]) then count = count + 1 end
  end
  return count
end

local function remove(keys, key)
  return keys:entry(key) ~= nil and keys:remove(key)
end

local function delete(keys, arguments)
  return each_key(keys, arguments, remove)
end

define("del", -2, delete, WRITES)
define("unlink", -2, delete, WRITES)

define("exists", -2, function(keys, arguments)
  return each_key(keys, arguments, keys.entry)
end)

define("type", 2, function(keys, arguments)
  local entry = keys:entry(arguments[2])
  return entry and { ok = entry.kind } or NONE
end)

local function expire(unit_ms)
  return function(keys, arguments)
    local entry, time = keys:entry(arguments[2]), whole(arguments[3])
    if arguments[4] then return { err = "ERR Unsupported option " .. arguments[4] } end
    if not time then return NO_INTEGER end
    if not entry then return 0 end
    if time <= 0 then
      keys:remove(arguments[2])
    else
      entry.expires_ms = keys.now_ms() + time * unit_ms
    end
    return 1
  end
end

define("pexpire", -3, expire(1), WRITES)
define("expire", -3, expire(1000), WRITES)

define("persist", 2, function(keys, arguments)
  local entry = keys:entry(arguments[2])
  if not entry or not entry.expires_ms then return 0 end
  entry.expires_ms = nil
  return 1
end, WRITES)

local function time_to_live(unit_ms)
  return function(keys, arguments)
    local entry = keys:entry(arguments[2])
    if not entry then return -2 end
    if not entry.expires_ms then return -1 end
    local left_ms = entry.expires_ms - keys.now_ms()
    return math.floor((left_ms + unit_ms / 2) / unit_ms)
  end
end

define("pttl", 2, time_to_live(1))
define("ttl", 2, time_to_live(1000))

define("dbsize", 1, function(keys) return #keys:keys() end)

local function clear(keys)
  for _, key in ipairs(keys:keys()) do keys:remove(key) end
  return OK
end

define("flushdb", -1, clear, WRITES)
define("flushall", -1, clear, WRITES)

-- A glob-style pattern as a Lua one. Classes in brackets are not known.
local function pattern_of(glob)
  local parts, i = {}, 1
  while i <= #glob do
    local letter = glob:sub(i, i)
    if letter == "*" then
      parts[#parts + 1] = ".*"
    elseif letter == "?" then
      parts[#parts + 1] = "."
    else
      if letter == "\\" and i < #glob then
        i = i + 1
        letter = glob:sub(i, i)
      end
      parts[#parts + 1] = letter:gsub("%W", "%%%0")
    end
    i = i + 1
  end
  return "^" .. table.concat(parts) .. "$"
end

local function scan_options(arguments)
  local options = { count = 10 }
  for i = 3, #arguments, 2 do
    local name, value = arguments[i]:lower(), arguments[i + 1]
    if not value then return nil end
    if name == "match" then
      options.pattern = pattern_of(value)
    elseif name == "count" then
      options.count = whole(value)
      if not options.count or options.count < 1 then return nil end
    elseif name == "type" then
      options.kind = value
    else
      return nil
    end
  end
  return options
end

-- The cursor is how many keys were passed over, in the order of their names.
define("scan", -2, function(keys, arguments)
  local options, place = scan_options(arguments), whole(arguments[2])
  if not place then return { err = "ERR invalid cursor" } end
  if not options then return SYNTAX end
  local all, found = keys:keys(), {}
  local last = math.min(place + options.count, #all)
  for i = place + 1, last do
    local entry = keys:entry(all[i])
    if (not options.pattern or all[i]:find(options.pattern)) and
       (not options.kind or entry.kind == options.kind) then
      found[#found + 1] = all[i]
    end
  end
  return { last < #all and tostring(last) or "0", found }
end)

-- About what Redis would say: what is counted, not what is allocated.
define("memory", -3, function(keys, arguments)
  if arguments[2]:lower() ~= "usage" then
    return { err = "ERR unknown subcommand '" .. arguments[2] .. "'. Try MEMORY HELP." }
  end
  local entry = keys:entry(arguments[3])
  if not entry then return false end
  local bytes = 64 + #arguments[3]
  for _, field in ipairs(entry.order) do
    bytes = bytes + #field + #tostring(entry.values[field]) + 8
  end
  return bytes
end)

-- ---- strings ----------------------------------------------------------------------

define("get", 2, function(keys, arguments)
  local entry, wrong = keys:entry_of(arguments[2], "string")
  if not entry then return wrong or false end
  return entry.values[""]
end)

-- With PX or without.
define("set", -3, function(keys, arguments)
  local word, ttl_ms = arguments[4], nil
  if word and word:lower() == "px" then ttl_ms = whole(arguments[5] or "") end
  if word and not ttl_ms then return SYNTAX end
  if keys:entry(arguments[2]) then keys:remove(arguments[2]) end
  local entry = keys:make(arguments[2], "string")
  keys:set(arguments[2], entry, "", arguments[3])
  entry.expires_ms = ttl_ms and keys.now_ms() + ttl_ms or nil
  return OK
end, GROWS)

-- ---- hashes -----------------------------------------------------------------------

define("hset", -4, function(keys, arguments)
  if #arguments % 2 == 1 then return wrong_arity "hset" end
  local key = arguments[2]
  local entry, wrong = keys:make(key, "hash")
  if not entry then return wrong end
  local count = 0
  for i = 3, #arguments, 2 do
    if keys:set(key, entry, arguments[i], arguments[i + 1]) then count = count + 1 end
  end
  return count
end, GROWS)

define("hdel", -3, function(keys, arguments)
  local key = arguments[2]
  local entry, wrong = keys:entry_of(key, "hash")
  if not entry then return wrong or 0 end
  local count = 0
  for i = 3, #arguments do
    if keys:unset(key, entry, arguments[i]) then count = count + 1 end
  end
  return count
end, WRITES)

define("hget", 3, function(keys, arguments)
  local entry, wrong = keys:entry_of(arguments[2], "hash")
  if not entry then return wrong or false end
  return entry.values[arguments[3]] or false
end)

define("hmget", -3, function(keys, arguments)
  local entry, wrong = keys:entry_of(arguments[2], "hash")
  if wrong then return wrong end
  local values = {}
  for i = 3, #arguments do
    values[i - 2] = entry and entry.values[arguments[i]] or false
  end
  return values
end)

define("hexists", 3, function(keys, arguments)
  local entry, wrong = keys:entry_of(arguments[2], "hash")
  if not entry then return wrong or 0 end
  return entry.values[arguments[3]] and 1 or 0
end)

define("hlen", 2, function(keys, arguments)
  local entry, wrong = keys:entry_of(arguments[2], "hash")
  if not entry then return wrong or 0 end
  return #entry.order
end)

local function list_hash(add)
  return function(keys, arguments)
    local entry, wrong = keys:entry_of(arguments[2], "hash")
    if not entry then return wrong or {} end
    local list = {}
    for _, field in ipairs(entry.order) do add(list, field, entry.values[field]) end
    return list
  end
end

define("hkeys", 2, list_hash(function(list, field) list[#list + 1] = field end))
define("hvals", 2, list_hash(function(list, _, value) list[#list + 1] = value end))
define("hgetall", 2, list_hash(function(list, field, value)
  list[#list + 1] = field
  list[#list + 1] = value
end))

define("hincrby", 4, function(keys, arguments)
  local key, field, by = arguments[2], arguments[3], whole(arguments[4])
  if not by then return NO_INTEGER end
  local entry, wrong = keys:entry_of(key, "hash")
  if wrong then return wrong end
  local number = whole(entry and entry.values[field] or "0")
  if not number then return NO_HASH_INTEGER end
  keys:set(key, keys:make(key, "hash"), field, ("%.0f"):format(number + by))
  return number + by
end, GROWS)

-- ---- sorted sets ------------------------------------------------------------------

-- The options of ZADD that come before the scores; nil for what is no option.
local ZADD_OPTIONS = { gt = true, ch = true }

local function zadd_pairs(arguments, first)
  local list = {}
  if first > #arguments or (#arguments - first) % 2 == 0 then return nil, SYNTAX end
  for i = first, #arguments, 2 do
    local score = parse_score(arguments[i])
    if not score then return nil, NO_SCORE end
    list[#list + 1] = { score, arguments[i + 1] }
  end
  return list
end

define("zadd", -4, function(keys, arguments)
  local key, first, given = arguments[2], 3, {}
  while ZADD_OPTIONS[arguments[first]:lower()] and arguments[first + 1] do
    given[arguments[first]:lower()] = true
    first = first + 1
  end
  local list, wrong = zadd_pairs(arguments, first)
  if not list then return wrong end
  local entry
  entry, wrong = keys:make(key, "zset")
  if not entry then return wrong end
  local added, changed = 0, 0
  for _, pair in ipairs(list) do
    local score, member = pair[1], pair[2]
    local old = entry.values[member]
    if not old then
      added = added + 1
      keys:set(key, entry, member, score)
    elseif score ~= old and (not given.gt or score > old) then
      changed = changed + 1
      keys:set(key, entry, member, score)
    end
  end
  return given.ch and added + changed or added
end, GROWS)

define("zrem", -3, commands.hdel.run, WRITES)
commands.zrem.run = function(keys, arguments)
  local key = arguments[2]
  local entry, wrong = keys:entry_of(key, "zset")
  if not entry then return wrong or 0 end
  local count = 0
  for i = 3, #arguments do
    if keys:unset(key, entry, arguments[i]) then count = count + 1 end
  end
  return count
end

define("zscore", 3, function(keys, arguments)
  local entry, wrong = keys:entry_of(arguments[2], "zset")
  if not entry then return wrong or false end
  local score = entry.values[arguments[3]]
  return score and show_score(score) or false
end)

define("zcard", 2, function(keys, arguments)
  local entry, wrong = keys:entry_of(arguments[2], "zset")
  if not entry then return wrong or 0 end
  return #entry.order
end)

-- A bound of a range of scores: the score, and whether it is excluded.
local function parse_bound(text)
  if text:sub(1, 1) == "(" then return parse_score(text:sub(2)), true end
  return parse_score(text), false
end

local function is_in(score, low, is_low_out, high, is_high_out)
  if score < low or score > high then return false end
  return not (score == low and is_low_out or score == high and is_high_out)
end

-- Members of an entry in the order of their scores.
local function sorted_members(entry)
  local members = { unpack(entry.order) }
  table.sort(members, function(a, b)
    local first, second = entry.values[a], entry.values[b]
    if first ~= second then return first < second end
    return a < b
  end)
  return members
end

-- LIMIT skip count, WITHSCORES, in any order; nil for anything else.
local function range_options(arguments, first)
  local options, i = { skip = 0, count = math.huge }, first
  while arguments[i] do
    local name = arguments[i]:lower()
    if name == "withscores" then
      options.has_scores = true
      i = i + 1
    elseif name == "limit" and arguments[i + 2] then
      options.skip, options.count = whole(arguments[i + 1]), whole(arguments[i + 2])
      if not options.skip or not options.count then return nil, NO_INTEGER end
      if options.count < 0 then options.count = math.huge end
      i = i + 3
    else
      return nil, SYNTAX
    end
  end
  return options
end

-- Only by score: ZRANGE key low high BYSCORE [LIMIT skip count] [WITHSCORES].
define("zrange", -5, function(keys, arguments)
  local options, wrong = range_options(arguments, 6)
  if not options then return wrong end
  if arguments[5]:lower() ~= "byscore" then return SYNTAX end
  local low, is_low_out = parse_bound(arguments[3])
  local high, is_high_out = parse_bound(arguments[4])
  if not low or not high then return NO_FLOAT end
  local entry
  entry, wrong = keys:entry_of(arguments[2], "zset")
  if not entry then return wrong or {} end
  local list, passed = {}, 0
  for _, member in ipairs(options.skip >= 0 and sorted_members(entry) or {}) do
    local score = entry.values[member]
    if is_in(score, low, is_low_out, high, is_high_out) then
      passed = passed + 1
      if passed > options.skip and passed - options.skip <= options.count then
        list[#list + 1] = member
        if options.has_scores then list[#list + 1] = show_score(score) end
      end
    end
  end
  return list
end)

-- ---- no key -----------------------------------------------------------------------

define("ping", -1, function(_, arguments)
  return arguments[2] or { ok = "PONG" }
end)

define("echo", 2, function(_, arguments)
  return arguments[2]
end)

define("time", 1, function(keys)
  local us = math.floor(keys.now_ms() * 1000 + 0.5)
  return { ("%.0f"):format(math.floor(us / 1e6)), ("%.0f"):format(us % 1e6) }
end)

--- The command of a request, and an error reply when it has the wrong number of
-- arguments; nil for one that is not known.
function commands.find(request)
  local command = commands[request[1]:lower()]
  if type(command) ~= "table" then return nil end
  local count = #request
  local is_right = command.arity < 0 and count >= -command.arity or count == command.arity
  return command, not is_right and wrong_arity(command.name) or nil
end

commands.wrong_arity = wrong_arity

return commands
