-- SPDX-License-Identifier: MIT

-- The engine as a whole against a model of a server, in random order: every command is
-- answered with its own number, so a reply that reaches another caller shows.

local core = require "authstate.core"
local peer = require "spec.engine.peer"
local random = require "spec.support.random"

local RUNS = 40
local STEPS = 1500
local MAX_OPERATIONS = 40

local FAILURES = { timeout = true, unavailable = true, cancelled = true }

-- ---- the model ------------------------------------------------------------------------

local Model = {}
Model.__index = Model

local function new_model(rng)
  return setmetatable({
    rng = rng,
    engine = assert(core.engine(peer.config {
      max_operations = MAX_OPERATIONS, max_queued_bytes = 4000,
      connect_timeout_ms = 50, health_timeout_ms = 80, scripts = { "return 1" },
    })),
    now_ms = 0,
    next_number = 1,
    live = {},       -- slot to operation, until we release it
    owners = {},     -- slot to the last operation it named
    waiting = 0,     -- operations not completed
    client_id = 0,
    newest_id = 0,   -- of the stream that executed last
    old = {},        -- streams whose bytes the server may still execute
    stream = nil,
    may_kill = true,
    is_calm = false, -- no faults any more
  }, Model)
end

local function chance(self, probability)
  return not self.is_calm and self.rng:chance(probability)
end

-- A slot may be used again only when released, and when no reply is on its way to it.
local function assert_free(self, slot)
  assert.is_nil(self.live[slot], "a slot that nobody released was used again")
  local last = self.owners[slot]
  if not last or last.stream ~= self.stream or not self.stream then return end
  assert.is_true(last.reply_end ~= nil and last.reply_end <= self.stream.delivered,
    "a slot was used again while its reply was owed")
end

