-- SPDX-License-Identifier: MIT

--- A scripted Redis and the driver before it, in one: what specs of the bare engine talk
-- to. No socket, no clock: `now_ms` is a field that the spec sets.
--
--    peer.each_cut(function(p)
--      p:start { password = "secret" }
--      local slot = p:submit { { "GET", "key" } }
--      p:pump()
--      return { commands = p.commands, ends = p:ends() }
--    end)
--
-- `each_cut` repeats a scenario with the incoming bytes cut at every position, with the
-- outgoing bytes taken in two parts at every position, and with both byte by byte. What
-- the scenario returns must be the same each time.
--
-- Connections are numbered from 0; what takes a connection means number 0 without one.
-- @module spec.engine.peer

local core = require "authstate.core"
local luassert = require "luassert"
local resp_client = require "spec.support.resp_client"

-- Batches leave when pump says that nothing else can join, or when a spec asks for a
-- limit.
local CONFIG = {
  pool_size = 1,
  batch_size = 1000,
  batch_window_ms = math.huge,
  max_age_ms = math.huge,
  max_operations = 1000,
  max_queued_bytes = 1048576,
  max_value_bytes = 1048576,
  connect_timeout_ms = 500,
  health_timeout_ms = 10000,
  quarantine_ms = 0,
  seed = 0,
  database = 0,
}

local Peer = { __name = "peer" }
Peer.__index = Peer

local peer = { encode = resp_client.encode }

--- A run_id: 40 times one letter.
function peer.run_id(letter)
  return letter:rep(40)
end

