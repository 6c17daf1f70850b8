-- SPDX-License-Identifier: MIT
--- What a benchmark asks of every peer: a list of operations, written to a file that each
-- of them reads, one operation a line, words between tabs:
--
--     get   TYPE  ID  ID ...                  read these records
--     set   TYPE  TARGET  SOURCE ...          write the record SOURCE under the id TARGET
--     load  TYPE  ID  TYPE  ID ...            read the whole session, which has these
--
-- In memory an operation is { verb, records = { { kind, id, source }, ... } }; `source`
-- is the id of the fixture's record whose content it is.

local session_file = require "authstate.session_file"

local work = {}

-- Ids of some types, each { kind, id }, in an order that depends on nothing.
local function list_records(fixture, kinds)
  local list = {}
  for _, kind in ipairs(kinds) do
    for _, id in ipairs(session_file.sorted_names(fixture.keys[kind])) do
      list[#list + 1] = { kind = kind, id = id }
    end
  end
  return list
end

-- All records of a type; raises a sentence when the fixture has none.
local function records_of(fixture, kind, count)
  local there = fixture.keys[kind]
  local records = there and list_records(fixture, { kind }) or {}
  if #records < count then
    error({ message = ("TYPE: the fixture has %d records of type %q; needed are %d")
      :format(#records, kind, count) })
  end
  return records
end

--- Operations that each read one record, any of the fixture (or of one type).
function work.single_reads(fixture, random, count, kind)
  local kinds = kind and { kind } or session_file.sorted_names(fixture.keys)
  local records = kind and records_of(fixture, kind, 1) or list_records(fixture, kinds)
  local operations = {}
  for i = 1, count do
    local record = random:pick(records)
    operations[i] = { verb = "get", records =
      { { kind = record.kind, id = record.id, source = record.id } } }
  end
  return operations
end

--- Operations that each read `size` different records of one type.
function work.reads(fixture, random, count, kind, size)
  local all = records_of(fixture, kind, size)
  local operations = {}
  for i = 1, count do
    random:shuffle(all)
    local records = {}
    for j = 1, size do
      records[j] = { kind = kind, id = all[j].id, source = all[j].id }
    end
    operations[i] = { verb = "get", records = records }
  end
  return operations
end

--- Twice `count` operations that each write `size` records of one type. No two of the
-- first `count` write the same id; the other half writes the same ids with other
-- contents, so that of two rounds that follow each other none leaves what it found.
function work.writes(fixture, random, count, kind, size)
  local all = records_of(fixture, kind, size)
  local operations = {}
  for half = 0, 1 do
    for i = 1, count do
      local records, shift = {}, half * (1 + random:integer(0, #all - 2))
      for j = 1, size do
        local at = (i - 1) * size + j - 1
        records[j] = {
          kind = kind, id = ("%s.%d"):format(all[at % #all + 1].id, i),
          source = all[(at + shift) % #all + 1].id,
        }
      end
      operations[half * count + i] = { verb = "set", records = records }
    end
  end
  return operations
end

-- The records of some types, without the types whose records are all alike, and for each
-- record those of its type: { { kind, id, siblings = ids }, ... }.
local function list_different(fixture, kinds)
  local list = {}
  for _, kind in ipairs(kinds) do
    local ids = session_file.sorted_names(fixture.keys[kind])
    local texts = fixture.keys[kind]
    local first, is_different = texts[ids[1]], false
    for _, id in ipairs(ids) do is_different = is_different or texts[id] ~= first end
    for _, id in ipairs(is_different and ids or {}) do
      list[#list + 1] = { kind = kind, id = id, siblings = ids }
    end
  end
  return list
end

-- A record of the same type with other contents.
local function pick_other(fixture, random, record)
  local texts = fixture.keys[record.kind]
  while true do
    local id = random:pick(record.siblings)
    if texts[id] ~= texts[record.id] then return id end
  end
end

--- Twice `count` operations that each write one record, any of the fixture (or of one
-- type). As with `writes` no two of the first `count` write the same id, and the other
-- half writes the same ids with other contents.
function work.single_writes(fixture, random, count, kind)
  if kind then records_of(fixture, kind, 2) end
  local all = list_different(fixture,
    kind and { kind } or session_file.sorted_names(fixture.keys))
  if #all == 0 then
    error({ message = ("TYPE: the records of %s are all alike; needed are different ones")
      :format(kind and ("type %q"):format(kind) or "each type") })
  end
  random:shuffle(all)
  local operations = {}
  for i = 1, count do
    local record = all[(i - 1) % #all + 1]
    local id = ("%s.%d"):format(record.id, i)
    for half = 0, 1 do
      local source = half == 0 and record.id or pick_other(fixture, random, record)
      operations[half * count + i] = { verb = "set", records =
        { { kind = record.kind, id = id, source = source } } }
    end
  end
  return operations
end

--- Operations that each read the whole session.
function work.loads(fixture, count)
  local records = { { kind = "creds", id = "creds", source = "creds" } }
  local kinds = session_file.sorted_names(fixture.keys)
  for _, record in ipairs(list_records(fixture, kinds)) do
    record.source = record.id
    records[#records + 1] = record
  end
  local operations = {}
  for i = 1, count do operations[i] = { verb = "load", records = records } end
  return operations
end

local function words_of(operation)
  local words, verb = { operation.verb }, operation.verb
  if verb ~= "load" then words[2] = operation.records[1].kind end
  for _, record in ipairs(operation.records) do
    if verb == "load" then words[#words + 1] = record.kind end
    words[#words + 1] = record.id
    if verb == "set" then words[#words + 1] = record.source end
  end
  return words
end

--- Writes operations to a file.
function work.write(path, operations)
  local file = assert(io.open(path, "wb"))
  for _, operation in ipairs(operations) do
    local words = words_of(operation)
    for _, word in ipairs(words) do
      assert(not word:find "%c", "an id with a control character")
    end
    assert(file:write(table.concat(words, "\t"), "\n"))
  end
  assert(file:close())
end

return work
