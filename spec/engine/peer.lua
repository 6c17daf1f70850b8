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
-- @module spec.engine.peer

local core = require "authstate.core"
local luassert = require "luassert"
local resp_client = require "spec.support.resp_client"

local CONFIG = {
  pool_size = 1,
  max_operations = 1000,
  max_queued_bytes = 1048576,
  max_value_bytes = 1048576,
  connect_timeout_ms = 500,
  health_timeout_ms = 10000,
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
    commands = {},     -- all that came whole, on all streams
    client_id = 0,     -- of the present stream; grows
    run_id = peer.run_id "a",
    answers = {},      -- first words of a command, or the first, to reply or function
  }, Peer)
end

function Peer:start(config)
  self.engine = assert(core.engine(peer.config(config)))
  return self.engine
end

--- Submits one operation and raises when it is refused.
-- @param options { deadline_ms, atomic }
function Peer:submit(commands, options)
  options = options or {}
  return assert(self.engine:submit(self.now_ms, options.deadline_ms or math.huge,
    options.atomic or false, commands))
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

local function default_answer(self, words)
  local first = words[1] .. " " .. (words[2] or "")
  if first == "CLIENT ID" then return (":%d\r\n"):format(self.client_id) end
  if first == "CLIENT KILL" then return ":1\r\n" end
  if first == "INFO server" then return peer.info(self.run_id) end
  if first == "SCRIPT LOAD" then return peer.bulk(("0"):rep(40)) end
  if words[1] == "ECHO" then return peer.bulk(words[2]) end
  return "+OK\r\n"
end

--- The reply to a command: from `answers`, or the default.
function Peer:answer(words)
  local answer = self.answers[table.concat(words, " ")]
    or self.answers[words[1] .. " " .. (words[2] or "")] or self.answers[words[1]]
  if type(answer) == "function" then answer = answer(words) end
  return answer or default_answer(self, words)
end

-- Takes the whole commands that came on the present stream; returns their replies.
local function serve(self)
  local replies = {}
  while true do
    local words, next_at = read_command(self.received, 1)
    if not words then return table.concat(replies) end
    self.received = self.received:sub(next_at)
    self.commands[#self.commands + 1] = table.concat(words, " ")
    replies[#replies + 1] = self:answer(words)
  end
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
function Peer:feed(bytes)
  in_parts(bytes, self.cut_in, self.bytes_in, function(part)
    self.engine:on_bytes(0, part, self.now_ms)
    assert(self.engine:validate())
  end)
  self.bytes_in = self.bytes_in + #bytes
end

-- Reports bytes of next_write as written; returns false when there are fewer.
local function take_bytes(self, count)
  local part = self.engine:next_write(0):sub(1, count)
  self.received = self.received .. part
  self.engine:on_written(0, #part, self.now_ms)
  assert(self.engine:validate())
end

--- The socket takes the next `count` bytes, or all.
function Peer:write(count)
  local bytes = self.engine:next_write(0):sub(1, count)
  in_parts(bytes, self.cut_out, self.bytes_out, function(part)
    take_bytes(self, #part)
  end)
  self.bytes_out = self.bytes_out + #bytes
  return #bytes
end

--- The connection that the engine asked for is there.
function Peer:connected()
  self.client_id = self.client_id + 1
  self.received = ""
  self.engine:on_connected(0, self.now_ms)
  assert(self.engine:validate())
end

--- The connection is gone.
function Peer:closed(reason)
  self.received = ""
  self.engine:on_closed(0, reason or "reset by peer", self.now_ms)
  assert(self.engine:validate())
end

--- What the engine asks for next: "connect", "close" or nil.
function Peer:action()
  return (self.engine:next_action())
end

-- Does one thing that the engine asks for.
local function act(self)
  local action = self:action()
  if action == "connect" then self:connected() end
  if action == "close" then self:closed("closed") end
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

--- Connects or closes as asked, takes all bytes and answers all commands, until nothing
-- is left to do.
function Peer:pump()
  repeat
    local acted = act(self)
    local written = self:write()
    local replies = self.received and serve(self) or ""
    self:feed(replies)
  until not acted and written == 0 and replies == ""
end

--- The same up to a stream that is greeted: no operation goes out.
function Peer:greet()
  self:await_connect()
  self:connected()
  local greeting = #self.engine:next_write(0)
  while greeting > 0 do
    self:write(greeting)
    self:feed(serve(self))
    -- What is left is the kill, or the first operation.
    greeting = self.engine:next_write(0):match("^%*4\r\n%$6\r\nCLIENT\r\n%$4\r\nKILL")
      and #self.engine:next_write(0) or 0
  end
end

--- Connects and greets; nothing is queued afterwards.
function Peer:ready()
  self:submit { { "PING" } }
  self:pump()
  assert(self:ended().replies[1] == "OK")
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

--- The commands after the last greeting: what the last stream carried of operations.
function Peer:operations()
  local operations = {}
  for _, command in ipairs(self.commands) do
    if command == "CLIENT ID" then
      operations = {}
    elseif command ~= "INFO server" and not command:find("^SCRIPT LOAD") then
      operations[#operations + 1] = command
    end
  end
  return operations
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
