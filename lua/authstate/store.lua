-- SPDX-License-Identifier: MIT
--- A store: the sessions of one Redis, reached through one driver.
-- @module authstate.store

local clock = require "authstate.clock"
local codec = require "authstate.codec"
local coherence = require "authstate.coherence"
local embedded = require "authstate.embedded"
local encryption = require "authstate.encryption"
local failure = require "authstate.failure"
local index = require "authstate.index"
local layout = require "authstate.layout"
local live_options = require "authstate.live_options"
local log = require "authstate.log"
local meta = require "authstate.meta"
local native = require "authstate.drivers.native"
local observer = require "authstate.observer"
local openresty = require "authstate.drivers.openresty"
local option_rows = require "authstate.options"
local profile = require "authstate.profile"
local scan = require "authstate.scan"
local process = require "authstate.process"
local scheduler = require "authstate.scheduler"
local server_scripts = require "authstate.server_scripts"
local session = require "authstate.session"
local statistics = require "authstate.statistics"
local suggest = require "authstate.suggest"
local tls = require "authstate.tls"
local trace_recorder = require "authstate.trace_recorder"
local turns = require "authstate.turns"
local url = require "authstate.url"
local writer = require "authstate.writer"

local Store = { __name = "authstate.store" }
Store.__index = Store

local store = {}

--- Milliseconds of the clock that deadlines are in.
-- @local
Store.now_ms = native.now_ms

local MAX_SESSION_ID_BYTES = 512
local MAX_PAGE = 100000
local MAX_VERSION = 2 ^ 53
local LEVEL = 2

-- What a call may be given. Those of features to come are accepted with the value that
-- says what happens anyway.
local CALL_OPTIONS = {
  "timeout_ms", "expect", "cache", "shared", "consistent", "replace",
}
local CALL_VALUES = { replace = true }
local CALL_SWITCHES = { cache = true, shared = true, consistent = true }

-- ---- opening ----------------------------------------------------------------------

local function check_open(given, level)
  if type(given) ~= "table" then
    error(("options: %s are no options; accepted: a table"):format(failure.show(given)),
      level + 1)
  end
  local checked, applied = profile.apply(given)
  if not checked then error(option_rows.message(applied), level + 1) end
  local made, message = layout.load(checked.layout, checked)
  if not made then
    error(applied:place("layout", checked.layout) .. message, level + 1)
  end
  return checked, made, applied
end

-- See tls.new; a file that is not what it should be is the caller's mistake.
local function make_tls(server, applied, level)
  if not server then return nil end
  local made, option, value, sentence = tls.new(server)
  if made == false then error(applied:place(option, value) .. sentence, level + 1) end
  return made
end

-- See encryption.new; what cannot be a key is the caller's mistake.
local function make_keyring(options, made_layout, applied, level)
  local said = options.encryption
  if not said then return nil end
  if not made_layout.envelope then
    error(applied:place("encryption", said) .. ('option "encryption": the layout "%s" '
      .. "keeps JSON texts that others read; accepted: a layout with envelopes, such as "
      .. '"typed", or no encryption'):format(options.layout), level + 1)
  end
  local made, option, value, sentence = encryption.new(said)
  if made == false then error(applied:place(option, value) .. sentence, level + 1) end
  said.keys = nil -- the keyring has copies, which are wiped when the store is closed
  return made
end

local function make_codec(options, made_layout, keyring, applied, level)
  local made, message = codec.new(made_layout, options, keyring)
  if made then return made end
  error(applied:place("serializer", options.serializer) .. message, level + 1)
end

-- What the driver does for a near cache; nil where there can be none: SWAPDB changes all
-- keys of a database, and nobody is told. One warning says so to who has asked for it.
-- Who writes plainly, for the last microsecond, has it only when asked for: a write costs
-- more with it.
local function tracking_of(options, server, is_asked_for, tell)
  if not options.enable_cache then return nil end
  if options.writes == "plain" and not is_asked_for then return nil end
  if server.database ~= 0 then
    tell(is_asked_for and "warn" or "info", ("the cache is off: database "
      .. "%d may be swapped for another one (SWAPDB) without anybody being told; use "
      .. "database 0"):format(server.database))
    return nil
  end
  return { check_ms = coherence.CHECK_MS, probe_prefix = options.prefix .. "probe:" }
