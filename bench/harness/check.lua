-- SPDX-License-Identifier: MIT
--- Whether a peer did the work that was asked for. What is compared are digests of
-- records that know nothing of keys, layouts and stored forms (canonical.lua): a peer may
-- keep its records as it likes, but not leave one out.

local canonical = require "bench.harness.canonical"
local core = require "authstate.core"
local storages = require "bench.harness.storages"

local check = {}

local function refuse(peer, place, ...)
  return nil, ("%s did not do the same work: %s%s"):format(peer.name, place,
    (...):format(select(2, ...)))
end

local function place_of(number)
  return ("operation %d: "):format(number)
end

local function show(record)
  return ("%s %q"):format(record.kind, record.id)
end

-- The digest that a record of an operation must have.
local function expected_digest(fixture, record)
  local text = record.kind == "creds" and fixture.creds
    or fixture.keys[record.kind][record.source]
  return assert(canonical.digest(text, "json"))
end

--- The digest of records, in whatever order they came.
-- @param digests { [type .. "\t" .. id] = digest of the record }
local function digest_all(digests)
  local lines = {}
  for name, digest in pairs(digests) do lines[#lines + 1] = name .. "\t" .. digest end
  table.sort(lines)
  return core.sha256_hex(table.concat(lines, "\n"))
end

--- Whether the numbers are those of the operations.
-- @param answer of Peer:run
-- @return true; or nil and a sentence
function check.counts(peer, operations, answer)
  local records = 0
  for _, operation in ipairs(operations) do records = records + #operation.records end
  if answer.operations ~= #operations then
    return refuse(peer, "", "%d operations of %d", answer.operations, #operations)
  elseif answer.records ~= records then
    return refuse(peer, "", "%d records of %d", answer.records, records)
  end
  return true
end

-- The digest of a record that came, if it is what the record must have.
local function match(peer, fixture, place, record, digest)
  if not digest then
    return refuse(peer, place, "%s is missing", show(record))
  elseif digest ~= expected_digest(fixture, record) then
    return refuse(peer, place, "%s is another value", show(record))
  end
  return digest
end

-- Compares the records that came with those of one operation.
-- @param came { [type .. "\t" .. id] = digest }
local function compare(peer, fixture, place, operation, came)
  local count = 0
  for _, record in ipairs(operation.records) do
    local is_right, message = match(peer, fixture, place, record,
      came[record.kind .. "\t" .. record.id])
    if not is_right then return nil, message end
    count = count + 1
  end
  for _ in pairs(came) do count = count - 1 end
  if count ~= 0 then return refuse(peer, place, "%d records too many", -count) end
  return digest_all(came)
end

-- The digest of a record that came, false when it did not.
local function digest_of(peer, place, record, bytes, form)
  if not bytes then return false end
  local digest, message = canonical.digest(bytes, form)
  if digest then return digest end
  return refuse(peer, place, "%s cannot be read: %s", show(record), message)
end

-- Digests of what came, by type and id.
local function open_records(peer, place, records, form)
  local came = {}
  for _, record in ipairs(records) do
    local digest, message = digest_of(peer, place, record, record.bytes, form)
    if not digest then return nil, message end
    came[record.kind .. "\t" .. record.id] = digest
  end
  return came
end

--- Whether what a peer read and kept is what the fixture has.
-- @param operations list of the round
-- @param keep as given to Peer:run
-- @return list of the digests of what was kept; or nil and a sentence
function check.read(peer, fixture, operations, keep)
  local kept, message = peer:results()
  if not kept then return nil, message end
  local digests, form = {}, peer.entry.form or "json"
  for i, operation in ipairs(operations) do
    if keep == "all" or keep == i - 1 then
      local place = place_of(i)
      local came, digest
      came, message = open_records(peer, place, kept[i - 1] or {}, form)
      if not came then return nil, message end
      digest, message = compare(peer, fixture, place, operation, came)
      if not digest then return nil, message end
      digests[#digests + 1] = digest
    end
  end
  return digests
end

-- What Redis holds of all that operations wrote: { [type] = { [id] = bytes or false } }.
local function read_back(peer, operations, server)
  local ids, stored = {}, {}
  for _, operation in ipairs(operations) do
    for _, record in ipairs(operation.records) do
      local list = ids[record.kind] or {}
      ids[record.kind] = list
      list[#list + 1] = record.id
    end
  end
  local storage = storages[peer.entry.storage]
  for kind, list in pairs(ids) do
    local values, by_id = storage.read(server, peer.target, kind, list), {}
    for i, id in ipairs(list) do by_id[id] = values[i] end
    stored[kind] = by_id
  end
  return stored
end

--- Whether Redis holds what the operations of a round wrote.
-- @return list of one digest; or nil and a sentence
function check.written(peer, fixture, operations, server)
  local form = storages[peer.entry.storage].form
  local stored = read_back(peer, operations, server)
  local lines = {}
  for i, operation in ipairs(operations) do
    for _, record in ipairs(operation.records) do
      local digest, message =
        digest_of(peer, place_of(i), record, stored[record.kind][record.id], form)
      if message then return nil, message end
      digest, message = match(peer, fixture, place_of(i), record, digest)
      if message then return nil, message end
      lines[#lines + 1] = record.kind .. "\t" .. record.id .. "\t" .. digest
    end
  end
  return { core.sha256_hex(table.concat(lines, "\n")) }
end

return check
