-- SPDX-License-Identifier: MIT
--- A model of Redis, as far as authstate asks it: one thread that does the requests of
-- its clients one after the other, when they come. It knows its data, its scripts, its
-- clients and its run; restarts keep the data, as `appendfsync always` does. What it
-- changed stands in `log`, for who judges a run.
--
-- A condition is what a real server refuses commands for: "loading", "readonly", "oom",
-- "disk", "busy".

local commands = require "authstate.sim.commands"
local keyspace = require "authstate.sim.keyspace"
local resp = require "authstate.sim.resp"
local sandbox = require "authstate.sim.sandbox"

local Server = { __name = "authstate.sim.server" }
Server.__index = Server

local server = {}

local OK, QUEUED = { ok = "OK" }, { ok = "QUEUED" }
local NO_SCRIPT = { err = "NOSCRIPT No matching script. Please use EVAL." }
local NO_INTEGER = { err = "ERR value is not an integer or out of range" }
local ABORTED = {
  err = "EXECABORT Transaction discarded because of previous errors.",
}

local DATABASES = 16

-- What a condition lets through, and what it says.
local LOADING = { err = "LOADING Redis is loading the dataset in memory" }
local BUSY = {
  err = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN "
    .. "NOSAVE.",
}
local READONLY = { err = "READONLY You can't write against a read only replica." }
local OOM = { err = "OOM command not allowed when used memory > 'maxmemory'." }
local DISK = {
  err = "MISCONF Errors writing to the AOF file: No space left on device",
}
local DURING_LOADING = {
  auth = true, hello = true, select = true, client = true, info = true, multi = true,
  exec = true, discard = true, time = true, subscribe = true,
}
local DURING_BUSY = { auth = true, hello = true, multi = true, discard = true }

