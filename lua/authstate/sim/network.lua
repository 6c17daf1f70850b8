-- SPDX-License-Identifier: MIT
--- A network between engines and the model of Redis. Bytes of a connection come in order
-- and in pieces, each after a while; what else may happen to them is asked of `faults`.
--
-- A stream is a connection of one life. It ends on each side for itself: what its client
-- has sent may come long after the client has gone, and the server does what has come
-- whole, unless the stream was ended there (CLIENT KILL, a restart).

local resp = require "authstate.sim.resp"

local Network = { __name = "authstate.sim.network" }
Network.__index = Network

local network = {}

-- How late bytes of a connection may come after its client has gone.
local LATEST_MS = 30000

--- @param loop see loop.lua; its network is this one from now on
-- @param server see server.lua
-- @param faults see faults.lua
function network.new(loop, server, faults)
  local self = setmetatable({
    loop = loop, server = server, faults = faults, streams = {},
    is_down = false,      -- nobody listens
    stalled_until_ms = 0, -- the server does nothing
    late = 0,             -- pieces on their way whose client has gone
    stream_count = 0,
    -- What a watcher is told: a push of a key has come whole to an engine, and made at a
    -- position; a stream has ended for an engine.
    on_told = function() end, on_lost = function() end,
  }, Network)
  loop.network = self
  server.on_kill = function(client) self:on_kill(client) end
  server.on_push = function(client, message, key) self:push(client, message, key) end
  return self
end

--- An engine has come.
function Network:open(member)
  self.streams[member] = {}
  member.last_connection = -1
end