end

-- Raises why there can be no near cache, the caller's mistake.
local function raise_cache_fault(message, options, applied, level)
  local name = message:match '^option "(%w+)"'
  error(applied:place(name, options[name]) .. message, level + 1)
end

-- Gives a store its part of the near cache.
local function add_cache(self, applied, level)
  local near, message = coherence.new(self)
  if not near then raise_cache_fault(message, self.options, applied, level + 1) end
  self.near, self.cache, self.driver.near = near, near.cache, near
end

local function new_driver(options, server, keeper, made_tls, tracking)
  local driver = openresty.is_here() and openresty or native
  return driver.new {
    server = server,
    tls = made_tls,
    keeper = keeper,
    scripts = server_scripts.sources(),
    pool_size = options.pool_size,
    batch_size = options.enable_batching and options.batch_size or 1,
    batch_window_ms = options.batch_window_ms,
    max_operations = options.queue_max_operations,
    max_queued_bytes = options.queue_max_bytes,
    max_value_bytes = options.max_value_bytes,
    check_ms = tracking and tracking.check_ms,
    probe_prefix = tracking and tracking.probe_prefix,
  }
end

local function new_waiting(options)
  return turns.waiting(options.queue_max_operations, options.queue_max_bytes)
end

-- The private server of a store that was given none, and the guard of its directory.
local function start_private(options, tell)
  local guard, message, code, details = embedded.start(options, tell)
  if not guard then
    tell("error", message, { code = code })
    return nil, message, code, details
  end
  tell("info", "uses the private redis-server in " .. guard.directory,
    { directory = guard.directory })
  return {
    path = guard.socket_path, database = 0, socket = options.socket,
  }, guard
end

-- What is as the program says, but perhaps not as it means it.
local function warn(options, server, made_layout, tell)
  if server.tls and server.tls.insecure then
    tell("warn", "redis.tls.insecure: the certificate of " .. url.show(server)
      .. " is not checked; anybody in between can read and change everything")
  end
  local is_special = options.compression or options.serializer ~= "cbor"
  if is_special and not made_layout.envelope then
    tell("warn", ('the layout "%s" keeps plain JSON texts that others read: the options '
      .. "compression and serializer have no effect"):format(options.layout))
  end
end

--- Opens a store. With `redis` this does no I/O; without, it starts the private server of
-- `data_dir` or joins the one that runs there.
-- @param given table of options, see doc/interfaces.md; a mistake is raised at level 2
-- @return the store; or E
function store.open(given)
  local options, made_layout, applied = check_open(given or {}, LEVEL)
  if not options.redis and openresty.is_here() then
    return failure.new("unsupported", "inside nginx no private server can be started; "
      .. 'start a server and pass its URL: authstate.open { redis = "redis://..." }')
  end
  local server, guard, tell = options.redis, nil, log.new(options)
  local made_tls = make_tls(server, applied, LEVEL)
  local keyring = make_keyring(options, made_layout, applied, LEVEL)
  local made_codec = make_codec(options, made_layout, keyring, applied, LEVEL)
  if not server then
    local code, details
    server, guard, code, details = start_private(options, tell)
    if not server then return nil, guard, code, details end
  end
  warn(options, server, made_layout, tell)
  local is_asked_for = (given or {}).enable_cache or applied.options.enable_cache
  local tracking = tracking_of(options, server, is_asked_for, tell)
  local self = setmetatable({
    given = live_options.keep(given or {}),
    options = options,
    profile = applied,
    layout = made_layout,
    keyring = keyring, -- nil: values are not encrypted
    made_codec = made_codec,
    server = server,
    node = url.show(server),
    driver = new_driver(options, server, guard, made_tls, tracking),
    near = false, cache = false, -- false: nothing is kept of what was read
    guard = guard,
    process = guard and process.number(), -- who uses it; nil: nobody yet
    log = tell,
    opened_ms = clock.now_ms(),
    waiting = new_waiting(options),
    writers = setmetatable({}, { __mode = "v" }),
    recorder = nil,             -- of a trace, see record_trace
    opened_ms_of_values = 0,    -- what `opener` took, of the operation that ends next
    -- By observer.set:
    codec = nil, opener = nil,  -- nil: the core opens values as replies come
    observer = nil,             -- nil: nobody wants to know of calls
    counts = false,             -- the counters that calls themselves fill, or false
    is_watched = false,         -- by somebody who wants to know of each call
    level = nil,                -- of the line of a public method's caller
  }, Store)
  self.driver.owner = setmetatable({ self }, { __mode = "v" })
  observer.set(self)
  if tracking then add_cache(self, applied, LEVEL) end
  return self