--- A bulk string reply.
function peer.bulk(text)
  return ("$%d\r\n%s\r\n"):format(#text, text)
end

--- An array reply of replies.
function peer.array(replies)
  return ("*%d\r\n"):format(#replies) .. table.concat(replies)
end

--- The reply to INFO server.
function peer.info(run_id, version)
  return peer.bulk(("# Server\r\nredis_version:%s\r\nos:Linux\r\nrun_id:%s\r\nhz:10\r\n")
    :format(version or "7.0.15", run_id))
end

--- The configuration of an engine: the defaults with `changes`.
function peer.config(changes)
  local config = {}
  for _, source in ipairs { CONFIG, changes or {} } do
    for name, value in pairs(source) do config[name] = value end
  end
  return config
end

--- A peer without an engine yet.
-- @param options { cut_in, cut_out }: a position in the bytes of all streams, or "each"
function peer.new(options)
  options = options or {}
  return setmetatable({
    cut_in = options.cut_in,
    cut_out = options.cut_out,
    bytes_in = 0,
    bytes_out = 0,
    now_ms = 1000,
    pool_size = 1,     -- as started
    commands = {},     -- all that came whole, on all streams
    carried = {},      -- by connection, the same of its streams
    received = {},     -- by connection, bytes of a command that is not whole
    client_id = 0,     -- of the newest stream; grows
    client_ids = {},   -- by connection, of its present stream
    run_id = peer.run_id "a",
    answers = {},      -- first words of a command, or the first, to reply or function
  }, Peer)
end

function Peer:start(config)
  config = peer.config(config)
  self.engine = assert(core.engine(config))
  self.pool_size = config.pool_size
  return self.engine
end

--- Submits one operation and raises when it is refused.
-- @param options { deadline_ms, atomic, lane }
function Peer:submit(commands, options)
  options = options or {}
  return assert(self.engine:submit(self.now_ms, options.deadline_ms or math.huge,
    options.atomic or false, commands, options.lane))
end

--- Submits a read of fields of a hash and raises when it is refused.
-- @param options { deadline_ms, generation }
function Peer:read(lane, key, fields, options)
  options = options or {}
  local slot = assert(self.engine:read(lane, key, fields, options.generation or -1,
    core.shapes.raw, options.deadline_ms or math.huge, self.now_ms))
  assert(self.engine:validate())
  return slot
end

--- Submits a plain write and raises when it is refused.
-- @param changes { key, field, value, ... }; false as a value removes
function Peer:change(lane, changes, options)
  options = options or {}
  local slot = assert(self.engine:write(lane, changes, options.deadline_ms or math.huge,
    self.now_ms))
  assert(self.engine:validate())
  return slot
end

--- Nothing else joins what was submitted.
function Peer:flush()
  self.engine:flush(self.now_ms)
  assert(self.engine:validate())
end

-- ---- the server ----------------------------------------------------------------------

-- Reads one whole command at `from`; nil when it is not whole.
local function read_command(bytes, from)
  local count, at = bytes:match("^%*(%d+)\r\n()", from)
  if not count then return nil end
  local words = {}
  for i = 1, tonumber(count) do
    local length, first = bytes:match("^%$(%d+)\r\n()", at)
    if not length or #bytes < first + length + 1 then return nil end
    words[i] = bytes:sub(first, first + length - 1)
    at = first + length + 2
  end
  return words, at
end
peer.read_command = read_command

local function default_answer(self, words, connection)
  local first = words[1] .. " " .. (words[2] or "")
  if first == "CLIENT ID" then
    return (":%d\r\n"):format(self.client_ids[connection])
  end
  if first == "CLIENT KILL" then return ":1\r\n" end
  if first == "INFO server" then return peer.info(self.run_id) end
  if first == "SCRIPT LOAD" then return peer.bulk(("0"):rep(40)) end
  if words[1] == "ECHO" then return peer.bulk(words[2]) end
  return "+OK\r\n"
end

--- The reply to a command: from `answers`, or the default.
function Peer:answer(words, connection)
  local answer = self.answers[table.concat(words, " ")]
    or self.answers[words[1] .. " " .. (words[2] or "")] or self.answers[words[1]]
  if type(answer) == "function" then answer = answer(words, connection or 0) end
  return answer or default_answer(self, words, connection or 0)
end

--- Takes the first command that came whole; nil when there is none.
function Peer:take_command(connection)
  connection = connection or 0
  local words, next_at = read_command(self.received[connection] or "", 1)
  if not words then return nil end
  self.received[connection] = self.received[connection]:sub(next_at)
  local carried = self.carried[connection] or {}
  self.carried[connection] = carried
  local command = table.concat(words, " ")
  self.commands[#self.commands + 1] = command
  carried[#carried + 1] = command
  return words
end

-- Takes the whole commands that came on the present stream; returns their replies.
local function serve(self, connection)
  local replies = {}
  local words = self:take_command(connection)
  while words do
    replies[#replies + 1] = self:answer(words, connection)
    words = self:take_command(connection)
  end
  return table.concat(replies)
end

-- ---- the driver ----------------------------------------------------------------------

-- Hands parts of `bytes` to `take`, cut as told; `done` bytes came before.
local function in_parts(bytes, cut, done, take)
  if cut == "each" then
    for i = 1, #bytes do take(bytes:sub(i, i)) end
    return
  end
  local at = cut and cut - done or 0
  if at > 0 and at < #bytes then
    take(bytes:sub(1, at))
    take(bytes:sub(at + 1))
  elseif #bytes > 0 then
    take(bytes)
  end
end

--- The engine gets bytes from the server.
function Peer:feed(bytes, connection)
  in_parts(bytes, self.cut_in, self.bytes_in, function(part)
    self.engine:on_bytes(connection or 0, part, self.now_ms)
    assert(self.engine:validate())
  end)
  self.bytes_in = self.bytes_in + #bytes
end

-- The socket takes the first `count` bytes of next_write.
local function take_bytes(self, count, connection)
  local part = self.engine:next_write(connection):sub(1, count)
  self.received[connection] = (self.received[connection] or "") .. part
  self.engine:on_written(connection, #part, self.now_ms)
  assert(self.engine:validate())
end

--- The socket takes the next `count` bytes, or all.
-- @return how many
function Peer:write(count, connection)
  connection = connection or 0
  local bytes = self.engine:next_write(connection):sub(1, count)
  in_parts(bytes, self.cut_out, self.bytes_out, function(part)
    take_bytes(self, #part, connection)
  end)
  self.bytes_out = self.bytes_out + #bytes
  return #bytes
end

--- The connection that the engine asked for is there.
function Peer:connected(connection)
  connection = connection or 0
  self.client_id = self.client_id + 1
  self.client_ids[connection] = self.client_id
  self.received[connection] = ""
  self.engine:on_connected(connection, self.now_ms)
  assert(self.engine:validate())
end

--- The connection is gone.
function Peer:closed(reason, connection)
  connection = connection or 0
  self.received[connection] = ""
  self.engine:on_closed(connection, reason or "reset by peer", self.now_ms)
  assert(self.engine:validate())
end

--- What the engine asks for next: "connect" or "close" and the connection, or nil.
function Peer:action()
  local action, connection = self.engine:next_action()
  return action, connection
end

-- Does one thing that the engine asks for.
local function act(self)
  local action, connection = self:action()
  if action == "connect" then self:connected(connection) end
  if action == "close" then self:closed("closed", connection) end
  return action ~= nil
end

--- Lets time pass until the engine asks for a connection.
function Peer:await_connect()
  local action = self:action()
  if not action then
    self:pass(self.engine:deadline_ms() - self.now_ms)
    action = self:action()
  end
  assert(action == "connect", action)
end

-- Takes all bytes of a connection and answers all commands; whether there was anything.
local function converse(self, connection)
  local written = self:write(nil, connection)
  local replies = serve(self, connection)
  self:feed(replies, connection)
  return written > 0 or replies ~= ""
end

--- Flushes, connects or closes as asked, takes all bytes and answers all commands, until
-- nothing is left to do.
function Peer:pump()
  self:flush()
  repeat
    local is_busy = act(self)
    for connection = 0, self.pool_size - 1 do
      is_busy = converse(self, connection) or is_busy
    end
  until not is_busy
end

--- The same up to a stream that is greeted: no operation goes out.
function Peer:greet()
  self:await_connect()
  self:connected()
  local greeting = #self.engine:next_write(0)
  while greeting > 0 do
    self:write(greeting)
    self:feed(serve(self, 0))
    -- What is left is the kill, or the first operation.
    greeting = self.engine:next_write(0):match("^%*4\r\n%$6\r\nCLIENT\r\n%$4\r\nKILL")
      and #self.engine:next_write(0) or 0
  end
end

--- Connects and greets all connections; nothing is queued afterwards.
function Peer:ready()
  for _ = 1, self.pool_size do self:submit { { "PING" } } end
  self:pump()
  for _, ended in ipairs(self:ends()) do assert(ended.replies[1] == "OK") end
  assert(self.engine:statistics().ready_connections == self.pool_size)
end

--- Lets time pass.
function Peer:pass(ms)
  self.now_ms = self.now_ms + ms
  self.engine:on_time(self.now_ms)
  assert(self.engine:validate())
end

--- All completions not pulled yet, in order; those without a code are taken.
-- @return list of { slot, code, message, attempts, elapsed_ms, replies }
function Peer:ends(...)
  local ends = {}
  while true do
    local slot, code, message, attempts, elapsed_ms = self.engine:next_completion()
    if not slot then return ends end
    local ended = {
      slot = slot, code = code, message = message, attempts = attempts,
      elapsed_ms = elapsed_ms,
    }
    if code then
      self.engine:release(slot)
    else
      ended.replies, ended.fault = self.engine:take(slot, ...)
    end
    assert(self.engine:validate())
    ends[#ends + 1] = ended
  end
end

--- The only completion there is.
function Peer:ended(...)
  local ends = self:ends(...)
  assert(#ends == 1, #ends .. " completions")
  return ends[1]
end

--- The codes of all completions, "ok" for none.
function Peer:codes()
  local codes = {}
  for i, ended in ipairs(self:ends()) do codes[i] = ended.code or "ok" end
  return codes
end

--- The commands after the last greeting: what the last stream of a connection, or the
-- newest of all when none is named, carried of operations.
function Peer:operations(connection)
  local operations = {}
  for _, command in ipairs(connection and self.carried[connection] or self.commands) do
    if command == "CLIENT ID" then
      operations = {}
    elseif command ~= "INFO server" and not command:find("^SCRIPT LOAD") then
      operations[#operations + 1] = command
    end
  end
  return operations
end

--- Forgets the commands that came so far.
function Peer:forget_commands()
  self.commands, self.carried = {}, {}
end

local function repeat_with(scenario, expected, options)
  local p = peer.new(options)
  local ok, result = pcall(scenario, p)
  local label = ("cut_in = %s, cut_out = %s"):format(tostring(options.cut_in),
    tostring(options.cut_out))
  if not ok then error(label .. ": " .. tostring(result), 0) end
  luassert.same(expected, result, label)
  p.engine:close()
end

--- Runs a scenario with all bytes as they come, and again with every cut.
-- @param scenario function of a peer; what it returns is compared
-- @return what the scenario returned
function peer.each_cut(scenario)
  local p = peer.new()
  local expected = scenario(p)
  p.engine:close()
  for at = 1, p.bytes_in - 1 do repeat_with(scenario, expected, { cut_in = at }) end
  for at = 1, p.bytes_out - 1 do repeat_with(scenario, expected, { cut_out = at }) end
  repeat_with(scenario, expected, { cut_in = "each" })
  repeat_with(scenario, expected, { cut_out = "each" })
  repeat_with(scenario, expected, { cut_in = "each", cut_out = "each" })
  return expected
end

return peer
