-- SPDX-License-Identifier: MIT
-- Puts other bytes in the place of stored values that mean the same, each only where what
-- was read is still stored. It is no write of the session: neither its version nor a
-- writer's token changes. Follows prelude.lua.
--
-- KEYS: meta, the hash.
-- ARGV: the generation that was read, then field, old and new value ...
-- Verdicts: ok and, for each field, 1 when it was replaced, 0 when another value is
--           there, -1 when none is | fenced gen | wrong_type key

local meta = read_meta ""
if not meta then return { "wrong_type", KEYS[1] } end
if not meta.gen or meta.tombstone or decimal(meta.gen) ~= ARGV[1] then
  return { "fenced", meta.gen and decimal(meta.gen) or "" }
end
local wrong = wrong_type_key(2)
if wrong then return { "wrong_type", wrong } end

local verdict, fields = { "ok" }, {}
for i = 2, #ARGV, 3 do
  local found = ask("HGET", KEYS[2], ARGV[i])
  local is_same = found == ARGV[i + 1]
  verdict[#verdict + 1] = is_same and 1 or found and 0 or -1
  if is_same then
    fields[#fields + 1] = ARGV[i]
    fields[#fields + 1] = ARGV[i + 2]
  end
end
if #fields == 0 then return verdict end
local refused = refusal("HSET", "", "") or refusal("EXISTS")
if refused then return refused end
for i = 1, #fields, SLICE do
  redis.call("HSET", KEYS[2], unpack(fields, i, math.min(i + SLICE - 1, #fields)))
end
call_on_keys("EXISTS", 2)
return verdict