end

-- A child that was forked after this store was used begins anew: with a connection, a
-- name and a place among the users of its own.
local function begin_after_fork(self)
  self.own_token, self.waiting = nil, new_waiting(self.options)
  scheduler.note_process()
  self.driver:begin()
  if self.near then self.near:begin() end
  for _, each in pairs(self.writers) do each:forget() end
  if self.guard then self.guard:join_after_fork() end
end

--- To be called before anything is done with the store.
-- @local
function Store:note_process()
  local number = process.number()
  if self.process == number then return end
  if self.process and not self.is_closed then begin_after_fork(self) end
  self.process = number
end

--- The name of this store's writes in tokens; made at the first use, so that processes
-- that share a store from before a fork do not share it.
-- @local
function Store:token()
  if not self.own_token then self.own_token = writer.new_token() end
  return self.own_token
end

-- ---- calls ------------------------------------------------------------------------

local function check_call_option(name, value, level)
  if name == "timeout_ms" then
    if type(value) ~= "number" or not (value > 0 and value <= 3600000) then
      error(("timeout_ms: %s is no time; accepted: a number above 0, at most 3600000 ms")
        :format(failure.show(value)), level + 1)
    end
  elseif name == "expect" then
    if type(value) ~= "number" or not (value >= 0 and value <= MAX_VERSION) or
       value % 1 ~= 0 then
      error(("expect: %s is no version; accepted: a whole number from 0 on")
        :format(failure.show(value)), level + 1)
    end
  elseif CALL_SWITCHES[name] then
    if type(value) ~= "boolean" then
      error(("%s: %s; accepted: true or false"):format(name, failure.show(value)),
        level + 1)
    end
  elseif CALL_VALUES[name] == nil then
    error(("unknown option %q%s; accepted: %s"):format(tostring(name),
      suggest.phrase(tostring(name), CALL_OPTIONS), table.concat(CALL_OPTIONS, ", ")),
      level + 1)
  elseif value ~= CALL_VALUES[name] then
    error(("%s: only %s is there yet in this version"):format(name,
      tostring(CALL_VALUES[name])), level + 1)
  end
end

--- Begins a call: its deadline runs from here, waiting included.
-- @param session_id for the details of an error, may be nil
-- @param options what the caller gave: { timeout_ms }
-- @param level of the caller of the public method, as seen by who calls this
-- @return { session, started_ms, deadline_ms, operation = who observes it, or nil }
-- @local
function Store:begin(session_id, options, level)
  if options ~= nil and type(options) ~= "table" then
    error(("options: %s are no options; accepted: a table"):format(failure.show(options)),
      level + 1)
  end
  for name, value in pairs(options or {}) do check_call_option(name, value, level + 1) end
  local complaint = self.driver:complaint()
  if complaint then error(complaint, level + 1) end
  self:note_process()
  local started_ms = self.now_ms()
  local default_ms = self.server.socket.command_timeout_ms
  local timeout_ms = options and options.timeout_ms or default_ms
  local call = {
    session = session_id, started_ms = started_ms, deadline_ms = started_ms + timeout_ms,
  }
  if self.next_operation then
    call.operation, self.next_operation = self.next_operation, nil
  end
  return call
