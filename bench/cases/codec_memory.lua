-- SPDX-License-Identifier: MIT
local authstate = require "authstate"
local goals = require "bench.harness.goals"
local redis_server = require "spec.support.redis_server"
local storages = require "bench.harness.storages"
local tables = require "bench.harness.tables"

local SESSION = "5511900000002"
local MOST_OF_HASH = 0.33

-- The latencies of each command ever used take 24 KB of the dataset, whatever is stored
-- (redis 7.0, latency-tracking); the rest is as the README advises and the private server
-- has it.
local CONFIG = { ["hash-max-listpack-entries"] = "128", ["latency-tracking"] = "no" }

local STORAGES = {
  { name = "authstate, typed", storage = "typed" },
  { name = "base64 JSON, one hash", storage = "hash" },
  { name = "base64 JSON, strings", storage = "strings" },
}

local function dataset_bytes(server)
  return tonumber(server:command("INFO", "memory"):match "used_memory_dataset:(%d+)")
end

-- What a server of its own holds of a session, without what an empty one does.
local function measure_storage(storage, session)
  local server = redis_server.start { config = CONFIG }
  local empty = dataset_bytes(server)
  storages[storage].put(server, SESSION, session.texts)
  local bytes = dataset_bytes(server) - empty
  local version = server:command("INFO", "server"):match "redis_version:(%S+)"
  server:stop()
  return bytes, version
end

-- The larger fixture, and the file that SESSION names.
local function chosen(list)
  local largest, named = list[1], nil
  for _, session in ipairs(list) do
    if session.is_named then
      named = session
    elseif largest.is_named or session.json_bytes > largest.json_bytes then
      largest = session
    end
  end
  if named == largest then named = nil end
  return { largest, named }
end

local function measure_session(result, session)
  local sizes = {}
  local one = {
    title = session.name .. ": used_memory_dataset, without an empty server's",
    columns = { "", "bytes", "of one hash", "of JSON" }, rows = {},
  }
  for _, each in ipairs(STORAGES) do
    sizes[each.storage], result.versions.redis = measure_storage(each.storage, session)
  end
  for i, each in ipairs(STORAGES) do
    local bytes = sizes[each.storage]
    one.rows[i] = { each.name, tables.cell(bytes),
      tables.cell(bytes / sizes.hash, "%.3f"),
      tables.cell(bytes / session.json_bytes, "%.3f") }
  end
  table.insert(result.tables, one)
  table.insert(result.goals, goals.at_most(session.name,
    "memory in typed, of base64 JSON in one hash", sizes.typed / sizes.hash,
    MOST_OF_HASH))
  table.insert(result.figures, { session = session.name, dataset_bytes = sizes })
end

return {
  name = "codec_memory",
  sentence = "what a redis-server holds of a session",
  measure = function(context)
    local result = { tables = {}, goals = {}, sentences = {}, versions = {},
      figures = authstate.array {} }
    for _, session in ipairs(chosen(context.sessions)) do
      measure_session(result, session)
    end
    return result
  end,
}
