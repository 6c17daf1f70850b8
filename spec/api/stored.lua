-- SPDX-License-Identifier: MIT

--- What is in Redis, seen without the code under test.
-- @module spec.api.stored

local stored = {}

--- The keys in the database, sorted; the sessions index only when asked for.
-- @param options { index = boolean }
function stored.keys(server, options)
  local keys = {}
  for _, key in ipairs(server:command("KEYS", "*")) do
    if options and options.index or not key:find("{index:%d+}$") then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys)
  return keys
end

--- The keys of one session, sorted. Its id may be any bytes.
function stored.session_keys(server, id, prefix)
  local base, keys = (prefix or "authstate:") .. "{" .. id .. "}:", {}
  for _, key in ipairs(stored.keys(server)) do
    local rest = key:sub(#base + 1)
    if key:sub(1, #base) == base and not rest:find("}", 1, true) then
      keys[#keys + 1] = key
    end
  end
  return keys
end

--- A hash as a table.
function stored.hash(server, key)
  local flat, hash = server:command("HGETALL", key), {}
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  return hash
end

--- The `meta` hash of a session.
function stored.meta(server, id)
  return stored.hash(server, "authstate:{" .. id .. "}:meta")
end

--- How many writes the session has seen; 0 when there is none.
function stored.version(server, id)
  return tonumber(server:command("HGET", "authstate:{" .. id .. "}:meta", "ver") or 0)
end

--- The generation in the sessions index and the key it stands in; nil without any.
function stored.index_entry(server, id)
  local commands = {}
  for bucket = 0, 63 do
    commands[bucket + 1] = { "ZSCORE", ("authstate:{index:%d}"):format(bucket), id }
  end
  local found, key
  for i, score in ipairs(server:pipeline(commands)) do
    if score then
      assert(not found, "the session is in the index twice")
      found, key = score, commands[i][2]
    end
  end
  return found, key
end

--- Every byte Redis keeps under these keys, and when they expire.
-- @treturn table `{ [key] = dump .. time }`
function stored.snapshot(server, keys)
  local commands = {}
  for _, key in ipairs(keys) do
    commands[#commands + 1] = { "DUMP", key }
    commands[#commands + 1] = { "PEXPIRETIME", key }
  end
  local replies, snapshot = server:pipeline(commands), {}
  for i, key in ipairs(keys) do
    snapshot[key] = ("%s expires %s"):format(replies[2 * i - 1] or "", replies[2 * i])
  end
  return snapshot
end

--- The same of everything that is there.
function stored.everything(server)
  return stored.snapshot(server, stored.keys(server, { index = true }))
end

return stored
