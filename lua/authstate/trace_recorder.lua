-- SPDX-License-Identifier: MIT
--- Writes which records a program reads and writes, one JSON line a call, as
-- `authstate replay` reads them:
--
--     ["get","session",["<id>"]]
--     ["set",{"session":["<id>"],"pre-key":["-<id>"]}]     "-": deleted
--     ["creds"]                                            written
--
-- Ids are persons: what is written of them are keyed hashes, whose key is a random number
-- that nobody keeps. What has the same name in two types of a session has the same hash,
-- as the records of one address; in two sessions it has not. Kept as they are: signs
-- between parts, numbers of devices, and words that all sessions share.

local core = require "authstate.core"
local entropy = require "authstate.entropy"
local failure = require "authstate.failure"
local observer = require "authstate.observer"

local Recorder = { __name = "authstate.trace_recorder" }
Recorder.__index = Recorder

local trace_recorder = {}

local KEY_BYTES = 32

-- Parts of ids that say nothing of anybody.
local SHARED = {}
for _, word in ipairs {
  "s", "whatsapp", "net", "g", "us", "c", "lid", "hosted", "broadcast", "status",
  "newsletter", "reverse",
} do SHARED[word] = true end

-- How many hashes are kept at hand, before they are made anew.
local MAX_KNOWN = 100000

-- How many lines may be lost when the program dies.
local FLUSHED = 64

--- Makes the file.
-- @param path of it; one that is there is emptied
-- @param tell function(level, message, fields)
-- @return the recorder; or E
function trace_recorder.create(path, tell)
  local file, reason = io.open(path, "wb")
  if not file then return failure.new("disk", reason) end
  return setmetatable({
    file = file, path = path, tell = tell, key = entropy.bytes(KEY_BYTES), known = {},
    known_count = 0, lines = 0,
  }, Recorder)
end

-- A hash of one part of an id: digits for digits, to look like what it stands for.
local function hash_part(self, session, part)
  local name = ("%d:%s%s"):format(#session, session, part)
  local known = self.known[name]
  if known then return known end
  -- Nested, so that nothing can be appended to what was hashed.
  local digest = core.sha256_hex(self.key .. core.sha256_hex(self.key .. name))
  local hash = digest:sub(1, 16)
  if part:find "^%d+$" then
    hash = ("1%014d"):format(tonumber(digest:sub(1, 11), 16) % 1e14)
  end
  if self.known_count == MAX_KNOWN then self.known, self.known_count = {}, 0 end
  self.known[name], self.known_count = hash, self.known_count + 1
  return hash
end

-- A number of a device stands behind one of these signs, and is short.
local function is_device(before, part)
  return part:find "^%d%d?$" and before:find "[.:_]$"
end

local function hash_id(self, session, id)
  local hashed, at = {}, 1
  for first, part, behind in id:gmatch "()([%w\128-\255]+)()" do
    local between = id:sub(at, first - 1)
    local is_kept = SHARED[part] or is_device(id:sub(1, first - 1), part)
    hashed[#hashed + 1] = between
    hashed[#hashed + 1] = is_kept and part or hash_part(self, session, part)
    at = behind
  end
  hashed[#hashed + 1] = id:sub(at)
  return table.concat(hashed)
end

-- Writes a line; the first that cannot be written is told of, and ends it.
local function write(self, value)
  local text, message = core.to_json(value)
  local is_written = text ~= nil
  if text then is_written, message = self.file:write(text, "\n") end
  self.lines = self.lines + 1
  if is_written and self.lines % FLUSHED == 0 then
    is_written, message = self.file:flush() -- a full disk is not told of before
  end
  if is_written then return end
  self:close()
  self.tell("error", ("%s: %s; the trace ends"):format(self.path, message), {})
end

--- Writes that records are read.
-- @param session id of the session
-- @param kind their type
-- @param ids list; what is no list of strings is the caller's mistake, who is told
function Recorder:get(session, kind, ids)
  if not self.file or type(kind) ~= "string" or type(ids) ~= "table" then return end
  local hashed = core.array {}
  for i, id in ipairs(ids) do
    if type(id) ~= "string" then return end
    hashed[i] = hash_id(self, session, id)
  end
  write(self, core.array { "get", kind, hashed })
end

--- Writes that records are written.
-- @param session id of the session
-- @param creds what is written as such, or nil
-- @param changes { [type] = { [id] = value } }, `null` for one that is deleted
function Recorder:set(session, creds, changes)
  if not self.file then return end
  if creds ~= nil then write(self, core.array { "creds" }) end
  if next(changes) == nil or not self.file then return end
  local by_type = {}
  for kind, records in pairs(changes) do
    local hashed = core.array {}
    for id, value in pairs(records) do
      local sign = value == core.null and "-" or ""
      hashed[#hashed + 1] = sign .. hash_id(self, session, id)
    end
    table.sort(hashed)
    by_type[kind] = hashed
  end
  write(self, core.array { "set", by_type })
end

--- Ends the file, and forgets the key.
-- @return true; or nil and a sentence
function Recorder:close()
  local file = self.file
  self.file, self.key, self.known = nil, nil, {}
  if not file then return true end
  return file:close()
end

--- Gives a store another recorder.
-- @param store that is open
-- @param recorder nil: none
-- @return true; or E when the file before could not be written to its end
function trace_recorder.replace(store, recorder)
  local before = store.recorder
  store.recorder = recorder
  observer.set(store)
  local is_closed, reason = true, nil
  if before then is_closed, reason = before:close() end
  if is_closed then return true end
  return failure.new("disk", ("%s: %s"):format(before.path, reason))
end

return trace_recorder
