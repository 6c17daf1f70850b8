-- SPDX-License-Identifier: MIT
local authstate = require "authstate"
local compressors = require "bench.harness.compressors"
local floor = require "bench.harness.floor"
local goals = require "bench.harness.goals"
local redis_server = require "spec.support.redis_server"
local stored = require "bench.harness.stored"
local tables = require "bench.harness.tables"

local TOTAL = "total"
local MOST_OF_FLOOR, MOST_OF_JSON, MOST_OF_FLOOR_COMPRESSED = 1.18, 0.30, 1.10

local KEY = ("ab"):rep(32)

-- Stores whose bytes are counted: name of a sum, what the table says, options of `open`,
-- and what they are handed.
local STORES = {
  { name = "stored", title = "default options", options = {}, form = "text" },
  { name = "stored_from_values", title = "default options, from values", options = {},
    form = "values" },
  { name = "high_compression", title = "profile high-compression", form = "text",
    options = { profile = "high-compression" } },
  { name = "stored_lz4", title = "compression lz4", form = "text",
    options = { compression = "lz4" } },
  { name = "stored_zstd", title = "compression zstd", form = "text",
    options = { compression = "zstd" } },
  { name = "stored_gzip", title = "compression gzip", form = "text",
    options = { compression = "gzip" } },
  { name = "encrypted", title = "encryption", form = "text",
    options = { encryption = { keys = { [1] = KEY }, primary = 1 } } },
}

-- Columns: title, name of a sum in bytes, what it is divided by, how it is written.
local COLUMNS = {
  { "records", "records" },
  { "JSON", "json" },
  { "floor", "floor" },
  { "stored", "stored" },
  { "of floor", "stored", "floor", "%.3f" },
  { "of JSON", "stored", "json", "%.3f" },
  { "high-compression", "high_compression" },
  { "of floor", "high_compression", "floor", "%.3f" },
  { "gzip of JSON", "gzip", "json", "%.3f" },
  { "LZ4 of JSON", "lz4", "json", "%.3f" },
  { "zstd of JSON", "zstd", "json", "%.3f" },
}

-- What does not need a server, of one type.
local function count_part(part)
  local counts = { name = part.name, records = #part.records, json = part.json_bytes,
    floor = 0 }
  for name in pairs(compressors) do counts[name] = 0 end
  for _, record in ipairs(part.records) do
    counts.floor = counts.floor + floor.of(record.text)
    for name, compress in pairs(compressors) do
      counts[name] = counts[name] + compress(record.text)
    end
  end
  return counts
end

-- Adds what each store keeps; a store that cannot be opened leaves a sentence.
local function count_stored(rows, session, server, sentences)
  for _, store in ipairs(STORES) do
    local is_stored, message =
      stored.write(server, session.texts, store.options, store.form)
    if is_stored then
      local bytes = stored.bytes(server, session)
      for _, counts in ipairs(rows) do counts[store.name] = bytes[counts.name] end
    else
      sentences[store.name] = message
    end
  end
end

local function add_total(rows)
  local total = {}
  for _, counts in ipairs(rows) do
    for name, count in pairs(counts) do
      if type(count) == "number" then total[name] = (total[name] or 0) + count end
    end
  end
  total.name = TOTAL
  rows[#rows + 1] = total
  return total
end

local function share(counts, name, of)
  return counts[name] and counts[of] and counts[name] / counts[of]
end

local function table_of(session, rows)
  local one = { title = session.name .. ": bytes, each record by itself",
    columns = { "" }, rows = {} }
  for i, column in ipairs(COLUMNS) do one.columns[i + 1] = column[1] end
  for _, counts in ipairs(rows) do
    local cells = { counts.name }
    for i, column in ipairs(COLUMNS) do
      local value = counts[column[2]]
      if column[3] then value = share(counts, column[2], column[3]) end
      cells[i + 1] = tables.cell(value, column[4])
    end
    one.rows[#one.rows + 1] = cells
  end
  return one
end

-- What each store keeps of the whole session.
local function table_of_stores(session, total)
  local one = { title = session.name .. ": bytes by options",
    columns = { "", "stored", "of floor", "of JSON" }, rows = {} }
  for i, store in ipairs(STORES) do
    one.rows[i] = { store.title, tables.cell(total[store.name]),
      tables.cell(share(total, store.name, "floor"), "%.3f"),
      tables.cell(share(total, store.name, "json"), "%.3f") }
  end
  return one
end

local function goals_of(name, total)
  return {
    goals.at_most(name, "stored of the floor", share(total, "stored", "floor"),
      MOST_OF_FLOOR),
    goals.at_most(name, "stored of JSON", share(total, "stored", "json"), MOST_OF_JSON),
    goals.at_most(name, "stored from values of the floor",
      share(total, "stored_from_values", "floor"), MOST_OF_FLOOR),
    goals.at_most(name, "high-compression of the floor",
      share(total, "high_compression", "floor"), MOST_OF_FLOOR_COMPRESSED),
  }
end

local function measure(context)
  local result = { tables = {}, goals = {}, sentences = {}, versions = {},
    figures = authstate.array {} }
  local server, missing = redis_server.start {}, {}
  for _, session in ipairs(context.sessions) do
    local rows = {}
    for i, part in ipairs(session.types) do rows[i] = count_part(part) end
    count_stored(rows, session, server, missing)
    local total = add_total(rows)
    table.insert(result.tables, table_of(session, rows))
    table.insert(result.tables, table_of_stores(session, total))
    for _, goal in ipairs(goals_of(session.name, total)) do
      table.insert(result.goals, goal)
    end
    table.insert(result.figures,
      { session = session.name, types = authstate.array(rows) })
  end
  server:stop()
  for _, store in ipairs(STORES) do
    if missing[store.name] then
      table.insert(result.sentences, ("%s: not measured: %s"):format(store.title,
        missing[store.name]))
    end
  end
  return result
end

return {
  name = "codec_size",
  sentence = "what is stored, beside what cannot be less and what compressors make of it",
  measure = measure,
}