end

-- The details of a call that the driver could not do.
local function describe(self, call, facts)
  return {
    sent = facts.attempts > 0,
    attempts = facts.attempts,
    applied = facts.is_unknown and "maybe" or "no", -- the writer may know better
    retry = facts.retry or nil, -- else the code decides
    elapsed_ms = self.now_ms() - call.started_ms,
    node = self.node,
    session = call.session,
    reply = facts.reply,
    element = facts.element,
  }
end

-- Redis does not say which key holds another type than the command wants: asks for it. A
-- sentence, or nil.
local function name_wrong_key(self, call, commands)
  local questions = {}
  for i, command in ipairs(commands) do questions[i] = { "TYPE", command[2] or "" } end
  local kinds =
    self.driver:perform { commands = questions, deadline_ms = call.deadline_ms }
  for i, kind in ipairs(kinds or {}) do
    local wanted = commands[i][1]:sub(1, 1) == "Z" and "zset" or "hash"
    if kind ~= wanted and kind ~= "none" then
      return ("the key %s holds another type of Redis value")
        :format(failure.show(commands[i][2]))
    end
  end
end

--- E for an operation that the driver could not do.
-- @param call from `begin`
-- @param message of the driver
-- @param code of the driver
-- @param facts of the driver
-- @param commands what it sent, or the beginning of them, as far as the keys
-- @local
function Store:fail(call, message, code, facts, commands)
  if code == "unavailable" or code == "auth" or code == "timeout" then
    message = ("%s: %s"):format(self.node, message)
  elseif code == "wrong_type" then
    message = name_wrong_key(self, call, commands) or message
  end
  self.log("warn", message, { code = code, node = self.node, session = call.session })
  return failure.new(code, message, describe(self, call, facts))
end

--- Sends one operation and waits for it.
-- @param call from `begin`; what has a `lane` goes in the order of that session
-- @param request { commands, shapes, atomic, is_write }, see drivers/native.lua
-- @return list of replies, nil, nil, nil, facts; or E
-- @local
function Store:perform(call, request)
  request.deadline_ms, request.lane = call.deadline_ms, call.lane
  request.operation = call.operation
  local replies, message, code, facts = self.driver:perform(request)
  if replies then return replies, nil, nil, nil, facts end
  return self:fail(call, message, code, facts, request.commands)
end

--- Asks the server now.
-- @param options { timeout_ms }
-- @return true; or E
function Store:ping(options)
  local call = self:begin(nil, options, self.level)
  local replies, message, code, details =
    self:perform(call, { commands = { { "PING" } } })
  if not replies then return nil, message, code, details end
  return true
end

-- ---- sessions ---------------------------------------------------------------------

local function check_session_id(id, level)
  if type(id) ~= "string" or #id == 0 or #id > MAX_SESSION_ID_BYTES or
     id:sub(1, 1) == "}" then
    error(("session id: %s; accepted: a string of 1 to %d bytes that does not begin with "
      .. "}"):format(failure.show(id), MAX_SESSION_ID_BYTES), level + 1)
  end
end

-- All handles of one id number their writes together, for as long as one of them lives. A
-- later one reads from the server where the numbers went.
local function shared_writer(self, id)
  local shared = self.writers[id]
  if not shared then
    shared = writer.new(self, id)
    self.writers[id] = shared
  end
  return shared
end

--- A handle on a session. No I/O.
-- @param id 1 to 512 bytes, any byte, not beginning with "}"
-- @return a session
-- @see authstate.session
function Store:session(id)
  check_session_id(id, LEVEL)
  return session.new(self, id, shared_writer(self, id))
end

