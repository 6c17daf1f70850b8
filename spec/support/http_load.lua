-- SPDX-License-Identifier: MIT

--- Many HTTP clients at once, each with one request under way, on connections that are
-- kept. A request whose connection was closed before the first byte of an answer is sent
-- again on a new one, as HTTP clients do: a server may close a kept connection any time.
-- @module spec.support.http_load

local socket = require "socket"

local http_load = {}

local function connect(client)
  client.socket = assert(socket.connect("127.0.0.1", client.port))
  client.socket:settimeout(0)
  client.received = ""
end

local function send(client)
  client.began = client.began or socket.gettime()
  local sent = client.socket:send(client.text)
  return sent == #client.text
end

-- The first answer in what was received: status, body; nil when it is not whole.
local function parse(text)
  local head_end = text:find("\r\n\r\n", 1, true)
  if not head_end then return nil end
  local head = text:sub(1, head_end)
  local length = tonumber(head:match "[Cc]ontent%-[Ll]ength: (%d+)")
  assert(length, "an answer without a length: " .. head)
  if #text < head_end + 3 + length then return nil end
  local body = text:sub(head_end + 4, head_end + 3 + length)
  local is_last = head:find "[Cc]onnection: close" ~= nil
  return tonumber(head:match "^HTTP/1%.1 (%d+)"), body, is_last
end

local function begin(client, options)
  local method, path, body = options.request(client.number)
  client.text = ("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"):format(
    method, path, #(body or ""), body or "")
  client.began = nil
  while not send(client) do connect(client) end
end

-- Whether an answer has come.
local function receive(client, options)
  -- All of it is there when the other side has closed.
  local whole, reason, part = client.socket:receive "*a"
  client.received = client.received .. (whole or part or "")
  local status, body, is_last = parse(client.received)
  if status then
    local elapsed_ms = (socket.gettime() - client.began) * 1000
    options.answer(client.number, status, body, elapsed_ms)
    client.received = ""
    if is_last then
      client.socket:close()
      connect(client)
    end
    return true
  end
  if whole or reason == "closed" then
    client.socket:close()
    assert(client.received == "", "an answer was cut off")
    repeat connect(client) until send(client)
  end
  return false
end

--- Sends requests until told to stop, and waits for the last answers.
-- @tparam table options `port`, `clients` (how many), `request`: function(number of the
-- client) -> method, path, body; `answer`: function(number, status, body, elapsed_ms);
-- `goes_on`: function() -> boolean, asked all the time
function http_load.run(options)
  local clients, sockets = {}, {}
  for i = 1, options.clients do
    clients[i] = { number = i, port = options.port }
    connect(clients[i])
    begin(clients[i], options)
  end
  local waiting = options.clients
  while waiting > 0 do
    local goes_on, by_socket = options.goes_on(), {}
    for i = #sockets, 1, -1 do sockets[i] = nil end
    for _, client in ipairs(clients) do
      if not client.is_done then
        sockets[#sockets + 1] = client.socket
        by_socket[client.socket] = client
      end
    end
    for _, ready in ipairs((socket.select(sockets, nil, 0.05))) do
      local client = by_socket[ready]
      if receive(client, options) then
        if goes_on then
          begin(client, options)
        else
          client.is_done, waiting = true, waiting - 1
          client.socket:close()
        end
      end
    end
  end
end

return http_load
