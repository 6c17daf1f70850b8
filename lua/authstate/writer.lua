-- SPDX-License-Identifier: MIT
--- The write side of one session in one store: numbers its writes, sends them through the
-- commit and delete scripts, and knows what became of the last one. All session objects
-- of an id in a store share one, so that their writes are numbered once.
--
-- A write carries the token (writer, seq). The server applies seq = recorded + 1 and
-- answers `again` for what it has applied before, so a request that is sent twice takes
-- effect once. A refused write uses up no seq. When the outcome of a write is unknown,
-- the next one first reads what the server recorded.

local clock = require "authstate.clock"
local entropy = require "authstate.entropy"
local failure = require "authstate.failure"
local index = require "authstate.index"
local meta = require "authstate.meta"
local server_scripts = require "authstate.server_scripts"
local turns = require "authstate.turns"

local Writer = { __name = "authstate.writer" }
Writer.__index = Writer

local writer = {}

-- In the place of a message: the write was refused, and may go through when sent anew.
local RETRY = {}

-- How many writers of a session the server remembers (server/prelude.lua).
local MAX_WRITERS = 8

-- A session has few types; of one that has more, these are read the quick way.
local MAX_HASHES = 64

-- While the server watches what a connection reads, it notes all KEYS of a script anew
-- for each of its commands that read: with more than these the connection is not watched
-- for a second.
local MOST_WATCHED_KEYS = 64

-- A write that meets other writers begins again at most this often.
local MAX_ROUNDS = 16

--- What no server has given out as a generation: the handle saw that nothing is stored.
writer.NOTHING = "0"

