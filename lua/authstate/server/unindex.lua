-- SPDX-License-Identifier: MIT
-- Takes a deleted session out of the sessions index, unless a later generation of it was
-- put in since. Follows prelude.lua.
--
-- KEYS: the index. ARGV: session id, the deleted generation.
local score = ask("ZSCORE", KEYS[1], ARGV[1])
if score and tonumber(score) <= tonumber(ARGV[2]) then
  return ask("ZREM", KEYS[1], ARGV[1])
end
return 0