local function submit(self)
  local commands = {}
  local number = self.next_number
  for i = 1, self.rng:integer(1, 3) do
    commands[i] = { "ECHO", tostring(number), ("x"):rep(self.rng:integer(0, 30)) }
  end
  local deadline_ms = self.rng:chance(0.5) and math.huge
    or self.now_ms + self.rng:integer(0, 100)
  local before = self.engine:statistics()
  local slot, _, code = self.engine:submit(self.now_ms, deadline_ms,
    self.rng:chance(0.3), commands)
  if not slot then
    assert.equal("overloaded", code)
    local after = self.engine:statistics()
    assert.equal(before.queued_operations, after.queued_operations)
    assert.equal(before.queued_bytes, after.queued_bytes)
    return
  end
  assert_free(self, slot)
  local operation = { number = number, count = #commands, slot = slot }
  self.next_number = number + 1
  self.live[slot], self.owners[slot] = operation, operation
  self.waiting = self.waiting + 1
end

local function any_live(self)
  local slots = {}
  for slot in pairs(self.live) do slots[#slots + 1] = slot end
  table.sort(slots)
  return slots[1] and self.rng:pick(slots)
end

local function cancel(self)
  local slot = any_live(self)
  if slot then self.engine:cancel(slot, self.now_ms) end
end

local function connect(self)
  self.client_id = self.client_id + 1
  self.stream = {
    id = self.client_id, requests = "", replies = "", made = 0, delivered = 0, last = 0,
  }
  self.engine:on_connected(0, self.now_ms)
end

local function lose(self, reason)
  if self.stream then self.old[#self.old + 1] = self.stream end
  self.stream = nil
  self.engine:on_closed(0, reason, self.now_ms)
end

local function act(self)
  local action = self.engine:next_action()
  if action == "close" or action == "connect" and chance(self, 0.3) then
    lose(self, action)
  elseif action == "connect" then
    connect(self)
  end
end

local function write(self)
  local lent = #self.engine:next_write(0)
  if not self.stream or lent == 0 then return end
  local length = self.rng:integer(1, lent)
  self.stream.requests = self.stream.requests .. self.engine:next_write(0):sub(1, length)
  self.engine:on_written(0, length, self.now_ms)
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

local function operation_of(self, number)
  for _, operation in pairs(self.owners) do
    if operation.number == number then return operation end
  end
end

-- Numbers rise on a stream, and none is executed on an older stream after a newer one.
local function execute(self, stream, number)
  assert.is_true(number >= stream.last, "the order of operations changed")
  stream.last = number
  assert.is_true(stream.id >= self.newest_id or not self.may_kill,
    "bytes of a lost stream were executed after those of its successor")
  self.newest_id = stream.id
end

local function echo(self, stream, number)
  execute(self, stream, number)
  local operation = operation_of(self, number)
  if operation and stream == self.stream then
    operation.stream = stream
    stream.current = operation
  end
  return peer.bulk(tostring(number))
end

local function answer(self, stream, words)
  local first = words[1] .. " " .. (words[2] or "")
  if first == "CLIENT ID" then return (":%d\r\n"):format(stream.id) end
  if first == "INFO server" then return peer.info(peer.run_id "a") end
  if first == "SCRIPT LOAD" then return peer.bulk "sha" end
  if first == "CLIENT KILL" then
    if not self.may_kill then return "-NOPERM\r\n" end
    return kill(self, tonumber(words[4]))
  end
  if words[1] == "MULTI" then
    stream.queue = {}
    return "+OK\r\n"
  elseif words[1] == "EXEC" then
    local queue = stream.queue
    stream.queue = nil
    return peer.array(queue)
  end
  local reply = echo(self, stream, tonumber(words[2]))
  if not stream.queue then return reply end
  table.insert(stream.queue, reply)
  return "+QUEUED\r\n"
end

local function serve_one(self, stream)
  local words, next_at = peer.read_command(stream.requests, 1)
  if not words then return false end
  stream.requests = stream.requests:sub(next_at)
  local reply = answer(self, stream, words)
  stream.replies = stream.replies .. reply
  stream.made = stream.made + #reply
  if stream.current and (words[1] == "ECHO" or words[1] == "EXEC") then
    stream.current.reply_end = stream.made
  end
  return true
end

local function serve(self)
  local stream = self.stream
  if #self.old > 0 and self.rng:chance(0.3) then stream = self.rng:pick(self.old) end
  if not stream then return end
  for _ = 1, self.rng:integer(1, 6) do
    if not serve_one(self, stream) then return end
  end
end

local function deliver(self)
  local stream = self.stream
  if not stream or stream.replies == "" then return end
  local length = self.rng:integer(1, #stream.replies)
  local bytes = stream.replies:sub(1, length)
  stream.replies = stream.replies:sub(length + 1)
  stream.delivered = stream.delivered + length
  self.engine:on_bytes(0, bytes, self.now_ms)
end

-- ---- what must hold -------------------------------------------------------------------

local function check_completion(self, slot, code, attempts)
  local operation = assert(self.live[slot], "a completion of no operation")
  assert.is_nil(operation.is_complete, "an operation completed twice")
  operation.is_complete = true
  self.waiting = self.waiting - 1
  if code then
    assert.is_true(FAILURES[code], code)
    if code == "timeout" then assert.is_true(attempts > 0) end
    if code == "unavailable" then assert.equal(0, attempts) end
    return
  end
  assert.is_true(attempts > 0)
  local expected = {}
  for i = 1, operation.count do expected[i] = tostring(operation.number) end
  assert.same(expected, self.engine:take(slot))
  self.live[slot] = nil
end

local function pull(self)
  while true do
    local slot, code, _, attempts = self.engine:next_completion()
    if not slot then return end
    check_completion(self, slot, code, attempts)
  end
end

local function release(self)
  for slot, operation in pairs(self.live) do
    if operation.is_complete and (self.is_calm or self.rng:chance(0.5)) then
      self.engine:release(slot)
      self.live[slot] = nil
    end
  end
end

local function pass(self)
  self.now_ms = self.now_ms + self.rng:integer(0, chance(self, 0.05) and 60 or 5)
  self.engine:on_time(self.now_ms)
end

local function cut(self)
  if self.stream and chance(self, 0.5) then lose(self, "lost") end
end

local STEPS_BY_WEIGHT = {
  { 10, submit }, { 2, cancel }, { 6, act }, { 12, write }, { 12, serve },
  { 12, deliver }, { 6, pass }, { 8, pull }, { 4, release }, { 1, cut },
}

local TOTAL_WEIGHT = 0
for _, step in ipairs(STEPS_BY_WEIGHT) do TOTAL_WEIGHT = TOTAL_WEIGHT + step[1] end

local function step(self)
  local at = self.rng:integer(1, TOTAL_WEIGHT)
  for _, each in ipairs(STEPS_BY_WEIGHT) do
    at = at - each[1]
    if at <= 0 then
      each[2](self)
      break
    end
  end
  assert.is_true(self.engine:validate())
end

-- Without faults all that waits comes to its end.
local function finish(self)
  self.is_calm = true
  for _ = 1, 10000 do
    act(self) write(self) serve(self) deliver(self) pull(self) release(self)
    local queued = self.engine:statistics().queued_operations
    if self.waiting == 0 and queued == 0 then break end
    self.now_ms = self.now_ms + 1
    self.engine:on_time(self.now_ms)
    assert.is_true(self.engine:validate())
  end
  assert.equal(0, self.waiting)
  assert.equal(0, self.engine:statistics().queued_operations)
  assert.equal(0, self.engine:statistics().queued_bytes)
end

describe("an engine in random order", function()
  for _, may_kill in ipairs { true, false } do
    it(("gives each operation its own replies, exactly once%s")
      :format(may_kill and "" or ", also when it may not kill"), function()
        local base = random.new():word()
        for run = 1, random.rounds(RUNS) do
          local seed = (base + run) % 2 ^ 32
          local model = new_model(random.new(seed))
          model.may_kill = may_kill
          local ok, message = pcall(function()
            for _ = 1, STEPS do step(model) end
            finish(model)
          end)
          model.engine:close()
          if not ok then
            local words = type(message) == "table" and message.message or message
            error(("random.new(%d): %s"):format(seed, tostring(words)), 0)
          end
        end
      end)
  end
end)

-- ---- memory ---------------------------------------------------------------------------

describe("the memory of an engine", function()
  local function run(p, count)
    for i = 1, count, 10 do
      for j = i, i + 9 do
        p.engine:submit(p.now_ms, p.now_ms + 1000, false,
          { { "ECHO", tostring(j % 10) } })
      end
      p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
      p.engine:on_bytes(0, p.reply, p.now_ms)
      for slot in p.engine.next_completion, p.engine do p.engine:take(slot) end
      p.now_ms = p.now_ms + 1
      p.engine:on_time(p.now_ms)
    end
    return p.engine:statistics().memory_bytes
  end

  it("is the same after 10, 1,000 and 100,000 operations", function()
    local p = peer.new()
    p:start {}
    p:ready()
    p.reply = peer.bulk("x"):rep(10)
    local first = run(p, 10)
    assert.equal(first, run(p, 1000))
    assert.equal(first, run(p, 100000))
    assert.equal(0, p.engine:statistics().queued_operations)
  end)

  it("shrinks again after large requests and replies", function()
    local p = peer.new()
    p:start { max_queued_bytes = 1e8 }
    p:ready()
    p.answers.ECHO = function(words) return peer.bulk(words[2]) end
    for _ = 1, 5 do
      p:submit { { "ECHO", ("x"):rep(5000000) } }
      p:pump()
      assert.equal(5000000, #p:ended().replies[1])
    end
    assert.is_true(p.engine:statistics().memory_bytes < 200000)
  end)

  it("stays small while one connection is never idle", function()
    local p = peer.new()
    p:start {}
    p:ready()
    local reply = peer.bulk("x")
    p:submit { { "ECHO", "first" } }
    for _ = 1, 20000 do
      p:submit { { "ECHO", ("x"):rep(100) } }
      p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
      p.engine:on_bytes(0, reply, p.now_ms)
      p.engine:take((p.engine:next_completion()))
    end
    assert.is_true(p.engine:statistics().memory_bytes < 400000)
    assert.equal(1, p.engine:statistics().queued_operations)
  end)

  it("is given back by close with everything under way", function()
    local p = peer.new()
    p:start {}
    p:ready()
    p:submit { { "ECHO", "1" } }
    p:write()
    p:feed "$100"
    p:submit { { "ECHO", "2" } }
    p.engine:cancel(0, p.now_ms)
    p.engine:close()
  end)
end)

describe("many operations in flight", function()
  -- Every write walked over all that were in flight.
  it("do not slow down the writes of others", function()
    local function seconds(in_flight)
      local p = peer.new()
      p:start { max_operations = 100000, max_queued_bytes = 1e9 }
      p:ready()
      for _ = 1, in_flight do p:submit { { "PING" } } end
      p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
      local began = os.clock()
      for _ = 1, 5000 do
        p:submit { { "PING" } }
        p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
      end
      local took = os.clock() - began
      p.engine:close()
      return took
    end
    local few, many = seconds(1), seconds(50000)
    assert.is_true(many < 20 * few + 0.1, ("%f s, with many %f s"):format(few, many))
  end)

  it("and a long block of replies to them are read in linear time", function()
    local p = peer.new()
    p:start { max_operations = 300000, max_queued_bytes = 1e9 }
    p:ready()
    local count = 200000
    for _ = 1, count do p:submit { { "PING" } } end
    p.engine:on_written(0, #p.engine:next_write(0), p.now_ms)
    local began = os.clock()
    p.engine:on_bytes(0, ("+PONG\r\n"):rep(count), p.now_ms)
    assert.is_true(os.clock() - began < 2)
    p.engine:close()
  end)
end)