--- The streams of all engines whose client is there.
function Network:open_streams()
  local list = {}
  for _, member in ipairs(self.loop.members) do
    for _, stream in pairs(self.streams[member]) do list[#list + 1] = stream end
  end
  table.sort(list, function(a, b) return a.number < b.number end)
  return list
end

-- ---- to the server -----------------------------------------------------------------

-- When a piece that is sent now comes: never before the one ahead of it.
local function arrival_ms(self, stream, last_ms)
  local at_ms = self.loop.now_ms + self.faults:delay_ms()
  return math.max(at_ms, last_ms, stream.held_until_ms)
end

-- Sends a piece, or `false` for the end, in one direction: a list whose first one is
-- taken whenever something comes, so that their order stays when all have to wait.
local function post(self, stream, way, piece)
  way.at_ms = arrival_ms(self, stream, way.at_ms)
  way[#way + 1] = piece
  self.loop:after(way.at_ms - self.loop.now_ms, way.take, self, stream)
end

local function end_at_server(self, stream)
  if stream.client then self.server:disconnect(stream.client) end
end

local function answer(self, stream, bytes)
  for _, reply in ipairs(self.server:receive(stream.client, bytes)) do
    self:reply(stream, self.faults:spoil(reply))
  end
end

-- A piece has come to the server.
local function take_piece(self, stream)
  local until_ms = math.max(self.stalled_until_ms, stream.held_until_ms)
  if until_ms > self.loop.now_ms then
    self.loop:after(until_ms - self.loop.now_ms, take_piece, self, stream)
    return
  end
  local piece = table.remove(stream.up, 1)
  if piece == nil then return end -- it came when the network was healed
  if stream.is_late then self.late = self.late - 1 end
  if not stream.client or stream.client.is_dead then return end
  if piece then answer(self, stream, piece) else end_at_server(self, stream) end
end

-- Sends bytes on, cut into pieces.
local function transmit(self, stream, bytes)
  for _, piece in ipairs(self.faults:cut(bytes)) do
    post(self, stream, stream.up, piece)
  end
end

local function go_on_sending(self, stream)
  stream.is_full = false
  if stream.is_open then self:send_stream(stream) end
end

--- Takes what an engine wants to send on a stream.
function Network:send_stream(stream)
  local engine = stream.member.engine
  while stream.is_open and not stream.is_full do
    local bytes = engine:next_write(stream.connection)
    if bytes == "" then return end
    local count, wait_ms = self.faults:accept(#bytes)
    engine:on_written(stream.connection, count, self.loop.now_ms)
    transmit(self, stream, bytes:sub(1, count))
    if wait_ms then
      stream.is_full = true
      self.loop:after(wait_ms, go_on_sending, self, stream)
    end
  end
end

--- The same on all streams of an engine.
function Network:send(member)
  local streams = self.streams[member]
  for connection = 0, member.last_connection do
    if streams[connection] then self:send_stream(streams[connection]) end
  end
end

-- ---- to the client -----------------------------------------------------------------

-- A piece has come to the client.
local function give_piece(self, stream)
  local wait_ms = stream.held_until_ms - self.loop.now_ms
  if wait_ms > 0 then
    self.loop:after(wait_ms, give_piece, self, stream)
    return
  end
  local piece = table.remove(stream.down, 1)
  if piece == nil then return end
  if not stream.is_open then
    return
  elseif type(piece) == "table" then
    self.on_told(stream.member.engine, piece.key, piece.position)
  elseif piece then
    stream.member.engine:on_bytes(stream.connection, piece, self.loop.now_ms)
  else
    self:break_stream(stream, "closed by the server")
  end
end

--- Sends the bytes of a reply.
function Network:reply(stream, bytes)
  for _, piece in ipairs(self.faults:cut(bytes)) do
    post(self, stream, stream.down, piece)
  end
end

--- Sends a message of the server's own, and behind its last byte a mark for who watches.
function Network:push(client, message, key)
  self:reply(client.stream, resp.encode(message))
  local stream = client.stream
  post(self, stream, stream.down, { key = key, position = #self.server.log + 1 })
end

-- The server has ended a stream: what it has answered comes before.
local function end_at_client(self, stream)
  post(self, stream, stream.down, false)
end

--- The server ends the connection of a client.
function Network:on_kill(client)
  if client.stream then end_at_client(self, client.stream) end
end

-- ---- beginning and end -------------------------------------------------------------

local function finish_connecting(self, stream)
  if not stream.is_open then return end
  local wait_ms = stream.held_until_ms - self.loop.now_ms
  if wait_ms > 0 then
    self.loop:after(wait_ms, finish_connecting, self, stream)
  elseif self.is_down then
    self:break_stream(stream, "connection refused")
  else
    stream.client = self.server:accept()
    stream.client.stream = stream
    stream.is_connected = true
    stream.member.engine:on_connected(stream.connection, self.loop.now_ms)
  end
end

--- An engine wants a connection.
function Network:connect(member, connection)
  self.stream_count = self.stream_count + 1
  member.last_connection = math.max(member.last_connection, connection)
  local stream = {
    number = self.stream_count, member = member, connection = connection, is_open = true,
    held_until_ms = 0, up = { at_ms = 0, take = take_piece },
    down = { at_ms = 0, take = give_piece },
  }
  self.streams[member][connection] = stream
  self.loop:after(self.faults:delay_ms(), finish_connecting, self, stream)
end

-- The client's side of a stream is no more. What is on its way comes in time, late or not
-- at all.
local function abandon(self, stream)
  local streams = self.streams[stream.member]
  if streams[stream.connection] == stream then streams[stream.connection] = nil end
  stream.is_open = false
  if stream.is_connected then
    self.on_lost(stream.member.engine, stream.connection, #self.server.log)
  end
  local fate, late_ms = self.faults:fate()
  if fate == "lost" then
    end_at_server(self, stream)
    return
  elseif fate == "late" then
    stream.held_until_ms = math.max(stream.held_until_ms, self.loop.now_ms + late_ms)
  end
  stream.held_until_ms = math.min(stream.held_until_ms, self.loop.now_ms + LATEST_MS)
  stream.is_late = true
  self.late = self.late + #stream.up + 1
  post(self, stream, stream.up, false)
end

--- A stream breaks: the client is told, the server not yet.
function Network:break_stream(stream, reason)
  if not stream.is_open then return end
  abandon(self, stream)
  self.loop:lose(stream.member, stream.connection, reason)
end

--- An engine closes a connection.
function Network:close(member, connection)
  local stream = self.streams[member][connection]
  if stream then abandon(self, stream) end
end

--- An engine has gone, and its sockets with it.
function Network:leave(member)
  for _, stream in pairs(self.streams[member]) do abandon(self, stream) end
  self.streams[member] = nil
end

--- Both sides of a stream hear nothing of each other for a while.
function Network:hold(stream, duration_ms)
  stream.held_until_ms = math.max(stream.held_until_ms, self.loop.now_ms + duration_ms)
end

-- What is on its way comes now.
local function hurry(self, stream, way)
  way.at_ms = self.loop.now_ms
  for _ = 1, #way do self.loop:after(0, way.take, self, stream) end
end

--- Streams that are silent are so no longer.
function Network:heal()
  for _, stream in ipairs(self:open_streams()) do
    stream.held_until_ms = 0
    hurry(self, stream, stream.up)
    hurry(self, stream, stream.down)
  end
end

--- Whether the server can be reached and does what it is told.
function Network:is_well()
  return not self.is_down and not self.server.condition and
    self.stalled_until_ms <= self.loop.now_ms
end

--- The server does nothing for a while; what comes waits.
function Network:stall(duration_ms)
  self.stalled_until_ms = math.max(self.stalled_until_ms, self.loop.now_ms + duration_ms)
end

local function come_up(self, condition_ms)
  self.is_down = false
  self.server:begin_run()
  if condition_ms > 0 then
    self.server.condition = "loading"
    self.loop:after(condition_ms, function(run_id)
      if self.server.run_id == run_id and self.server.condition == "loading" then
        self.server.condition = nil
      end
    end, self.server.run_id)
  end
end

--- The server ends and begins a new run.
-- @param down_ms how long nobody listens
-- @param loading_ms how long it reads its data then
function Network:restart(down_ms, loading_ms)
  if self.is_down then return end
  self.is_down = true
  for _, stream in ipairs(self:open_streams()) do
    if stream.client then
      self.server:disconnect(stream.client)
      end_at_client(self, stream)
    end
  end
  self.server:begin_run()
  self.loop:after(down_ms, come_up, self, loading_ms)
end

return network
