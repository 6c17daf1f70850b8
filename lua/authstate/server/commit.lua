-- SPDX-License-Identifier: MIT
-- Writes a session, all or nothing, exactly once. Follows prelude.lua.
--
-- KEYS: meta, then each key that is written.
-- ARGV: writer, seq, the caller's generation ("" none yet, "0" it saw no session, "-"
--       none yet, and it writes to the one that it opens, or not at all),
--       the generation to open if there is none or a tombstone ("" may not open),
--       "create" or "write", whether creds are set ("1" or ""), registered ("1", "0",
--       "-" unknown from now on, "" creds are not touched), the expected version (""
--       any), for a writer's first write the version that it saw (else "");
--       then for KEYS[2], KEYS[3], ...: its type ("creds" for the credentials), the
--       number of deletes and of sets, the fields to delete, and field and value to set.
-- Verdicts: ok gen ver | again gen ver | gap seq | fenced gen | exists | reopen gen |
--           conflict ver | wrong_type key

local writer, seq, pinned, proposal = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local creates, has_creds, registered = ARGV[5] == "create", ARGV[6] == "1", ARGV[7]
local expected, seen = ARGV[8], ARGV[9]

local meta = read_meta(writer)
if not meta then return { "wrong_type", KEYS[1] } end

-- 1. Generation. A write that opened it is known by its token, wherever it is now.
local token = check_token(meta, seq, seen)
if token and token[1] == "again" then return token end
local generation = meta.gen
local opens = not meta.gen or meta.tombstone
if pinned == "-" and not opens then return { "reopen", decimal(meta.gen) } end
if pinned == "-" then pinned = "" end
if meta.gen then
  local is_current = pinned == decimal(meta.gen)
  if not is_current and (pinned ~= "" or meta.tombstone) then
    return { "fenced", decimal(meta.gen) }
  end
elseif pinned ~= "" and pinned ~= "0" then
  return { "fenced", "" }
end
if meta.tombstone and not has_creds then return { "fenced", decimal(meta.gen) } end
if opens then
  if proposal == "" and meta.tombstone then return { "reopen", decimal(meta.gen) } end
  if proposal == "" then return { "fenced", "" } end
  generation = tonumber(proposal)
  if meta.gen and generation <= meta.gen then return { "reopen", decimal(meta.gen) } end
end

-- 2. Token.
if token then return token end

-- 3. Lease: to come, in this place. 4. Expected version.
if expected ~= "" and tonumber(expected) ~= meta.ver then
  return { "conflict", decimal(meta.ver) }
end

-- 5. Types.
local wrong = wrong_type_key(2)
if wrong then return { "wrong_type", wrong } end
if creates and ask("HEXISTS", KEYS[2], "creds") == 1 then return { "exists" } end

local _, at = server_time()
local refused = refusal("HSET", "", "") or refusal("HDEL", "") or refusal("EXISTS")
  or not meta.runs and refusal("HGETALL") or meta.tombstone and refusal("PERSIST")
if refused then return refused end

-- 6. All is checked: change it.
local function call_sliced(command, key, first, last, step)
  for i = first, last, step do
    redis.call(command, key, unpack(ARGV, i, math.min(i + step - 1, last)))
  end
end

local version = meta.ver + 1
local fields = {
  "gen", decimal(generation), "ver", decimal(version), "at", at,
  "w:" .. writer, next_runs(meta, seq, version),
}
local at_argument = 10
for i = 2, #KEYS do
  local kind = ARGV[at_argument]
  local deletes, sets = tonumber(ARGV[at_argument + 1]), tonumber(ARGV[at_argument + 2])
  local first_set = at_argument + 3 + deletes
  local last = first_set + 2 * sets - 1
  call_sliced("HDEL", KEYS[i], at_argument + 3, first_set - 1, SLICE)
  call_sliced("HSET", KEYS[i], first_set, last, SLICE)
  if kind ~= "creds" and sets > 0 then
    fields[#fields + 1] = "t:" .. kind
    fields[#fields + 1] = "1"
  end
  at_argument = last + 1
end
if registered == "-" then
  redis.call("HDEL", KEYS[1], "registered")
elseif registered ~= "" then
  fields[#fields + 1] = "registered"
  fields[#fields + 1] = registered
end
if meta.tombstone then
  redis.call("HDEL", KEYS[1], "tombstone", "records", "bytes", "deleted")
  redis.call("PERSIST", KEYS[1])
end
if not meta.runs then forget_oldest_writers() end
for i = 1, #fields, SLICE do
  redis.call("HSET", KEYS[1], unpack(fields, i, math.min(i + SLICE - 1, #fields)))
end
-- Last, so that a tracking client is told of the next foreign write of any of these keys.
call_on_keys("EXISTS", 1)
return { "ok", decimal(generation), decimal(version) }
