-- SPDX-License-Identifier: MIT

--- A man in the middle between the code under test and a redis-server, who cuts, holds
-- and counts on command. It is a process of its own (`proxy_program.lua`), so it works
-- while the spec is blocked in a call; a spec gives its orders before that call.
--
-- "Request" bytes go from client to server, "reply" bytes from server to client.
-- @module spec.support.proxy

local unix = require "socket.unix"

local clock = require "spec.support.clock"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local ATTEMPTS = 5
local TIMEOUT_S = 10

local Proxy = { __name = "proxy" }
Proxy.__index = Proxy

local proxy = {}

local function escape(text)
  return (tostring(text):gsub("[^%w_.:/-]", function(char)
    return ("%%%02X"):format(char:byte())
  end))
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

--- Gives one order, and returns the fields of the answer. `accepted` lists the order's
-- options: a misspelt one would silently spoil a spec.
local function order(self, verb, options, accepted)
  local words = { verb }
  for name, value in pairs(options or {}) do
    if not (" " .. accepted .. " "):find(" " .. name .. " ", 1, true) then
      error(("proxy: %s has no option %s, only: %s"):format(verb, name, accepted), 3)
    end
    words[#words + 1] = name .. "=" .. escape(value)
  end
  assert(self.control:send(table.concat(words, " ") .. "\n"))
  local answer = assert(self.control:receive("*l"))
  if answer:sub(1, 2) ~= "ok" then
    error("proxy: " .. answer, 3)
  end
  local fields = {}
  for name, value in answer:gmatch("(%S+)=(%S*)") do
    fields[unescape(name)] = tonumber(unescape(value)) or unescape(value)
  end
  return fields
end

local function connect(path)
  local control = unix.stream()
  if control:connect(path) then
    control:settimeout(TIMEOUT_S)
    return control
  end
  control:close()
end

local function launch(options)
  local directory = temporary.directory()
  local control_path = directory .. "/control"
  local self = setmetatable({ directory = directory }, Proxy)
  if options.tcp then
    self.port = redis_server.free_port()
    self.url = "redis://127.0.0.1:" .. self.port
  else
    self.socket = directory .. "/proxy"
    self.url = "unix://" .. self.socket
  end
  local upstream = options.server or options.upstream
  self.process = process.start {
    os.getenv("LUAJIT") or "luajit", "spec/support/proxy_program.lua", control_path,
    self.socket or self.port, upstream.socket or upstream.port,
    env = { LD_PRELOAD = false },
  }
  clock.wait_for(function()
    self.control = connect(control_path)
    return self.control or not self.process:alive()
  end)
  return self
end

--- Starts a proxy. It passes everything until told otherwise.
--
-- The fields `url`, and `socket` or `port`, may be read.
-- @tparam table options `server` (from `redis_server.start`, or any table with `socket`
-- or `port`), `tcp` (default false: a unix socket; true: a port of 127.0.0.1), `count`
-- (a byte string, or a list of them, as for `Proxy:count`)
-- @treturn Proxy
function proxy.start(options)
  local self
  for _ = 1, ATTEMPTS do
    self = launch(options)
    if self.control then
      break
    end
  end
  if not self.control then
    error("the proxy did not start: " .. self.process:errors(), 2)
  end
  local count = options.count or {}
  for _, text in ipairs(type(count) == "table" and count or { count }) do
    self:count(text)
  end
  return self
end

--- Cuts one connection after `after_bytes` further bytes of requests: exactly these are
-- handed to the server, nothing that the server answers from then on reaches the client,
-- and both sides are closed. A later cut order replaces one that is still waiting.
-- Afterwards everything passes again.
-- @tparam table options
--
-- - `after_bytes`: counted from now on, or from the first byte of `from`
-- - `from`: byte string to wait for in the requests, such as `EVALSHA`. It must not begin
--   with a line break: the proxy keeps back what may be its beginning
-- - `connection`: only the k-th connection since the start; default the first one that
--   sends something (that sends `from`)
-- - `sent`: only one that has sent this byte string before, which must be counted (see
--   `start`)
-- - `settle_ms` (default 0): time between the last byte and the cut, for the server to
--   carry out what it got
-- - `how`: `fin` (default) or `rst`. A unix socket knows no RST: there the client sees
--   ECONNRESET only when the proxy closes with something unread
function Proxy:cut_request(options)
  order(self, "cut_request", options, "after_bytes from connection sent settle_ms how")
end

--- Cuts one connection after `after_bytes` further bytes of replies, but not before the
-- server has replied at least one byte: requests pass whole.
-- @tparam table options as for `cut_request`. `from` is looked for in the requests, and
-- what the server answers after it passed is counted; `reply_from` is looked for in the
-- replies, and counting begins with its first byte
function Proxy:cut_reply(options)
  order(self, "cut_reply", options,
    "after_bytes from reply_from connection sent settle_ms how")
end

--- Closes all connections now.
-- @tparam[opt] table options `how`; `sent`: only those that have sent this byte string,
-- which must be counted (see `start`)
function Proxy:cut(options)
  order(self, "cut", options, "how sent")
end

--- Loses the clients of all connections now, as a broken line does: they see it closed,
-- the server does not. What they have sent and the server has not got (see `hold`)
-- arrives there later, unless the server closes the connection before.
-- @tparam table options `late_ms`: how much later
function Proxy:lose(options)
  order(self, "lose", options, "late_ms")
end

--- Accepts connections but passes nothing on; what arrives waits. May be called again for
-- other connections.
-- @tparam[opt] table options `direction`: hold only `request` or `reply` bytes; `sent`:
-- only those of connections that have sent this byte string, before or later, which must
-- be counted (see `start`)
function Proxy:hold(options)
  order(self, "hold", options, "direction sent")
end

--- What was held goes on.
-- @tparam[opt] table options `sent`, as it was given to `hold`
function Proxy:release(options)
  order(self, "release", options, "sent")
end

--- From now on hands the server other requests than were sent: `to` in the place of each
-- `from`, until `pass`.
-- @tparam table options `from`, `to`: byte strings
function Proxy:replace(options)
  order(self, "replace", options, "from to")
end

--- Back to the beginning: what was held goes on, no delay, no waiting cut, nothing is
-- replaced, new connections are accepted.
function Proxy:pass()
  order(self, "pass")
end

--- Lets every piece arrive this much later.
-- @tparam number delay_ms
-- @tparam[opt] table options `direction`: `request`, `reply` (default) or `both`
function Proxy:delay(delay_ms, options)
  order(self, "delay", {
    delay_ms = delay_ms, direction = (options or {}).direction,
  }, "delay_ms direction")
end

--- Stops listening: a new connection gets ECONNREFUSED. Open connections stay.
function Proxy:refuse()
  order(self, "refuse")
end

--- Begins to count how many times a byte string is handed to the server, whole.
-- @tparam string text
function Proxy:count(text)
  order(self, "count", { text = text }, "text")
end

--- What has happened so far.
-- @treturn table `connections` (accepted since the start), `open`, `cuts`,
-- `request_bytes`, `reply_bytes` (handed on), `waiting` (1 while a cut order waits, else
-- 0), and `counts`: byte string to times
function Proxy:stats()
  local fields = order(self, "stats")
  local stats = { counts = {} }
  for name, value in pairs(fields) do
    local text = name:match("^count:(.*)$")
    if text then
      stats.counts[text] = value
    else
      stats[name] = value
    end
  end
  return stats
end

--- Ends the proxy: its connections are closed and nobody listens any more.
function Proxy:stop()
  self.control:close()
  self.process:kill()
end

return proxy