--- Takes a deleted session out of the index, if there is one. For Session:delete.
-- @local
function Store:unindex(call, id, generation)
  if not self.layout.arrangement.has_index then return true end
  return self:perform(call, {
    is_write = true,
    commands = {
      server_scripts.command("unindex", { index.key(self.options.prefix, id) },
        { id, generation }),
    },
  })
end

-- Which entries of the index are live sessions: the index may name too much.
local function live_sessions(self, call, entries)
  local commands = {}
  for i, entry in ipairs(entries) do
    commands[i] = { "HMGET", self.layout.meta_key(entry.session), "gen", "tombstone" }
  end
  local replies, message, code, details = self:perform(call, { commands = commands })
  if not replies then return nil, message, code, details end
  local ids = {}
  for i, reply in ipairs(replies) do
    if reply[1] and not reply[2] then ids[#ids + 1] = entries[i].session end
  end
  return ids
end

-- One page of the index, or of a SCAN: ids, and the cursor to go on with.
local function list_page(self, call, cursor, limit)
  local function read(commands)
    return self:perform(call, { commands = commands })
  end
  if not self.layout.arrangement.has_index then
    local entries, next_cursor, code, details =
      scan.page(read, self.layout, cursor, limit)
    if not entries then return nil, next_cursor, code, details end
    local ids = {}
    for i, entry in ipairs(entries) do ids[i] = entry.session end
    return ids, next_cursor
  end
  local entries, next_cursor, code, details =
    index.page(read, self.options.prefix, cursor, limit)
  if not entries then return nil, next_cursor, code, details end
  if #entries == 0 then return {}, next_cursor end
  local ids, message
  ids, message, code, details = live_sessions(self, call, entries)
  if not ids then return nil, message, code, details end
  return ids, next_cursor
end

local LIST_OPTIONS = { "after", "limit", "unowned", "timeout_ms" }

local function check_list_options(self, options, level)
  for name in pairs(options) do
    local is_known = false
    for _, known in ipairs(LIST_OPTIONS) do is_known = is_known or known == name end
    if not is_known then
      error(("unknown option %q%s; accepted: %s"):format(tostring(name),
        suggest.phrase(tostring(name), LIST_OPTIONS), table.concat(LIST_OPTIONS, ", ")),
        level + 1)
    end
  end
  local limit = options.limit
  if limit ~= nil and (type(limit) ~= "number" or limit % 1 ~= 0 or limit < 1 or
     limit > MAX_PAGE) then
    error(("limit: %s; accepted: a whole number from 1 to %d"):format(failure.show(limit),
      MAX_PAGE), level + 1)
  end
  local has_index = self.layout.arrangement.has_index
  local is_cursor = has_index and index.is_cursor or scan.is_cursor
  if options.after ~= nil and (type(options.after) ~= "string" or
     not is_cursor(options.after)) then
    error(("after: %s; accepted: what an earlier page gave as next")
      :format(failure.show(options.after)), level + 1)
  end
  if options.unowned then
    error("unowned: is not there yet in this version; accepted now: false", level + 1)
  end
end

--- Lists the sessions, a page at a time, in no particular order. A session that is there
-- all the time is listed once; one that is deleted and made again meanwhile may come
-- twice. A layout without an index is listed by SCAN: then a session may come in several
-- pages, and a page may have more than `limit`.
-- @param options { after = `next` of the page before, limit = 1000, timeout_ms }
-- @return list of ids, next (nil at the end); or E
function Store:sessions(options)
  if options ~= nil and type(options) ~= "table" then
    error(("options: %s are no options; accepted: a table"):format(failure.show(options)),
      self.level)
  end
  options = options or {}
  check_list_options(self, options, self.level)
  local call = self:begin(nil, { timeout_ms = options.timeout_ms }, self.level)
  local limit, ids, cursor = options.limit or 1000, {}, options.after
  repeat
    local page, next_cursor, code, details =
      list_page(self, call, cursor, limit - #ids)
    if not page then return nil, next_cursor, code, details end
    for _, id in ipairs(page) do ids[#ids + 1] = id end
    cursor = next_cursor
  until not cursor or #ids >= limit
  return ids, cursor
end

-- How many records the session has and what Redis spends on them.
-- @return { [type] = n }, number of creds, bytes; or E
local function measure(self, call, id, types)
  local arrangement = self.layout.arrangement
  local commands = arrangement.count_all(self.layout, id, types)
  local first_size = #commands + 1
  for _, key in ipairs(arrangement.keys(self.layout, id, types)) do
    commands[#commands + 1] = { "MEMORY", "USAGE", key, "SAMPLES", "0" }
  end
  local replies, message, code, details = self:perform(call, { commands = commands })
  if not replies then return nil, message, code, details end
  local bytes = 0
  for i = first_size, #replies do bytes = bytes + (replies[i] or 0) end
  local counts, creds = arrangement.numbers(self.layout, id, types, replies)
  return counts, creds, bytes
end

--- Reads sessions into the near cache, so that their first reads ask nobody. They take
-- the room that other records have when there is not enough. No effect without a cache.
-- @param ids list of ids of sessions
-- @param options { timeout_ms }, for all of them together
-- @return how many records were read; or E
function Store:warm(ids, options)
  if type(ids) ~= "table" then
    error(("ids: %s is no list of session ids; accepted: { \"5511999999999\" }")
      :format(failure.show(ids)), self.level)
  end
  for _, id in ipairs(ids) do check_session_id(id, self.level) end
  local call = self:begin(nil, options, self.level)
  local count = 0
  for _, id in ipairs(self.near and ids or {}) do
    local each = {
      session = id, started_ms = call.started_ms, deadline_ms = call.deadline_ms,
      operation = call.operation,
    }
    local records, message, code, details = self:session(id):warm(each, self.near)
    if not records then return nil, message, code, details end
    count = count + records
  end
  return count
end

--- What is known of a session without reading its records.
-- @param id of the session
-- @param options { timeout_ms }
-- @return { counts = { [type] = n }, creds = 1 or 0, bytes (memory in Redis), version,
--   generation, registered (nil when the creds do not say), last_write_ms (server time,
--   Unix epoch) }; nil alone when there is no such session; or E
function Store:session_info(id, options)
  check_session_id(id, self.level)
  local call = self:begin(id, options, self.level)
  local replies, message, code, details = self:perform(call, {
    commands = { { "HGETALL", self.layout.meta_key(id) } },
  })
  if not replies then return nil, message, code, details end
  local found = meta.parse_all(replies[1], self:token())
  local has_index = self.layout.arrangement.has_index
  if has_index and (not found.generation or found.is_deleted) then return nil end
  local counts, creds, bytes
  counts, creds, bytes, details = measure(self, call, id, found.types)
  if not counts then return nil, creds, bytes, details end
  if not has_index and creds == 0 and next(counts) == nil then return nil end
  return {
    counts = counts, creds = creds, bytes = bytes, version = found.version,
    generation = tonumber(found.generation), registered = found.registered,
    last_write_ms = found.last_write_ms,
  }
end

--- Runs a function as a task; the same as `authstate.run`.
function Store:run(fn, ...)
  self:note_process()
  return scheduler.run(fn, ...)
end

--- A descriptor that becomes readable when `step` has something to do, for a program that
-- has a loop of its own. It is that of the loop of all stores.
-- @return number; or E
function Store:fd()
  self:note_process()
  local loop, message, code, details = scheduler.loop()
  if not loop then return nil, message, code, details end
  return loop:fd()
end

--- When `step` must be called at the latest.
-- @return ms from now on, 0 for at once; math.huge when only the descriptor matters
function Store:deadline_ms()
  return math.max(scheduler.deadline_ms() - self.now_ms(), 0)
end

--- One turn of the loop of all stores, without waiting: what has come is handed out,
-- tasks go on, and what they submit leaves. Raises the error of a task that was spawned
-- outside of `run` and that nobody waits for.
-- @return true
function Store:step()
  self:note_process()
  scheduler.step()
  return true
end

--- What the store has done so far, see doc/metrics.md. Without `enable_metrics` nothing
-- is counted of single calls.
-- @return { uptime_ms, memory_bytes (of the core and the cache), operations = { [name] =
--   { count, errors, p50_ms, p99_ms } }, errors = { [code] = n }, batch = { count, mean
--   (operations in one), flushed = { size, age, idle } (why they left) }, pool = { size,
--   busy (connections that are there), wait_p99_ms (until a request is sent), reconnects
--   }, cache, codec = { bytes_in (as JSON), bytes_stored, ratio }, wire = { bytes_out,
--   bytes_in }, leases = { held, lost, fenced }, queued = { operations, bytes } }; or E
function Store:stats()
  if self.is_closed then return failure.new("closed", "the store is closed") end
  return statistics.of(self)
end

--- Another profile for a store that works: what `open` was given stays above it. Nothing
-- that was accepted is dropped or changes its place.
-- @param name of the profile, or the path of its script; a mistake in it is raised, as by
--   `open`, and nothing changes
-- @return { applied = names of the options that have changed, reopen = names of those
--   that will when the store is opened again }; or E
function Store:use_profile(name)
  if type(name) ~= "string" then
    error(("profile: %s; accepted: the name or the path of a profile")
      :format(failure.show(name)), LEVEL)
  end
  if self.is_closed then return failure.new("closed", "the store is closed") end
  local given = { profile = name }
  for option, value in pairs(self.given) do given[option] = given[option] or value end
  local wanted, _, applied = check_open(given, LEVEL)
  local fault = self.near and coherence.fault(wanted)
  if fault then raise_cache_fault(fault, wanted, applied, LEVEL) end
  return live_options.change(self, wanted, applied)
end

--- Writes from now on which records are read and written, for `authstate replay`: their
-- types and hashed ids, no values. The key of the hash is thrown away.
-- @param path of a file that is made, or emptied; false ends the recording
-- @return true; or E
function Store:record_trace(path)
  if path ~= false and type(path) ~= "string" then
    error(("path: %s; accepted: the path of a file, or false"):format(failure.show(path)),
      LEVEL)
  end
  if self.is_closed then return failure.new("closed", "the store is closed") end
  local recorder, message, code, details
  if path then
    recorder, message, code, details = trace_recorder.create(path, self.log)
    if not recorder then return nil, message, code, details end
  end
  return trace_recorder.replace(self, recorder)
end

-- Tasks that were answered at the end may still have values to open: their turn comes
-- first.
local function wipe_keys(self)
  local keyring = self.keyring
  if not keyring then return end
  if scheduler.has_tasks() then
    scheduler.spawn(function() keyring:close() end)
  else
    keyring:close()
  end
end

--- Opens the connections of an nginx worker ahead of its first request, without waiting
-- for them; to be called in init_worker_by_lua. Elsewhere it does nothing.
-- @return true; or E
function Store:on_worker_start()
  self:note_process()
  local is_begun, message, code, facts = self.driver:warm_up()
  if is_begun then return true end
  return failure.new(code, message, describe(self, { started_ms = self.now_ms() }, facts))
end

--- Closes the store; the private server is shut down when nobody else uses it. Every
-- later call answers `closed`. A second close, in another task, waits like the first for
-- what was submitted, and does nothing else.
-- @return true; or E when the private server did not shut down, which the first is told
function Store:close()
  if self.is_closed then
    self.driver:close()
    return true
  end
  self:note_process()
  self.is_closed = true
  if self.recorder then self.recorder:close() end
  if self.near then self.near:close() end
  if not self.guard then
    self.driver:close()
    wipe_keys(self)
    return true
  end
  local is_left, message, code, details = self.guard:leave(self.driver)
  wipe_keys(self)
  if not is_left then return nil, message, code, details end
  return true
end

observer.wrap(Store, {
  ping = "ping", sessions = "sessions", session_info = "session_info",
}, function(self) return self end, function(_, id)
  return type(id) == "string" and id or nil
end)

return store
