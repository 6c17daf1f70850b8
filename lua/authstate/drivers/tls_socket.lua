-- SPDX-License-Identifier: MIT
--- A socket of somebody else's loop under TLS, with what is checked of the server as in
-- tls.lua. It has the methods of that socket which a driver uses: `send`, `receiveany`,
-- `close`. One light thread may send while another one receives.

local core = require "authstate.core"

local TlsSocket = { __name = "authstate.tls_socket" }
TlsSocket.__index = TlsSocket

local tls_socket = {}

-- Sends what the stream has to send. True; or nil and the reason.
local function push(self)
  while true do
    local bytes = self.stream:output(self.chunk_bytes)
    if #bytes == 0 then return true end
    local is_sent, reason = self.socket:send(bytes)
    if not is_sent then return nil, reason end
  end
end

local function lost_amid_handshake(reason)
  if reason == "closed" then reason = "the server closed the connection" end
  return "in the TLS handshake: " .. reason
end

local function shake_hands(self)
  local stream = self.stream
  while true do
    local is_done, reason = stream:handshake()
    local is_sent, failure = push(self) -- of a failure, too: it tells the server why
    if is_done == nil then return nil, reason end
    if not is_sent then return nil, lost_amid_handshake(failure) end
    if is_done then return true end
    local bytes
    bytes, failure = self.socket:receiveany(self.chunk_bytes)
    if not bytes then return nil, lost_amid_handshake(failure) end
    stream:feed(bytes)
  end
end

--- Puts a connected socket under TLS.
-- @param socket connected
-- @param tls see tls.new
-- @param host that was connected to
-- @param chunk_bytes how much is sent at once
-- @return what takes its place; or nil and the reason
function tls_socket.wrap(socket, tls, host, chunk_bytes)
  local stream, reason = core.tls_stream(tls, host)
  if not stream then return nil, reason end
  local self = setmetatable({
    socket = socket, stream = stream, chunk_bytes = chunk_bytes,
  }, TlsSocket)
  local is_done
  is_done, reason = shake_hands(self)
  if not is_done then return nil, reason end
  return self
end

--- As that of the socket.
function TlsSocket:send(bytes)
  while #bytes > 0 do
    local count, reason = self.stream:write(bytes)
    if not count then return nil, reason end
    local is_sent
    is_sent, reason = push(self)
    if not is_sent then return nil, reason end
    bytes = bytes:sub(count + 1)
  end
  return true
end

--- As that of the socket.
function TlsSocket:receiveany(most)
  while true do
    local bytes, reason = self.stream:read()
    if not bytes then return nil, reason end
    if #bytes > 0 then return bytes end
    bytes, reason = self.socket:receiveany(most)
    if not bytes then return nil, reason end
    self.stream:feed(bytes)
  end
end

--- What is in bytes that somebody else has received from the socket, before whatever
-- `receiveany` gives next.
-- @return bytes, "" for none yet; or nil and the reason
function TlsSocket:open(bytes)
  self.stream:feed(bytes)
  local parts = {}
  repeat
    local part, reason = self.stream:read()
    if not part then return nil, reason end
    parts[#parts + 1] = part
  until part == ""
  return table.concat(parts)
end

--- As that of the socket.
function TlsSocket:close()
  return self.socket:close()
end

return tls_socket
