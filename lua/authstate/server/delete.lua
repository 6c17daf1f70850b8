-- SPDX-License-Identifier: MIT
-- Deletes a session in one step and leaves a tombstone. Follows prelude.lua.
--
-- KEYS: meta, creds, then one key for each type.
-- ARGV: writer, seq, the caller's generation ("" none yet, "0" it saw no session), hash
--       of the session's id, how long the tombstone is kept in ms, for a writer's first
--       write the version that it saw (else ""), then the types of KEYS[3], KEYS[4], ...
-- Verdicts: ok gen ver records bytes deleted_gen | again, the same | gap seq |
--           fenced gen | absent | gone gen | types type ... (meta names these too) |
--           wrong_type key

local writer, seq, pinned = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local id_hash, ttl_ms, seen = ARGV[4], ARGV[5], ARGV[6]

local meta = read_meta(writer)
if not meta then return { "wrong_type", KEYS[1] } end
local token = check_token(meta, seq, seen)
if token and token[1] == "again" then
  local receipt = ask("HMGET", KEYS[1], "records", "bytes", "deleted")
  return { "again", token[2], token[3], receipt[1], receipt[2], receipt[3] }
end
local current = meta.gen and decimal(meta.gen) or "0"
if pinned ~= "" and pinned ~= current then
  return { "fenced", meta.gen and current or "" }
end
-- Records may lie there without a generation: who wrote them does not know of `meta`.
if not meta.gen or meta.tombstone then
  local is_there = false
  for i = 2, #KEYS do is_there = is_there or ask("EXISTS", KEYS[i]) == 1 end
  if not is_there and meta.gen then return { "gone", current } end
  if not is_there then return { "absent" } end
end
if token then return token end
-- Lease: to come, in this place.

local listed, missing, forgotten = {}, { "types" }, {}
for i = 7, #ARGV do listed["t:" .. ARGV[i]] = true end
for _, field in ipairs(ask("HKEYS", KEYS[1])) do
  if string.sub(field, 1, 2) == "t:" then
    forgotten[#forgotten + 1] = field
    if not listed[field] then missing[#missing + 1] = string.sub(field, 3) end
  end
end
if #missing > 1 then return missing end
local wrong = wrong_type_key(2)
if wrong then return { "wrong_type", wrong } end

local records, bytes = 0, 0
for i = 2, #KEYS do
  records = records + ask("HLEN", KEYS[i])
  bytes = bytes + (ask("MEMORY", "USAGE", KEYS[i], "SAMPLES", "0") or 0)
end
local us, at = server_time()
local refused = refusal("UNLINK") or refusal("HDEL", "") or refusal("HSET", "", "")
  or not meta.runs and refusal("HGETALL") or refusal("PEXPIRE", "1") or refusal("EXISTS")
if refused then return refused end
call_on_keys("UNLINK", 2)

local generation, version = math.max((meta.gen or 0) + 1, us), meta.ver + 1
for i = 1, #forgotten, SLICE do
  redis.call("HDEL", KEYS[1], unpack(forgotten, i, math.min(i + SLICE - 1, #forgotten)))
end
redis.call("HDEL", KEYS[1], "registered", "identity", "owner", "until")
if not meta.runs then forget_oldest_writers() end
redis.call("HSET", KEYS[1], "gen", decimal(generation), "ver", decimal(version), "at", at,
  "tombstone", id_hash, "records", decimal(records), "bytes", decimal(bytes),
  "deleted", current, "w:" .. writer, next_runs(meta, seq, version))
redis.call("PEXPIRE", KEYS[1], ttl_ms)
call_on_keys("EXISTS", 1)
return {
  "ok", decimal(generation), decimal(version), decimal(records), decimal(bytes), current,
}
