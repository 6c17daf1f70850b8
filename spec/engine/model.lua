-- SPDX-License-Identifier: MIT

--- An engine with callers, a driver and a server of which each does something random in
-- turn, and what must hold whatever they do:
--
-- - every operation completes once, with its own replies;
-- - what is told as never sent is not executed, neither before nor later;
-- - the operations of a lane are executed in the order of submission, on one stream after
--   the other, and no lost stream executes anything after its successor;
-- - a read sees every write of its lane that came before it and succeeded;
-- - the versions that the plain writes of a lane make grow;
-- - a slot is not used again while its reply is owed.
-- @module spec.engine.model

local core = require "authstate.core"
local luassert = require "luassert"
local peer = require "spec.engine.peer"

local LANES = 4
local FIELDS = 4

local FAILURES = { timeout = true, unavailable = true, cancelled = true }

local Model = {}
Model.__index = Model

local model = {}

local function open_lane(self, place)
  self.lane_count = self.lane_count + 1
  local name = "lane" .. self.lane_count
  self.lanes[place] = {
    name = name, lane = self.engine:lane(name), version = 0, stream_id = 0, last = 0,
    left = {}, -- the streams before, by id
  }
  self.lane_of[name] = self.lanes[place]
end

--- @param options { pool_size, may_kill }
function model.new(rng, options)
  local self = setmetatable({
    rng = rng,
    pool_size = options.pool_size,
    may_kill = options.may_kill,
    engine = assert(core.engine(peer.config {
      pool_size = options.pool_size, max_operations = 40, max_queued_bytes = 4000,
      connect_timeout_ms = 50, health_timeout_ms = 80, max_age_ms = 300,
      batch_size = 8, batch_window_ms = 4, scripts = { "return 1" },
    })),
    now_ms = 0,
    next_number = 1,
    lanes = {}, lane_of = {}, lane_count = 0,
    live = {},        -- slot to operation, until we release it
    owners = {},      -- slot to the last operation it named
    numbered = {},    -- number to operation
    waiting = 0,      -- operations not completed
    client_id = 0,
    streams = {},     -- by connection
    old = {},         -- streams whose bytes the server may still execute
    loose = {},       -- by connection: the order of what belongs to no lane
    hashes = {},      -- what is stored: key to field to number
    versions = {},    -- meta key to version
    newest = {},      -- key and field to the numbers of writes that were acknowledged
    is_calm = false,  -- no faults any more
  }, Model)
  for place = 1, LANES do open_lane(self, place) end
  for connection = 0, self.pool_size - 1 do
    self.loose[connection] = { stream_id = 0, last = 0, left = {} }
  end
  return self
end

local function chance(self, probability)
  return not self.is_calm and self.rng:chance(probability)
end

local function any_connection(self)
  return self.rng:integer(0, self.pool_size - 1)
end

-- ---- the callers ----------------------------------------------------------------------

-- A slot may be used again only when released, and when no reply is on its way to it.
local function assert_free(self, slot)
  luassert.is_nil(self.live[slot], "a slot that nobody released was used again")
  local last = self.owners[slot]
  local stream = last and last.stream
  if not stream or self.streams[stream.connection] ~= stream then return end
  luassert.is_true(last.reply_end ~= nil and last.reply_end <= stream.delivered,
    "a slot was used again while its reply was owed")
end

local function deadline(self)
  return self.rng:chance(0.5) and math.huge or self.now_ms + self.rng:integer(0, 100)
end

-- Notes what was submitted, or that it was refused without a trace.
local function settle(self, before, operation, slot, code)
  if not slot then
    luassert.equal("overloaded", code)
    -- Fewer when what nobody waited for was dropped on the way.
    local after = self.engine:statistics()
    luassert.is_true(after.queued_operations <= before.queued_operations)
    return
  end
  assert_free(self, slot)
  operation.slot = slot
  self.live[slot], self.owners[slot] = operation, operation
  self.numbered[operation.number] = operation
  self.waiting = self.waiting + 1
end

local function new_operation(self, kind, place)
  local operation = { kind = kind, number = self.next_number, lane = place }
  self.next_number = self.next_number + 1
  return operation
end