--- @param options { now_ms = function (the server's time, Unix epoch), random =
--   function(n) -> string of n bytes, password = string or nil, on_kill =
--   function(client): it is closed by the server, on_push = function(client, message,
--   key): a message for a subscriber, for all keys without one }
function server.new(options)
  local self = setmetatable({
    now_ms = options.now_ms, random = options.random, password = options.password,
    on_kill = options.on_kill or function() end,
    on_push = options.on_push or function() end,
    watched = {}, -- by key: the ids of clients who have read it { [id] = true }
    databases = {}, log = {}, clients = {}, condition = nil,
    refuses_kill = false, refused_kills = 0, -- how often
    unit = nil, -- the changes of what runs
  }, Server)
  local function note(key, field, value)
    local unit = self.unit
    unit[#unit + 1] = { key = key, field = field, value = value }
    if not unit.is_flush then self:invalidate(key) end
  end
  for number = 0, DATABASES - 1 do
    self.databases[number] = keyspace.new(function() return self.at_ms end, note)
  end
  self.sandbox = sandbox.new(function(request) return self:call_from_script(request) end)
  self:begin_run()
  return self
end

--- Begins a new run: the data stays; scripts, clients and their numbers do not.
function Server:begin_run()
  for _, client in pairs(self.clients) do client.is_dead = true end
  self.clients, self.last_id, self.condition, self.watched = {}, 0, nil, {}
  self.run_id = self.random(20):gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end)
  self.sandbox:flush()
end

--- A client has come.
function Server:accept()
  self.last_id = self.last_id + 1
  local client = {
    id = self.last_id, input = "", database = 0, is_dead = false,
    is_known = self.password == nil,
    queue = nil, -- requests between MULTI and EXEC
  }
  self.clients[client.id] = client
  return client
end

--- A client has gone.
function Server:disconnect(client)
  client.is_dead = true
  if self.clients[client.id] == client then self.clients[client.id] = nil end
end

-- ---- who watches what ---------------------------------------------------------------

local CHANNEL = "__redis__:invalidate"

local function sorted_ids(set)
  local ids = {}
  for id in pairs(set) do ids[#ids + 1] = id end
  table.sort(ids)
  return ids
end

-- Tells the subscriber of a client that tracks; one that is gone is not told.
local function push(self, client, keys)
  local subscriber = self.clients[client.redirect]
  if not subscriber or not subscriber.is_subscribed then return end
  self.on_push(subscriber, { "message", CHANNEL, keys or false }, keys and keys[1])
end

--- A key has changed: tells those who have read it, but for who changes it and has said
-- NOLOOP, and forgets that they have.
function Server:invalidate(key)
  local watching = self.watched[key]
  if not watching then return end
  self.watched[key] = nil
  for _, id in ipairs(sorted_ids(watching)) do
    local client = self.clients[id]
    local is_told = client and (client ~= self.current or not client.is_noloop)
    if is_told and client.redirect then push(self, client, { key }) end
  end
end

--- All keys are gone.
function Server:invalidate_all()
  self.watched = {}
  for _, id in ipairs(sorted_ids(self.clients)) do
    if self.clients[id].redirect then push(self, self.clients[id]) end
  end
end

local function watch(self, key)
  local watching = self.watched[key] or {}
  self.watched[key], watching[self.current.id] = watching, true
end

local WITHOUT_KEY = {
  scan = true, dbsize = true, ping = true, echo = true, time = true, memory = true,
}

-- A client that tracks has read what a command reads, also in a script.
local function note_reading(self, command, request)
  if not self.current.redirect or command.writes or WITHOUT_KEY[command.name] then
    return
  end
  local last = command.name == "exists" and #request or 2
  for i = 2, last do watch(self, request[i]) end
end

-- ---- what runs as one -------------------------------------------------------------

-- Time stands still while something runs.
local function begin_unit(self)
  self.at_ms, self.unit = self.now_ms(), {}
end

local function end_unit(self, client)
  if self.unit[1] or self.unit.is_flush then
    self.log[#self.log + 1] = {
      at_ms = self.at_ms, client = client.id, changes = self.unit,
      is_flush = self.unit.is_flush,
    }
  end
  self.unit = nil
end

-- ---- refusals ---------------------------------------------------------------------

-- Not queued by MULTI.
local AT_ONCE = { exec = true, discard = true, multi = true }

-- What the condition says to a command, nil when it lets it through. What is queued needs
-- memory.
local function refuse(self, command, client)
  local condition, name = self.condition, command.name
  if condition == "loading" and not DURING_LOADING[name] then return LOADING end
  if condition == "busy" and not DURING_BUSY[name] then return BUSY end
  if condition == "readonly" and command.writes then return READONLY end
  local is_queued = client and client.queue and not AT_ONCE[name]
  if condition == "oom" and (command.needs_memory or is_queued) then return OOM end
  if condition == "disk" and (command.writes or name == "ping") then return DISK end
end

-- ---- scripts ----------------------------------------------------------------------

local NOT_IN_SCRIPTS = { multi = true, exec = true, client = true, eval = true }

--- Does a command for the script that runs.
function Server:call_from_script(request)
  local command, wrong = commands.find(request)
  if not command then
    if NOT_IN_SCRIPTS[request[1]:lower()] then
      return { err = "ERR This Redis command is not allowed from script" }
    end
    return { err = "ERR Unknown Redis command called from script" }
  end
  if wrong then
    return { err = "ERR Wrong number of args calling Redis command from script" }
  end
  if self.is_old_script then
    wrong = refuse(self, command)
    if wrong then return wrong end
  end
  local reply = command.run(self.databases[self.script_database], request)
  note_reading(self, command, request)
  return reply
end

local function run_script(self, client, script, request)
  local count = tonumber(request[3]:match "^%-?%d+$")
  if not count then return NO_INTEGER end
  if count > #request - 3 then
    return { err = "ERR Number of keys can't be greater than number of args" }
  elseif count < 0 then
    return { err = "ERR Number of keys can't be negative" }
  end
  local keys, arguments = {}, {}
  for i = 4, 3 + count do keys[i - 3] = request[i] end
  for i = 4 + count, #request do arguments[i - 3 - count] = request[i] end
  self.script_database, self.is_old_script = client.database, script.flags == nil
  return self.sandbox:run(script, keys, arguments)
end

-- ---- commands of connections ------------------------------------------------------

local connection_commands = {}

local function unknown_subcommand(request)
  return {
    err = ("ERR unknown subcommand '%s'. Try %s HELP."):format(request[2],
      request[1]:upper()),
  }
end

function connection_commands.auth(self, client, request)
  local user = request[3] and request[2] or "default"
  if not self.password and not request[3] then
    return {
      err = "ERR AUTH <password> called without any password configured for the default "
        .. "user. Are you sure your configuration is correct?",
    }
  end
  local is_right = user == "default" and
    (not self.password or request[#request] == self.password)
  if not is_right then
    return { err = "WRONGPASS invalid username-password pair or user is disabled." }
  end
  client.is_known = true
  return OK
end

function connection_commands.select(_, client, request)
  local number = tonumber(request[2]:match "^%-?%d+$")
  if not number then return NO_INTEGER end
  if number < 0 or number >= DATABASES then
    return { err = "ERR DB index is out of range" }
  end
  client.database = number
  return OK
end

function connection_commands.info(self)
  return ("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:%s\r\n")
    :format(self.run_id)
end

local client_subcommands = {}

function client_subcommands.id(_, client)
  return client.id
end

function client_subcommands.setname(_, client, request)
  client.name = request[3]
  return OK
end

function client_subcommands.getname(_, client)
  return client.name or false
end

function client_subcommands.tracking(self, client, request)
  local words = {}
  for i = 3, #request do words[i] = request[i]:lower() end
  if words[3] == "off" then
    client.redirect, client.is_noloop = nil, false
    return OK
  end
  local id = tonumber(words[5])
  local is_noloop = words[6] == "noloop"
  if words[3] ~= "on" or words[4] ~= "redirect" or not id or words[6] and not is_noloop
  then
    return { err = "ERR syntax error" } -- which authstate never says
  end
  if not self.clients[id] then
    return { err = "ERR The client ID you want redirect to does not exist" }
  end
  client.redirect, client.is_noloop = id, is_noloop
  return OK
end

function client_subcommands.trackinginfo(self, client)
  local flags = { client.redirect and "on" or "off" }
  if client.is_noloop then flags[2] = "noloop" end
  if client.redirect and not self.clients[client.redirect] then
    flags[3] = "broken_redirect"
  end
  return { "flags", flags, "redirect", client.redirect or -1, "prefixes", {} }
end

-- Only by ID; nobody ends itself.
function client_subcommands.kill(self, client, request)
  if self.refuses_kill then
    self.refused_kills = self.refused_kills + 1
    return {
      err = "NOPERM this user has no permissions to run the 'client|kill' command",
    }
  end
  if #request ~= 4 or request[3]:lower() ~= "id" then
    return { err = "ERR syntax error" }
  end
  local id = tonumber(request[4]:match "^%d+$")
  if not id or id == 0 then return { err = "ERR client-id should be greater than 0" } end
  local victim = self.clients[id]
  if not victim or victim == client then return 0 end
  self:disconnect(victim)
  self.on_kill(victim)
  return 1
end

function connection_commands.client(self, client, request)
  local run = client_subcommands[request[2]:lower()]
  return run and run(self, client, request) or unknown_subcommand(request)
end

function connection_commands.subscribe(_, client, request)
  client.is_subscribed = true
  return { "subscribe", request[2], 1 }
end

local script_subcommands = {}

function script_subcommands.load(self, _, request)
  if #request ~= 3 then return commands.wrong_arity "script|load" end
  local digest, wrong = self.sandbox:load(request[3])
  return digest or wrong
end

function script_subcommands.exists(self, _, request)
  local list = {}
  for i = 3, #request do list[i - 2] = self.sandbox:find(request[i]) and 1 or 0 end
  return list
end

function script_subcommands.flush(self)
  self.sandbox:flush()
  return OK
end

function connection_commands.script(self, client, request)
  local run = script_subcommands[request[2]:lower()]
  return run and run(self, client, request) or unknown_subcommand(request)
end

function connection_commands.eval(self, client, request)
  local digest, wrong = self.sandbox:load(request[2])
  if not digest then return wrong end
  return run_script(self, client, self.sandbox:find(digest), request)
end

function connection_commands.evalsha(self, client, request)
  local script = self.sandbox:find(request[2])
  return script and run_script(self, client, script, request) or NO_SCRIPT
end

-- RESP2 only, which is what clients of this model speak.
function connection_commands.hello(self, client, request)
  if request[2] and request[2] ~= "2" then
    return { err = "NOPROTO unsupported protocol version" }
  end
  if not client.is_known then
    return { err = "NOAUTH HELLO must be called with the client already authenticated" }
  end
  return {
    "server", "redis", "version", "7.0.15", "proto", 2, "id", client.id, "mode",
    "standalone", "role", self.condition == "readonly" and "replica" or "master",
    "modules", {},
  }
end

local ARITY = {
  auth = -2, select = 2, info = -1, client = -2, script = -2, eval = -3, evalsha = -3,
  hello = -1, multi = 1, exec = 1, discard = 1, subscribe = 2,
}

-- ---- transactions -----------------------------------------------------------------

local execute

function connection_commands.multi(_, client)
  if client.queue then return { err = "ERR MULTI calls can not be nested" } end
  client.queue, client.has_wrong = {}, false
  return OK
end

function connection_commands.discard(_, client)
  if not client.queue then return { err = "ERR DISCARD without MULTI" } end
  client.queue = nil
  return OK
end

local function because_of(refused)
  return { err = "EXECABORT Transaction discarded because of: " .. refused.err }
end

function connection_commands.exec(self, client)
  local queue = client.queue
  if not queue then return { err = "ERR EXEC without MULTI" } end
  client.queue = nil
  if client.has_wrong then return ABORTED end
  for _, each in ipairs(queue) do
    local refused = refuse(self, each.command)
    if refused then return because_of(refused) end
  end
  local replies = {}
  for i, each in ipairs(queue) do
    replies[i] = execute(self, client, each.command, each.request)
  end
  return replies
end

-- ---- requests ---------------------------------------------------------------------

-- What the script of a request says that it does: a set, nil when it does not say.
local function script_flags(self, name, request)
  if name == "eval" then return sandbox.flags(request[2] or "") end
  local script = name == "evalsha" and self.sandbox:find(request[2] or "")
  return script and script.flags
end

local function find_command(self, request)
  local name = request[1]:lower()
  local arity, count = ARITY[name], #request
  if not arity then return commands.find(request) end
  local is_right = arity < 0 and count >= -arity or count == arity
  local flags = script_flags(self, name, request)
  local writes = flags and not flags["no-writes"]
  return {
    name = name, run_here = connection_commands[name], writes = writes,
    needs_memory = writes and not flags["allow-oom"],
  }, not is_right and commands.wrong_arity(name) or nil
end

local function unknown_command(request)
  local words = {}
  for i = 2, #request do
    words[i - 1] = ("'%s' "):format((request[i]:gsub("%z.*", "")))
  end
  return {
    err = ("ERR unknown command '%s', with args beginning with: %s"):format(
      request[1]:sub(1, 128), (table.concat(words):sub(1, 128):gsub("[\r\n]", " "))),
  }
end

function execute(self, client, command, request)
  if command.run_here then return command.run_here(self, client, request) end
  local is_flush = command.name == "flushall"
  if is_flush then self.unit.is_flush = true end -- keys are not told one by one
  local reply = command.run(self.databases[client.database], request)
  note_reading(self, command, request)
  if is_flush then self:invalidate_all() end
  return reply
end

-- A subscriber is answered in the form of messages.
local function answer_subscriber(request)
  local name = request[1]:lower()
  if name == "ping" then return { "pong", "" } end
  return {
    err = ("ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT "
      .. "/ RESET are allowed in this context"):format(name),
  }
end

local function answer(self, client, request)
  local command, wrong = find_command(self, request)
  if not command then wrong = unknown_command(request) end
  if not wrong and not client.is_known and not DURING_BUSY[command.name] then
    wrong = { err = "NOAUTH Authentication required." }
  end
  wrong = wrong or refuse(self, command, client)
  if wrong and command and command.name == "exec" and client.queue then
    client.queue = nil
    return because_of(wrong)
  elseif wrong then
    client.has_wrong = true
    return wrong
  end
  if client.queue and not AT_ONCE[command.name] then
    table.insert(client.queue, { command = command, request = request })
    return QUEUED
  end
  if client.is_subscribed then return answer_subscriber(request) end
  return execute(self, client, command, request)
end

--- Does one request of a client.
-- @param client see `accept`
-- @param request list of strings
-- @return reply, as in resp.lua
function Server:request(client, request)
  begin_unit(self)
  self.current = client
  local reply = answer(self, client, request)
  self.current = nil
  end_unit(self, client)
  return reply
end

--- Somebody empties the server.
function Server:flush_all()
  self:request({ id = 0, database = 0, is_known = true }, { "FLUSHALL" })
end

--- Bytes of a client have come: does the requests that are whole now.
-- @return list of the bytes of their replies, each whole
function Server:receive(client, bytes)
  local input, at, replies = client.input .. bytes, 1, {}
  while not client.is_dead do
    local request, place = resp.parse(input, at)
    if request == nil then break end
    if request == false then
      replies[#replies + 1] = "-ERR Protocol error: " .. place .. "\r\n"
      self:disconnect(client)
      self.on_kill(client)
      break
    end
    at = place
    if request[1] then
      replies[#replies + 1] = resp.encode(self:request(client, request))
    end
  end
  client.input = input:sub(at)
  return replies
end

return server
