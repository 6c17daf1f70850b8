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

-- Compares the records that came with those of one operation.
-- @param came { [type .. "\t" .. id] = digest }
local function compare(peer, fixture, place, operation, came)
  local count = 0
  for _, record in ipairs(operation.records) do
    local digest = came[record.kind .. "\t" .. record.id]
    if not digest then
      return refuse(peer, place, "%s is missing", show(record))
    elseif digest ~= expected_digest(fixture, record) then
      return refuse(peer, place, "%s is another value", show(record))
    end
    count = count + 1
  end
  for _ in pairs(came) do count = count - 1 end
  if count ~= 0 then return refuse(peer, place, "%d records too many", -count) end
  return digest_all(came)
end

-- Digests of what came, by type and id.
local function open_records(peer, place, records, form)
  local came = {}
  for _, record in ipairs(records) do
    local digest, message = canonical.digest(record.bytes, form)
    if not digest then
      return refuse(peer, place, "%s cannot be read: %s", show(record), message)
    end
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
      local place = ("operation %d: "):format(i)
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

--- Whether Redis holds what the operations of a round wrote.
-- @return list of one digest; or nil and a sentence
function check.written(peer, fixture, operations, server)
  local storage = storages[peer.entry.storage]
  local digests = {}
  for i, operation in ipairs(operations) do
    local kind, ids = operation.records[1].kind, {}
    for j, record in ipairs(operation.records) do ids[j] = record.id end
    local stored, records = storage.read(server, peer.target, kind, ids), {}
    for j, bytes in ipairs(stored) do
      if bytes then table.insert(records, { kind = kind, id = ids[j], bytes = bytes }) end
    end
    local place = ("operation %d: "):format(i)
    local came, message = open_records(peer, place, records, storage.form)
    if not came then return nil, message end
    digests[i], message = compare(peer, fixture, place, operation, came)
    if not digests[i] then return nil, message end
  end
  return { core.sha256_hex(table.concat(digests)) }
end

return check