function Model:submit()
  local place = self.rng:chance(0.6) and self.rng:pick(self.lanes) or nil
  local operation, commands = new_operation(self, "echo", place), {}
  for i = 1, self.rng:integer(1, 3) do
    commands[i] = { "ECHO", tostring(operation.number),
      ("x"):rep(self.rng:integer(0, 30)), place and place.name or "" }
  end
  operation.count = #commands
  local before = self.engine:statistics()
  local slot, _, code = self.engine:submit(self.now_ms, deadline(self),
    self.rng:chance(0.3), commands, place and place.lane)
  settle(self, before, operation, slot, code)
end

local function any_key(self, place)
  return place.name .. "." .. self.rng:integer(1, 2)
end

function Model:read()
  local place = self.rng:pick(self.lanes)
  local operation = new_operation(self, "read", place)
  local key, fields = any_key(self, place), {}
  operation.fields = {}
  for i = 1, self.rng:integer(1, 3) do
    fields[i] = "f" .. self.rng:integer(1, FIELDS)
    operation.fields[i] = key .. "/" .. fields[i]
  end
  local before = self.engine:statistics()
  local slot, _, code = self.engine:read(place.lane, key, fields, -1, core.shapes.raw,
    deadline(self), self.now_ms)
  settle(self, before, operation, slot, code)
end