local function new_token()
  return (entropy.bytes(8):gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end
writer.new_token = new_token

--- @param store the store
-- @param session id
function writer.new(store, session)
  return setmetatable({
    store = store,
    session = session,
    meta_key = store.layout.meta_key(session),
    turns = turns.new(store.waiting),
    own_lane = nil,  -- in the engine of the store
    hashes = {},     -- by type: what the quick way of reading wants; see `hash`
    hash_count = 0,
    kept_generation = nil, -- that plain writes may go to
    kept_types = {},       -- those that `meta` has in it
    seq = nil,       -- the newest seq that is known to be recorded; nil: not read yet
    seen = nil,      -- the version of the session when the server did not know us
    unsettled = nil, -- the seq of a write whose outcome is unknown
    moment = 0,      -- how often a write was sent, or a new name taken
    applied = nil,   -- what became of the last write: "yes" "no" "maybe"
  }, Writer)
end

--- The writer's name in tokens: that of the store, until the server has forgotten it.
function Writer:token()
  return self.own_token or self.store:token()
end

--- Forgets what it wrote, in a process that did not write it.
function Writer:forget()
  self.own_token, self.seq, self.seen, self.unsettled = nil, nil, nil, nil
  self.applied, self.last_seq = nil, nil
  self.turns = turns.new(self.store.waiting)
  self.own_lane, self.hashes, self.hash_count = nil, {}, 0
  self.kept_generation, self.kept_types = nil, {}
end

--- Learns which types `meta` has: a plain write does not touch it.
function Writer:note_types(generation, types)
  if self.kept_generation ~= generation then
    self.kept_generation, self.kept_types = generation, {}
  end
  for _, kind in ipairs(types) do self.kept_types[kind] = true end
end

--- A read has found another generation. The server would not refuse a plain write: the
-- next one asks.
function Writer:note_fenced()
  self.kept_generation = nil
  local near = self.store.near
  if near then near:forget(self.session) end
end

--- Whether a batch can be written without asking the server who writes: the store is
-- told so, and nothing in `meta` changes but the version.
function Writer:goes_plain(pin, batch)
  if self.store.options.writes ~= "plain" or batch.has_creds then return false end
  if not pin or pin ~= self.kept_generation or not batch.groups[1] then return false end
  for _, group in ipairs(batch.groups) do
    if not self.kept_types[group.kind] then return false end
  end
  return true
end

--- What keeps the order of the session in the engine.
-- @return lane; nil when the store is closed
function Writer:lane()
  if not self.own_lane then self.own_lane = self.store.driver:lane(self.meta_key) end
  return self.own_lane
end

--- The hash of a type for the quick way of reading; nil when it does not go that way.
function Writer:hash(kind)
  local lane = self:lane()
  if not lane or self.hash_count >= MAX_HASHES then return nil end
  local key = self.store.layout.key(self.session, kind, "")
  local hash = self.store.driver:hash(lane, key)
  if not hash then return nil end
  self.hashes[kind], self.hash_count = hash, self.hash_count + 1
  return hash
end

--- The stream over which the next operation goes, a number; 0: none yet.
function Writer:stream()
  local lane = self.own_lane
  return lane and lane:stream() or 0
end

-- What became of the write whose outcome is unknown. A server that has forgotten us
-- cannot tell.
local function settle(self, found)
  if found.recorded then return found.recorded >= self.unsettled and "yes" or "no" end
  local is_forgotten = self.unsettled > 1 or found.version - self.seen > MAX_WRITERS
  return is_forgotten and "maybe" or "no"
end

-- Bytes of a lost connection may still come: no read tells what becomes of a write.
local function is_in_quarantine(self)
  return self.own_lane and self.own_lane:quarantine_ms(clock.now_ms()) > 0
end

--- What `learn` must know of the time at which a read is sent.
function Writer:mark()
  return not is_in_quarantine(self) and self.moment
end

--- Learns from what a read of `meta` found. One that was sent before a write tells
-- nothing of it, whenever its reply comes.
-- @param found see meta.parse
-- @param moment what `mark` gave when the read was sent
function Writer:learn(found, moment)
  if self.seq and not self.unsettled then return end
  if moment ~= self.moment or is_in_quarantine(self) then return end
  if self.unsettled then
    self.applied, self.last_seq = settle(self, found), self.unsettled
    self.unsettled = nil
  end
  self.seq = found.recorded or 0
  if not found.recorded then self.seen = found.version end
end

-- What a first write says of the version that we saw.
local function seen_argument(self)
  return self.seq == 0 and ("%.0f"):format(self.seen) or ""
end

--- Reads the state of the session and the time of the server.
-- @return what meta.parse says, with server_us; or E
function Writer:read_meta(call)
  local moment = self:mark()
  local replies, message, code, details = self.store:perform(call, {
    commands = { meta.command(self.meta_key, self:token()), { "TIME" } },
  })
  if not replies then return nil, message, code, details end
  local found = meta.parse(replies[1])
  found.server_us = tonumber(replies[2][1]) * 1e6 + tonumber(replies[2][2])
  self:learn(found, moment)
  if not self.seq or self.unsettled then
    return failure.new("unavailable", self.store.driver:refusal(self.own_lane),
      { session = call.session })
  end
  return found
end

-- What a write without a pin says when nothing is stored: it joins whoever opens a
-- generation first, unless its values are encrypted for the one that it proposes.
function Writer:first_pin()
  return self.store.keyring and "-" or ""
end

local function fenced(call, message)
  return failure.new("fenced", message, { session = call.session, sent = true })
end

-- Whether the handle may write to what is stored. Gives the pin to write under and
-- whether the write opens a generation; or E.
local function admit(self, call, pin, found, has_creds)
  if not found.generation then
    if pin and pin ~= writer.NOTHING then
      return fenced(call, "the session is gone; load it again")
    end
    return pin or self:first_pin(), true
  end
  if found.is_deleted then
    if pin ~= found.generation then
      return fenced(call, "the session was deleted; load it before writing new creds")
    elseif not has_creds then
      return fenced(call, "the session was deleted; only a commit with creds begins anew")
    end
    return pin, true
  end
  if pin and pin ~= found.generation then
    return fenced(call, "another generation of the session is stored; load it again")
  end
  return found.generation, false
end

-- Proposes a generation, and puts the session in the index under it, if there is one.
local function announce(self, call, found)
  local next_generation = tonumber(found.generation or 0) + 1
  local proposal = ("%.0f"):format(math.max(next_generation, found.server_us))
  if not self.store.layout.arrangement.has_index then return proposal end
  local replies, message, code, details = self.store:perform(call, {
    is_write = true,
    commands = { index.add_command(self.store.options.prefix, self.session, proposal) },
  })
  if not replies then
    details.applied = "no" -- the index may name too much; the session is as it was
    return nil, message, code, details
  end
  return proposal
end

-- Whether the state on the server must be read before a write can be sent.
local function must_read(self, pin, opens)
  return opens or not pin or not self.seq or self.unsettled
end

-- Notes what a failed call leaves behind. Only a request that left can have done
-- anything; one that was sent twice may have been applied the first time, whatever the
-- second says.
local function note_failure(self, seq, code, details)
  local is_unknown = code == "timeout" or details.applied == "maybe" or
    (details.attempts or 0) > 1
  if is_unknown and details.sent then
    self.unsettled = seq
    details.applied = "maybe"
  end
  self.last_seq, self.applied = seq, details.applied
end

-- The server does not know our token, or is behind. Sent once, the write was certainly
-- not applied: go on with what the server has, under a new name if it forgot ours.
local function resume_after_gap(self, call, seq, recorded, attempts)
  if attempts > 1 then
    self.unsettled = seq
    self.last_seq, self.applied = seq, "maybe"
    return failure.new("timeout",
      "the write was sent twice and the server no longer knows whether it applied it",
      { session = call.session, sent = true, applied = "maybe" })
  end
  if recorded == "" then
    self.own_token, self.seq, self.moment = new_token(), nil, self.moment + 1
  else
    self.seq = tonumber(recorded)
  end
  return true
end

local function succeed(self, seq, verdict)
  self.seq, self.last_seq, self.applied = seq, seq, "yes"
  return { generation = verdict[2], version = tonumber(verdict[3]), verdict = verdict }
end

-- A verdict that commit or delete understands.
local function pass_on(_, _, _, verdict)
  return { verdict = verdict }
end

-- What the verdicts of both scripts mean. A result, E, or nil and RETRY.
local VERDICTS = {
  ok = function(self, _, seq, verdict) return succeed(self, seq, verdict) end,
  again = function(self, _, seq, verdict) return succeed(self, seq, verdict) end,
  fenced = function(self, call)
    self:note_fenced()
    return fenced(call, "another generation of the session is stored; load it again")
  end,
  conflict = function(_, call, _, verdict)
    return failure.new("conflict", "the stored version is " .. verdict[2],
      { session = call.session, sent = true, version = tonumber(verdict[2]) })
  end,
  wrong_type = function(_, call, _, verdict)
    return failure.new("wrong_type", ("the key %s holds another type of Redis value")
      :format(failure.show(verdict[2])), { session = call.session, sent = true })
  end,
  gap = function(self, call, seq, verdict, facts)
    local goes_on, message, code, details =
      resume_after_gap(self, call, seq, verdict[2], facts.attempts)
    if not goes_on then return nil, message, code, details end
    return nil, RETRY
  end,
  reopen = function() return nil, RETRY end,
  exists = pass_on, absent = pass_on, gone = pass_on, types = pass_on,
}

-- What answers is no script of ours: nobody knows what it did.
local function misunderstand(self, call, seq)
  self.unsettled, self.last_seq, self.applied = seq, seq, "maybe"
  return failure.new("server", "the server answered what no script of authstate answers",
    { session = call.session, sent = true, applied = "maybe" })
end

-- The generation that a script has written in; nil when it has not, or nobody knows.
local function written_generation(replies)
  local verdict = replies and replies[1]
  return type(verdict) == "table" and verdict[1] == "ok" and verdict[2] or nil
end

-- Performs a write of which the near cache is told. As Store:perform.
local function perform_cached(self, near, call, request, batch)
  local ticket = near:begin_write(self.session, batch, call.lane)
  local is_whole, replies, message, code, details, facts =
    pcall(self.store.perform, self.store, call, request)
  near:end_write(ticket, is_whole and written_generation(replies) or nil)
  if not is_whole then error(replies, 0) end
  return replies, message, code, details, facts
end

local function perform(self, call, request, batch)
  local near = self.store.near
  if near then return perform_cached(self, near, call, request, batch) end
  return self.store:perform(call, request)
end

-- Sends one script call that writes a batch, or deletes the session. A result {
-- generation, version, verdict }, E, or nil and RETRY.
local function send(self, call, name, seq, keys, arguments, batch)
  self.moment = self.moment + 1
  if self.store.near and call.lane and #keys > MOST_WATCHED_KEYS then
    call.lane:pause_tracking(clock.now_ms())
  end
  local replies, message, code, details, facts = perform(self, call, {
    is_write = true,
    commands = { server_scripts.command(name, keys, arguments) },
  }, batch)
  if not replies then
    note_failure(self, seq, code, details)
    return nil, message, code, details
  end
  local verdict = replies[1]
  local handle = type(verdict) == "table" and VERDICTS[verdict[1]]
  if not handle then return misunderstand(self, call, seq) end
  return handle(self, call, seq, verdict, facts)
end

local function gave_up(call)
  return failure.new("conflict", "other writers came between too often; try again",
    { session = call.session, sent = true, retry = true })
end

-- What a commit is sent under: the generation that must be stored, and the one to open,
-- "" for none; or E.
local function prepare(self, call, pin, batch, opens)
  if not must_read(self, pin, opens) then return pin, "" end
  local found, message, code, details = self:read_meta(call)
  if not found then return nil, message, code, details end
  local write_pin
  write_pin, opens, code, details = admit(self, call, pin, found, batch.has_creds)
  if not write_pin then return nil, opens, code, details end
  if not opens then return write_pin, "" end
  local proposal
  proposal, message, code, details = announce(self, call, found)
  if not proposal then return nil, message, code, details end
  return write_pin, proposal
end

local function commit_once(self, call, pin, batch, options, opens)
  local write_pin, proposal, code, details = prepare(self, call, pin, batch, opens)
  if not write_pin then return nil, proposal, code, details end
  local seq = self.seq + 1
  local generation = proposal ~= "" and proposal or write_pin
  local keys, arguments
  keys, arguments, code, details = batch:arguments({
    self:token(), ("%.0f"):format(seq), write_pin, proposal,
    options.creates and "create" or "write", batch.has_creds and "1" or "",
    batch.registered, options.expect and ("%.0f"):format(options.expect) or "",
    seen_argument(self),
  }, generation)
  if not keys then return nil, arguments, code, details end
  table.insert(keys, 1, self.meta_key)
  -- A first write may have to be sent anew, behind what would be sent meanwhile.
  if seq > 1 and proposal == "" then self.turns:note_sent() end
  local result, message
  result, message, code, details =
    send(self, call, "commit", seq, keys, arguments, batch)
  if result and result.verdict[1] == "again" then
    -- The server tells of the newest generation, which the handle may never have seen.
    result.generation = generation
  end
  return result, message, code, details
end

local function commit(self, call, handle, batch, options)
  local pin, opens = handle.pin, handle.is_gone
  for _ = 1, MAX_ROUNDS do
    local result, message, code, details =
      commit_once(self, call, pin, batch, options, opens)
    if result and result.generation then
      handle.pin, handle.is_gone = result.generation, false
      self:note_types(result.generation, batch:types())
      return result
    end
    if result or (options.creates and code == "fenced") then return { exists = true } end
    if message ~= RETRY then return nil, message, code, details end
    opens = true -- the generation or our token is not what we knew: read it again
    self.turns:note_unsent()
  end
  return gave_up(call)
end

-- Does a write in its turn. A call that raises (its task was cancelled) leaves it too.
local function take_turn(self, call, write, ...)
  local is_entered, message, code, details = self.turns:enter_write(call)
  if not is_entered then return nil, message, code, details end
  local is_fine, result
  is_fine, result, message, code, details = pcall(write, self, call, ...)
  self.turns:leave_write(self.unsettled ~= nil and code ~= "closed")
  if not is_fine then error(result, 0) end
  return result, message, code, details
end

local function in_turn(self, call, ...)
  return self.turns:hold(call, take_turn, self, call, ...)
end

--- Writes a batch, and pins the handle to the generation that it is in.
-- @param call deadline and place, see Store:begin
-- @param handle what writes: { pin = generation it is pinned to, nil for none, is_gone =
--   whether that is an absence or a tombstone }, looked at when its turn has come
-- @param batch what to write
-- @param options { creates = boolean, expect = version or nil }
-- @return { generation, version }, or { exists = true } when `creates` was asked and
--   another process was first; or E
function Writer:commit(call, handle, batch, options)
  call.bytes = batch.bytes
  return in_turn(self, call, commit, handle, batch, options)
end

-- What a delete did, from the verdict that says so; nil for one that names more types.
local function receipt_of(verdict)
  if verdict[1] == "types" then return nil end
  return {
    generation = tonumber(verdict[2] or 0),
    records = tonumber(verdict[4] or 0),
    bytes = tonumber(verdict[5] or 0),
    deleted_generation = verdict[6],
  }
end

local function delete_once(self, call, pin, types, id_hash)
  if not self.seq or self.unsettled then
    local found, message, code, details = self:read_meta(call)
    if not found then return nil, message, code, details end
  end
  local layout, seq = self.store.layout, self.seq + 1
  local keys = { self.meta_key }
  for _, key in ipairs(layout.arrangement.keys(layout, self.session, types)) do
    keys[#keys + 1] = key
  end
  local arguments = {
    self:token(), ("%.0f"):format(seq), pin or "", id_hash,
    ("%.0f"):format(self.store.options.tombstone_ttl_ms), seen_argument(self),
  }
  for _, kind in ipairs(types) do arguments[#arguments + 1] = kind end
  return send(self, call, "delete", seq, keys, arguments)
end

local function delete(self, call, handle, types, id_hash)
  for _ = 1, MAX_ROUNDS do
    local result, message, code, details =
      delete_once(self, call, handle.pin, types, id_hash)
    local receipt = result and receipt_of(result.verdict)
    self.kept_generation = nil
    if receipt then return receipt end
    if result then
      for i = 2, #result.verdict do types[#types + 1] = result.verdict[i] end
    elseif message ~= RETRY then
      return nil, message, code, details
    end
    self.turns:note_unsent()
  end
  return gave_up(call)
end

--- Deletes the session.
-- @param handle as in `commit`
-- @param types list of the types to delete, as far as they are known; extended by those
--   that the server names
-- @param id_hash what the tombstone keeps of the id
-- @return { generation, records, bytes, deleted_generation }, the last absent and records
--   0 when there was nothing to delete; or E
function Writer:delete(call, handle, types, id_hash)
  return in_turn(self, call, delete, handle, types, id_hash)
end

return writer
