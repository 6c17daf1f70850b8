-- SPDX-License-Identifier: MIT
--- A batch is what one commit writes: stored values and deletions, grouped by the key of
-- the layout that they go to. Making one checks sizes and touches no server.

local core = require "authstate.core"
local encryption = require "authstate.encryption"
local failure = require "authstate.failure"
local new_table = require "table.new"

local Batch = { __name = "authstate.batch" }
Batch.__index = Batch

local batch = {}

-- A request has at most 1,048,576 arguments (redis, networking.c); a record takes two.
local MAX_RECORDS = 500000

-- What the commit script is told of creds.registered when the creds do not say.
local REGISTERED_UNKNOWN = "-"

--- @param context { layout, codec, session (its id), max_value_bytes, max_commit_bytes,
--   keyring = what encrypts the values, or nil, is_cached = whether the store has a cache
--   that is to be told what was written }
function batch.new(context)
  return setmetatable({
    context = context, groups = {}, by_key = {}, has_creds = false, registered = "",
    bytes = 0, records = 0,
  }, Batch)
end

-- The group that a record belongs to and its field in the key.
local function group_of(self, kind, id)
  local layout = self.context.layout
  local key, field = layout.key(self.context.session, kind, id)
  local group = self.by_key[key]
  if not group then
    local remembered = layout.arrangement.type_to_remember(kind)
    group = {
      key = key, kind = remembered, deletes = {}, sets = {}, records = {},
      secrets = {}, -- of values to encrypt: type and id, at their places in `sets`
      -- For a cache: the type of each record, at its place in `sets` and in `deletes`,
      -- and what was sent in the place of `sets`.
      kinds = self.context.is_cached and {},
      deleted_kinds = self.context.is_cached and {},
      sealed = nil,
    }
    self.by_key[key] = group
    -- Creds go first: the commit script looks for them in KEYS[2].
    table.insert(self.groups, kind == "creds" and 1 or #self.groups + 1, group)
  end
  return group, field
end

-- A record must be found again under its type, and two that the layout cannot tell apart
-- cannot both be written. True, or nil, a sentence and "invalid".
local function claim(self, group, kind, id, field)
  local layout = self.context.layout
  if layout.atomic == "slot" then return true end
  local _, found_kind = layout.parse(group.key, field)
  if found_kind ~= kind then
    return nil, ("%s cannot be kept in this layout: its field %s is %s"):format(
      failure.record(kind, id), failure.show(field), found_kind and "one of the type "
        .. failure.show(found_kind) or "none that it knows"), "invalid"
  end
  local other = group.records[field]
  if other then
    return nil, ("%s and %s are both the field %s of this layout"):format(other,
      failure.record(kind, id), failure.show(field)), "invalid"
  end
  group.records[field] = failure.record(kind, id)
  return true
end

local function too_large(self, kind, id, what, bytes, limit)
  return failure.new("too_large",
    ("%s has %d bytes, %s allows %d"):format(what, bytes, limit, self.context[limit]),
    { session = self.context.session, type = kind, id = id })
end

-- Counts a record against the bounds. True, or E.
local function admit(self, kind, id, bytes)
  self.bytes = self.bytes + bytes
  self.records = self.records + 1
  if self.bytes > self.context.max_commit_bytes then
    return too_large(self, nil, nil, "the commit", self.bytes, "max_commit_bytes")
  end
  if self.records > MAX_RECORDS then
    return failure.new("too_large", ("the commit has more than %d records")
      :format(MAX_RECORDS), { session = self.context.session, type = kind, id = id })
  end
  return true
end

-- Puts in a stored value, which is encrypted before it is sent, or not.
local function put_stored(self, kind, id, stored, is_secret)
  local bytes = #stored + (is_secret and encryption.OVERHEAD_BYTES or 0)
  if bytes > self.context.max_value_bytes then
    local what = "the value of " .. failure.record(kind, id)
    return too_large(self, kind, id, what, bytes, "max_value_bytes")
  end
  local group, field = group_of(self, kind, id)
  local is_claimed, message, code = claim(self, group, kind, id, field)
  if not is_claimed then return nil, message, code end
  local sets, at = group.sets, #group.sets
  sets[at + 1], sets[at + 2] = field, stored
  if is_secret then group.secrets[at + 1], group.secrets[at + 2] = kind, id end
  if self.context.is_cached then group.kinds[at + 1] = kind end
  return admit(self, kind, id, bytes + #field)
end

--- Puts in a value as it is to be stored. True, or E.
function Batch:set(kind, id, stored)
  return put_stored(self, kind, id, stored, false)
end

--- Puts in a deletion. True, or E.
function Batch:delete(kind, id)
  if kind == "creds" then self.registered = REGISTERED_UNKNOWN end
  local group, field = group_of(self, kind, id)
  local is_claimed, message, code = claim(self, group, kind, id, field)
  if not is_claimed then return nil, message, code end
  local at = #group.deletes + 1
  group.deletes[at] = field
  if self.context.is_cached then group.deleted_kinds[at] = kind end
  return admit(self, kind, id, #field)
end

--- Puts in the encoded credentials. True, or E.
-- @param registered true, false, or nil when unknown
function Batch:set_creds(stored, registered)
  self.has_creds = true
  self.registered = REGISTERED_UNKNOWN
  if registered ~= nil then self.registered = registered and "1" or "0" end
  return put_stored(self, "creds", "creds", stored, self.context.keyring ~= nil)
end

-- A value that cannot be encoded is a mistake of the caller (code "invalid", which the
-- API raises), but for its size.
local function refuse(self, kind, id, message, code)
  local place = kind == "creds" and "creds" or failure.record(kind, id)
  if code == "too_large" or code == "oom" then
    return failure.new(code, place .. ": " .. message,
      { session = self.context.session, type = kind, id = id })
  end
  return nil, place .. ": " .. message, "invalid"
end

local function put(self, kind, id, stored, message, code)
  if not stored then return refuse(self, kind, id, message, code) end
  return put_stored(self, kind, id, stored, self.context.keyring ~= nil)
end

--- Encodes a Lua value and puts it in; `authstate.null` deletes.
function Batch:set_value(kind, id, value)
  if value == core.null then return self:delete(kind, id) end
  return put(self, kind, id, self.context.codec.encode_value(kind, value))
end

--- Encodes a JSON text and puts it in, exactly as it is; `authstate.null` deletes.
function Batch:set_text(kind, id, text)
  if text == core.null then return self:delete(kind, id) end
  if type(text) ~= "string" then
    return refuse(self, kind, id, failure.show(text) .. " is no JSON text; accepted: a "
      .. "string, authstate.null", "unsupported")
  end
  return put(self, kind, id, self.context.codec.encode_text(kind, text))
end

-- creds.registered, when it is a boolean.
local function registered_of(creds)
  if type(creds.registered) == "boolean" then return creds.registered end
end

--- Encodes creds from a Lua table and puts them in.
function Batch:set_creds_value(creds)
  local stored, message, code = self.context.codec.encode_value("creds", creds)
  if not stored then return refuse(self, "creds", "creds", message, code) end
  return self:set_creds(stored, registered_of(creds))
end

--- Encodes creds from a JSON text and puts them in, exactly as they are.
function Batch:set_creds_text(text)
  local stored, message, code = self.context.codec.encode_text("creds", text)
  if not stored then return refuse(self, "creds", "creds", message, code) end
  local creds = core.from_json(text)
  if type(creds) ~= "table" then
    return refuse(self, "creds", "creds", "a JSON object is expected", "corrupt")
  end
  return self:set_creds(stored, registered_of(creds))
end

--- Puts in a whole session of JSON texts, each exactly as it is. True, or E.
-- @param texts { creds = text or nil, keys = { [type] = { [id] = text } } }
-- @param on_record function(done), called after each key record with how many there were
function Batch:set_session(texts, on_record)
  local done = 0
  if texts.creds then
    local is_put, message, code, details = self:set_creds_text(texts.creds)
    if not is_put then return nil, message, code, details end
  end
  for kind, records in pairs(texts.keys) do
    for id, text in pairs(records) do
      local is_put, message, code, details = self:set_text(kind, id, text)
      if not is_put then return nil, message, code, details end
      done = done + 1
      on_record(done)
    end
  end
  return true
end

-- The fields and values to set, as they are sent: encrypted for a generation. A list; or
-- E.
local function sealed_sets(self, group, generation)
  local keyring, secrets = self.context.keyring, group.secrets
  if not keyring then return group.sets end
  local sealed, place = new_table(#group.sets, 0), {
    session = self.context.session, generation = tonumber(generation),
  }
  for i = 1, #group.sets, 2 do
    local stored, kind, id = group.sets[i + 1], secrets[i], secrets[i + 1]
    if kind then
      local message, code
      stored, message, code =
        keyring:encrypt(stored, place.session, place.generation, kind, id)
      if not stored then return encryption.fail(place, kind, id, message, code) end
    end
    sealed[i], sealed[i + 1] = group.sets[i], stored
  end
  if self.context.is_cached then group.sealed = sealed end
  return sealed
end

--- What a plain write is told: { key, field, value, ... }, false for a deletion; or E.
-- @param generation decimal, that it goes to
function Batch:changes(generation)
  local changes, at = new_table(3 * self.records, 0), 0
  for _, group in ipairs(self.groups) do
    local deletes, key = group.deletes, group.key
    local sets, message, code, details = sealed_sets(self, group, generation)
    if not sets then return nil, message, code, details end
    for i = 1, #deletes do
      changes[at + 1], changes[at + 2], changes[at + 3] = key, deletes[i], false
      at = at + 3
    end
    for i = 1, #sets, 2 do
      changes[at + 1], changes[at + 2], changes[at + 3] = key, sets[i], sets[i + 1]
      at = at + 3
    end
  end
  return changes
end

--- The types that `meta` has once this was written.
function Batch:types()
  local types = {}
  for _, group in ipairs(self.groups) do
    if group.sets[1] then types[#types + 1] = group.kind end
  end
  return types
end

--- The beginnings of the commands of a plain write, for a failure to name the key.
function Batch:commands()
  local commands = {}
  for i, group in ipairs(self.groups) do commands[i] = { "HSET", group.key } end
  return commands
end

--- The keys to be written, and the arguments of the commit script that follow its head;
-- or E.
-- @param head arguments
-- @param generation decimal, that the values go to
function Batch:arguments(head, generation)
  local keys, arguments = {}, head
  for _, group in ipairs(self.groups) do
    local sets, message, code, details = sealed_sets(self, group, generation)
    if not sets then return nil, message, code, details end
    keys[#keys + 1] = group.key
    local at = #arguments
    arguments[at + 1] = group.kind
    arguments[at + 2] = tostring(#group.deletes)
    arguments[at + 3] = tostring(#sets / 2)
    for i = 1, #group.deletes do arguments[at + 3 + i] = group.deletes[i] end
    at = #arguments
    for i = 1, #sets do arguments[at + i] = sets[i] end
  end
  return keys, arguments
end

return batch
