-- SPDX-License-Identifier: MIT
-- What the scripts that change a session share. It runs inside Redis, before the text of
-- commit.lua or delete.lua. The state of a session is its `meta` hash, KEYS[1]:
--
--   gen          the generation; a tombstone has one too
--   ver          how many writes the session has seen, deletes included
--   at           server time of the last write, ms
--   registered   creds.registered of the newest creds: 1 or 0
--   t:<type>     1, for each type ever written in this generation
--   w:<writer>   what the writer did last: see the token below
--   tombstone    hash of the session's id: the session was deleted
--   records bytes deleted    of a tombstone: what was deleted, and its generation
--   owner epoch until identity    of leases and of the identity guard, to come
--
-- A script answers { verdict, ... } and changes nothing unless the verdict is "ok".
--
-- Token: a writer numbers its writes of a session 1, 2, 3 ... A field w:<writer> is
-- "seq:ver" of its newest write, followed by ",seq:ver" for each earlier write after
-- which another writer came between, newest first: so the version of each write is known
-- as long as its run is kept. Numbers are written with %.0f: `..` would give 1.79e+15.

local MAX_WRITERS = 8
local MAX_RUNS = 16
local SLICE = 4000 -- unpack fails near 8,000 values

local function decimal(number)
  return string.format("%.0f", number)
end

-- What is forbidden, in Redis' own words: of a command that a script may not call it does
-- not say the name.
local function no_permission(command)
  local name = command == "MEMORY" and "memory|usage" or string.lower(command)
  return redis.error_reply("NOPERM this user has no permissions to run the '" .. name ..
    "' command, which a script needs")
end

-- Calls a command before anything is changed.
local function ask(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) ~= "table" or not reply.err then return reply end
  error(redis.acl_check_cmd(command, ...) and reply or no_permission(command))
end

-- An error when the user of this connection may not do what follows to KEYS[1]; nil when
-- he may. A script that Redis ends in the middle has done half of it, so it asks before
-- its first change. (That the user may write all KEYS is asked before it begins.)
local function refusal(command, ...)
  if not redis.acl_check_cmd(command, KEYS[1], ...) then return no_permission(command) end
end

-- The state of the session, or nil when KEYS[1] is no hash.
local function read_meta(writer)
  local found = redis.pcall("HMGET", KEYS[1], "gen", "ver", "tombstone", "w:" .. writer)
  if found.err and string.sub(found.err, 1, 9) == "WRONGTYPE" then return nil end
  if found.err then found = ask("HMGET", KEYS[1], "gen") end -- raises, and says why
  return {
    gen = found[1] and tonumber(found[1]),
    ver = tonumber(found[2] or 0),
    tombstone = found[3],
    runs = found[4] or nil,
  }
end

-- The newest seq of the writer, nil for one that is not among the newest writers.
local function recorded_seq(meta)
  return meta.runs and tonumber(string.match(meta.runs, "^(%d+):"))
end

-- The version that write `seq` made; 0 when its run is forgotten.
local function version_of(meta, seq)
  local version, kept = 0, 0
  for run_seq, run_ver in string.gmatch(meta.runs, "(%d+):(%d+)") do
    kept = kept + 1
    if tonumber(run_seq) < seq then return version end
    version = tonumber(run_ver) - (tonumber(run_seq) - seq)
  end
  if kept == MAX_RUNS then return 0 end
  return version
end

-- Token check, rule 2. Answers "again" or "gap", or nil for the next write of the writer.
-- A first write says which version the writer saw. When enough was written since for its
-- token to be forgotten, nobody knows whether it is the first.
local function check_token(meta, seq, seen)
  local recorded = recorded_seq(meta)
  if recorded and seq <= recorded then
    return { "again", decimal(meta.gen), decimal(version_of(meta, seq)) }
  end
  if seq ~= (recorded or 0) + 1 then
    return { "gap", recorded and decimal(recorded) or "" }
  end
  if not recorded and seen ~= "" and meta.ver - tonumber(seen) > MAX_WRITERS then
    return { "gap", "" }
  end
end

-- The field w:<writer> after this write.
local function next_runs(meta, seq, version)
  local newest = decimal(seq) .. ":" .. decimal(version)
  if not meta.runs then return newest end
  local kept = {}
  for run in string.gmatch(meta.runs, "[^,]+") do
    if #kept < MAX_RUNS - 1 then kept[#kept + 1] = run end
  end
  local last_version = tonumber(string.match(kept[1], ":(%d+)$"))
  if last_version == version - 1 then table.remove(kept, 1) end
  table.insert(kept, 1, newest)
  return table.concat(kept, ",")
end

-- Makes room for a new writer: forgets the one that wrote longest ago.
local function forget_oldest_writers()
  local fields = redis.call("HGETALL", KEYS[1])
  local writers = {}
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == "w:" then
      local version = tonumber(string.match(fields[i + 1], "^%d+:(%d+)"))
      writers[#writers + 1] = { field = fields[i], version = version }
    end
  end
  table.sort(writers, function(a, b) return a.version > b.version end)
  for i = MAX_WRITERS, #writers do redis.call("HDEL", KEYS[1], writers[i].field) end
end

-- The first of KEYS from `first` on that holds something else than a hash.
local function wrong_type_key(first)
  for i = first, #KEYS do
    local kind = ask("TYPE", KEYS[i]).ok
    if kind ~= "hash" and kind ~= "none" then return KEYS[i] end
  end
end

-- Calls a command on KEYS[1..] in slices.
local function call_on_keys(command, first)
  for i = first, #KEYS, SLICE do
    redis.call(command, unpack(KEYS, i, math.min(i + SLICE - 1, #KEYS)))
  end
end

-- Server time: whole microseconds, and milliseconds as text.
local function server_time()
  local time = ask "TIME"
  local us = tonumber(time[1]) * 1000000 + tonumber(time[2])
  return us, decimal(math.floor(us / 1000))
end