function Model:write()
  local place = self.rng:pick(self.lanes)
  local operation, changes = new_operation(self, "write", place), {}
  operation.fields = {}
  for i = 1, self.rng:integer(1, 3) do
    local key, field = any_key(self, place), "f" .. self.rng:integer(1, FIELDS)
    operation.fields[i] = key .. "/" .. field
    changes[#changes + 1] = key
    changes[#changes + 1] = field
    changes[#changes + 1] = tostring(operation.number)
  end
  if self.rng:chance(0.1) then
    changes[#changes + 1] = any_key(self, place)
    changes[#changes + 1] = "removed"
    changes[#changes + 1] = false
  end
  local before = self.engine:statistics()
  local slot, _, code = self.engine:write(place.lane, changes, deadline(self),
    self.now_ms)
  settle(self, before, operation, slot, code)
end

function Model:flush()
  self.engine:flush(self.now_ms)
end

function Model:replace_lane()
  local place = self.rng:integer(1, LANES)
  self.lanes[place].lane:close()
  open_lane(self, place)
end

function Model:cancel()
  local slots = {}
  for slot in pairs(self.live) do slots[#slots + 1] = slot end
  table.sort(slots)
  if slots[1] then self.engine:cancel(self.rng:pick(slots), self.now_ms) end
end

-- ---- the driver -----------------------------------------------------------------------

local function connect(self, connection)
  self.client_id = self.client_id + 1
  self.streams[connection] = {
    id = self.client_id, connection = connection, requests = "", replies = "", made = 0,
    delivered = 0,
  }
  self.engine:on_connected(connection, self.now_ms)
end

local function lose(self, connection, reason)
  local stream = self.streams[connection]
  if stream then self.old[#self.old + 1] = stream end
  self.streams[connection] = nil
  self.engine:on_closed(connection, reason, self.now_ms)
end

function Model:act()
  local action, connection = self.engine:next_action()
  if action == "close" or action == "connect" and chance(self, 0.3) then
    lose(self, connection, action)
  elseif action == "connect" then
    connect(self, connection)
  end
end

function Model:take_bytes()
  local connection = any_connection(self)
  local stream = self.streams[connection]
  local lent = self.engine:next_write(connection)
  if not stream or lent == "" then return end
  local length = self.rng:integer(1, #lent)
  stream.requests = stream.requests .. lent:sub(1, length)
  self.engine:on_written(connection, length, self.now_ms)
end

function Model:deliver()
  local connection = any_connection(self)
  local stream = self.streams[connection]
  if not stream or stream.replies == "" then return end
  local length = self.rng:integer(1, #stream.replies)
  local bytes = stream.replies:sub(1, length)
  stream.replies = stream.replies:sub(length + 1)
  stream.delivered = stream.delivered + length
  self.engine:on_bytes(connection, bytes, self.now_ms)
end

function Model:pass()
  self.now_ms = self.now_ms + self.rng:integer(0, chance(self, 0.05) and 60 or 5)
  self.engine:on_time(self.now_ms)
end

function Model:cut()
  local connection = any_connection(self)
  if self.streams[connection] and chance(self, 0.5) then
    lose(self, connection, "lost")
  end
end

-- ---- the server -----------------------------------------------------------------------

local function kill(self, id)
  for i, stream in ipairs(self.old) do
    if stream.id == id then
      table.remove(self.old, i)
      return ":1\r\n"
    end
  end
  return ":0\r\n"
end

-- Numbers rise on a stream, and none is executed on a stream that was followed by another
-- one. A lane that moves may meet an older stream, of another connection.
local function execute(self, stream, order, number)
  local operation = self.numbered[number]
  luassert.is_nil(operation.is_denied, "what was told as never sent was executed")
  luassert.is_true(not order.left[stream.id] or not self.may_kill,
    "bytes of a lost stream were executed after those of its successor")
  if stream.id ~= order.stream_id then
    order.left[order.stream_id] = true
    order.stream_id, order.last = stream.id, 0
  end
  luassert.is_true(number >= order.last, "the order of operations changed")
  order.last = number
  if self.streams[stream.connection] ~= stream then return end
  operation.stream = stream
  stream.current[#stream.current + 1] = operation
end

local commands = {}

function commands.ECHO(self, stream, words)
  local order = self.lane_of[words[4]] or self.loose[stream.connection]
  execute(self, stream, order, tonumber(words[2]))
  return peer.bulk(words[2])
end

function commands.HMGET(self, _, words)
  local hash, values = self.hashes[words[2]] or {}, {}
  for i = 3, #words do
    values[#values + 1] = hash[words[i]] and peer.bulk(hash[words[i]]) or "$-1\r\n"
  end
  return peer.array(values)
end

function commands.HSET(self, _, words)
  local hash = self.hashes[words[2]] or {}
  self.hashes[words[2]] = hash
  for i = 3, #words, 2 do hash[words[i]] = words[i + 1] end
  return ":0\r\n"
end

function commands.HDEL()
  return ":0\r\n"
end

function commands.HINCRBY(self, _, words)
  local version = (self.versions[words[2]] or 0) + tonumber(words[4])
  self.versions[words[2]] = version
  return (":%d\r\n"):format(version)
end

function commands.EXISTS()
  return ":1\r\n"
end

-- The numbers of the writes in a transaction are not in order when it has several keys.
local function execute_writes(self, stream, queue)
  local numbers, lane = {}, nil
  for _, words in ipairs(queue) do
    if words[1] == "HSET" then
      lane = self.lane_of[words[2]:match "^[^.]+"]
      for i = 4, #words, 2 do numbers[#numbers + 1] = tonumber(words[i]) end
    end
  end
  table.sort(numbers)
  for _, number in ipairs(numbers) do execute(self, stream, lane, number) end
end

local function execute_all(self, stream)
  local replies = {}
  execute_writes(self, stream, stream.queue)
  for i, words in ipairs(stream.queue) do
    replies[i] = commands[words[1]](self, stream, words)
  end
  stream.queue = nil
  return peer.array(replies)
end

local function greet(self, stream, words)
  local first = words[1] .. " " .. (words[2] or "")
  if first == "CLIENT ID" then return (":%d\r\n"):format(stream.id) end
  if first == "INFO server" then return peer.info(peer.run_id "a") end
  if first == "SCRIPT LOAD" then return peer.bulk "sha" end
  if first ~= "CLIENT KILL" then return nil end
  return self.may_kill and kill(self, tonumber(words[4])) or "-NOPERM\r\n"
end

local function answer(self, stream, words)
  local greeting = greet(self, stream, words)
  if greeting then return greeting end
  if words[1] == "MULTI" then
    stream.queue = {}
    return "+OK\r\n"
  end
  if words[1] == "EXEC" then return execute_all(self, stream) end
  if not stream.queue then return commands[words[1]](self, stream, words) end
  stream.queue[#stream.queue + 1] = words
  return "+QUEUED\r\n"
end

local function serve_one(self, stream)
  local words, next_at = peer.read_command(stream.requests, 1)
  if not words then return false end
  stream.requests = stream.requests:sub(next_at)
  stream.current = {}
  local reply = answer(self, stream, words)
  stream.replies = stream.replies .. reply
  stream.made = stream.made + #reply
  for _, operation in ipairs(stream.current) do operation.reply_end = stream.made end
  return true
end

function Model:serve()
  local stream = self.streams[any_connection(self)]
  if #self.old > 0 and self.rng:chance(0.3) then stream = self.rng:pick(self.old) end
  if not stream then return end
  for _ = 1, self.rng:integer(1, 6) do
    if not serve_one(self, stream) then return end
  end
end

-- ---- what must hold -------------------------------------------------------------------

local ends = {}

function ends.echo(_, operation, replies)
  local expected = {}
  for i = 1, operation.count do expected[i] = tostring(operation.number) end
  luassert.same(expected, replies)
end

function ends.read(self, operation, replies)
  luassert.equal(1, #replies)
  for i, field in ipairs(operation.fields) do
    local number = tonumber(replies[1][i] or "0")
    for _, write in ipairs(self.newest[field] or {}) do
      luassert.is_true(write > operation.number or number >= write,
        "a read did not see a write that came before it")
    end
  end
end

function ends.write(self, operation, version)
  local lane = operation.lane
  luassert.is_true(version > lane.version, "a version did not grow")
  lane.version = version
  if not self.may_kill then return end
  for _, field in ipairs(operation.fields) do
    self.newest[field] = self.newest[field] or {}
    table.insert(self.newest[field], operation.number)
  end
end

local function check_failure(operation, code, attempts)
  luassert.is_true(FAILURES[code], code)
  if code == "timeout" then luassert.is_true(attempts > 0) end
  if code == "unavailable" then luassert.equal(0, attempts) end
  operation.is_denied = attempts == 0 or nil
  if operation.is_denied then
    luassert.is_nil(operation.stream, "what was told as never sent was executed")
  end
end

local function check_completion(self, slot, code, attempts)
  local operation = assert(self.live[slot], "a completion of no operation")
  luassert.is_nil(operation.is_complete, "an operation completed twice")
  operation.is_complete = true
  self.waiting = self.waiting - 1
  if code then
    check_failure(operation, code, attempts)
    return
  end
  luassert.is_true(attempts > 0)
  ends[operation.kind](self, operation, self.engine:take(slot))
  self.live[slot] = nil
end

function Model:pull()
  while true do
    local slot, code, _, attempts = self.engine:next_completion()
    if not slot then return end
    check_completion(self, slot, code, attempts)
  end
end

function Model:release()
  for slot, operation in pairs(self.live) do
    if operation.is_complete and (self.is_calm or self.rng:chance(0.5)) then
      self.engine:release(slot)
      self.live[slot] = nil
    end
  end
end

local STEPS_BY_WEIGHT = {
  { 5, "submit" }, { 6, "read" }, { 5, "write" }, { 3, "flush" }, { 2, "cancel" },
  { 7, "act" }, { 14, "take_bytes" }, { 14, "serve" }, { 14, "deliver" }, { 6, "pass" },
  { 8, "pull" }, { 4, "release" }, { 1, "cut" }, { 0.2, "replace_lane" },
}

local TOTAL_WEIGHT = 0
for _, step in ipairs(STEPS_BY_WEIGHT) do TOTAL_WEIGHT = TOTAL_WEIGHT + step[1] end

--- One random step.
function Model:step()
  local at = self.rng:fraction() * TOTAL_WEIGHT
  for _, each in ipairs(STEPS_BY_WEIGHT) do
    at = at - each[1]
    if at < 0 then
      self[each[2]](self)
      break
    end
  end
  luassert.is_true(self.engine:validate())
end

local function run_to_the_end(self)
  for _ = 1, 20000 do
    for _, name in ipairs { "flush", "act", "take_bytes", "serve", "deliver", "pull",
      "release" } do
      self[name](self)
    end
    local queued = self.engine:statistics().queued_operations
    if self.waiting == 0 and queued == 0 then break end
    self.now_ms = self.now_ms + 1
    self.engine:on_time(self.now_ms)
    luassert.is_true(self.engine:validate())
  end
  luassert.equal(0, self.waiting)
  luassert.equal(0, self.engine:statistics().queued_operations)
  luassert.equal(0, self.engine:statistics().queued_bytes)
end

-- One operation for each connection, so that none has a lost stream behind it; connecting
-- may take too long.
local function use_connections(self)
  for _ = 1, self.pool_size do
    local operation = new_operation(self, "echo")
    operation.count = 1
    local slot, _, code = self.engine:submit(self.now_ms, math.huge, false,
      { { "ECHO", tostring(operation.number), "", "" } })
    settle(self, self.engine:statistics(), operation, slot, code)
  end
end

--- Without faults all that waits comes to its end.
function Model:finish()
  self.is_calm = true
  run_to_the_end(self)
  for _ = 1, 20 do
    use_connections(self)
    run_to_the_end(self)
    if self.engine:statistics().lanes == LANES then return end
  end
  luassert.equal(LANES, self.engine:statistics().lanes)
end

return model
