-- SPDX-License-Identifier: MIT
--- The sessions index: 64 sorted sets `<prefix>{index:<0..63>}` of session ids, scored by
-- generation. An id is put in before the first write of a generation is sent and taken
-- out after its tombstone is there, so the index may name too much, never too little.

local bit = require "bit"

local BUCKETS = 64

local index = {}

-- FNV-1a, 32 bits (Fowler, Noll, Vo). The product is taken in 16-bit halves, because a
-- double holds only 53 bits exactly.
local function hash(text)
  local value = 0x811c9dc5
  for i = 1, #text do
    value = bit.bxor(value, text:byte(i))
    local low = bit.band(value, 0xffff) * 0x01000193
    local high = bit.band(bit.rshift(value, 16) * 0x0193, 0xffff)
    value = bit.tobit(low + bit.lshift(high, 16))
  end
  return value
end

local function bucket_of(session)
  return bit.band(hash(session), BUCKETS - 1)
end

local function bucket_key(prefix, bucket)
  return ("%s{index:%d}"):format(prefix, bucket)
end

--- The key that a session's id stands in.
function index.key(prefix, session)
  return bucket_key(prefix, bucket_of(session))
end

--- ZADD of one generation; an older one never replaces a newer.
function index.add_command(prefix, session, generation)
  return { "ZADD", index.key(prefix, session), "GT", generation, session }
end

-- A cursor is "bucket:generation:session": the last entry that was looked at.
local function parse_cursor(cursor)
  local bucket, generation, session = cursor:match("^(%d+):(%d+):(.*)$")
  if not bucket or tonumber(bucket) >= BUCKETS then return nil end
  return { bucket = tonumber(bucket), generation = generation, session = session }
end

--- Whether a string is a cursor that `page` gave out.
function index.is_cursor(cursor)
  return parse_cursor(cursor) ~= nil
end

-- Entries of one bucket behind the cursor. Ids of the same generation are in the order of
-- their bytes, so those up to the cursor's own are passed over.
local function read_bucket(read, prefix, bucket, position, limit)
  local skip = 0
  while true do
    local replies, message, code, details = read {
      { "ZRANGE", bucket_key(prefix, bucket), position and position.generation or "-inf",
        "+inf", "BYSCORE", "LIMIT", tostring(skip), tostring(limit), "WITHSCORES" },
    }
    if not replies then return nil, message, code, details end
    local entries, flat = {}, replies[1]
    for i = 1, #flat, 2 do
      local is_passed = position and flat[i + 1] == position.generation and
        flat[i] <= position.session
      if not is_passed then
        entries[#entries + 1] = { session = flat[i], generation = flat[i + 1] }
      end
    end
    if #entries > 0 or #flat < 2 * limit then return entries end
    skip = skip + limit
  end
end

--- Goes on through the index.
-- @param read function(commands) -> replies | E
-- @param cursor where the last page ended, nil for the beginning
-- @param limit how many entries at most
-- @return list of { session, generation }, and the cursor to go on with, nil at the end;
--   or E
function index.page(read, prefix, cursor, limit)
  local position = cursor and parse_cursor(cursor)
  local bucket = position and position.bucket or 0
  while bucket < BUCKETS do
    local entries, message, code, details =
      read_bucket(read, prefix, bucket, position, limit)
    if not entries then return nil, message, code, details end
    if #entries > 0 then
      local last = entries[#entries]
      return entries, ("%d:%s:%s"):format(bucket, last.generation, last.session)
    end
    bucket, position = bucket + 1, nil
  end
  return {}
end

return index
