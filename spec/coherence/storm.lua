-- SPDX-License-Identifier: MIT

--- Three processes on one real server, and faults: two programs with stores that have
-- near caches (one straight at the server, one behind a proxy), and a writer that knows
-- nothing of authstate. What they print, and the server's append-only file, is the
-- history that `judge` judges.
-- @module spec.coherence.storm

local clock = require "spec.support.clock"
local monotonic = require "spec.coherence.monotonic"
local process = require "spec.support.process"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local records = require "spec.coherence.records"
local redis_server = require "spec.support.redis_server"
local server_order = require "spec.coherence.server_order"

local storm = {}

--- How long after a change something may still be read that it has replaced, whatever
-- becomes of connections: a second between two checks (doc/cache.md), and what a task may
-- go on without looking (see reader_program.lua).
storm.BOUND_MS = 1010

local CONFIG = {
  appendonly = "yes", appendfsync = "always", ["auto-aof-rewrite-percentage"] = "0",
}

-- Long enough for who is cut off to come back and fill its cache.
local SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS = 100, 400

local PROCESSES = { "direct", "behind", "writer" }

-- ---- faults ---------------------------------------------------------------------------

local faults = {}

faults["subscribers cut"] = function(self)
  self.server:command("CLIENT", "KILL", "TYPE", "pubsub")
end

faults["connections cut"] = function(self)
  self.server:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
end

faults["behind a proxy: cut"] = function(self)
  self.proxy:cut {}
end

faults["behind a proxy: a subscriber that hears nothing"] = function(self)
  self.proxy:hold { direction = "reply", sent = "SUBSCRIBE" }
  clock.sleep(self.dice:integer(300, 2200))
  self.proxy:pass()
end

faults["behind a proxy: answers that wait"] = function(self)
  self.proxy:hold { direction = "reply", sent = "TRACKING" }
  clock.sleep(self.dice:integer(20, 200))
  self.proxy:pass()
end

faults["FLUSHALL"] = function(self)
  self.server:command "FLUSHALL"
end

faults["the server killed, and started again"] = function(self)
  self.server:kill()
  clock.sleep(self.dice:integer(0, 50))
  self.server:restart()
end

faults["the server stopped for a while"] = function(self)
  self.server:pause()
  clock.sleep(self.dice:integer(200, 1500))
  self.server:resume()
end

local function stop_for_a_while(self, name)
  self.processes[name]:signal "STOP"
  clock.sleep(self.dice:integer(100, 1300))
  self.processes[name]:signal "CONT"
end

faults["a program stopped for a while"] = function(self)
  stop_for_a_while(self, "direct")
end

faults["behind a proxy: a program stopped for a while"] = function(self)
  stop_for_a_while(self, "behind")
end

faults["nothing"] = function(self)
  clock.sleep(self.dice:integer(100, 500))
end

local function fault_names()
  local names = {}
  for name in pairs(faults) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Faults in any order, each as often as the others.
local function do_harm(self, chosen, end_ms)
  local deck = {}
  while monotonic.now_ms() < end_ms do
    clock.sleep(self.dice:integer(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS))
    if not deck[1] then
      deck = chosen and { unpack(chosen) } or fault_names()
      self.dice:shuffle(deck)
    end
    local name = table.remove(deck)
    table.insert(self.log, ("%.3f %s"):format(monotonic.now_ms(), name))
    faults[name](self)
    self.faults[name] = (self.faults[name] or 0) + 1
  end
end

-- ---- processes ------------------------------------------------------------------------

local function start_program(self, name, program, ...)
  self.processes[name] = process.start {
    os.getenv "LUAJIT" or "luajit", "spec/coherence/" .. program .. ".lua", ...
  }
end

-- Numbers of writes are those of one process only.
local function first_tag(number)
  return number * 1e8 + 1
end

local function start_all(self, options, end_ms)
  local layout, ended = options.layout, ("%.3f"):format(end_ms)
  local function start_reader(number, socket)
    local name = PROCESSES[number]
    start_program(self, name, "reader_program", socket, layout, ended,
      ("%d"):format(first_tag(number)), self.dice:word(), name, options.plant or "")
  end
  start_reader(1, self.server.socket)
  start_reader(2, self.proxy.socket)
  start_program(self, "writer", "writer_program", self.server.socket, layout, ended,
    ("%d"):format(first_tag(3)), self.dice:word())
end

-- ---- what they say --------------------------------------------------------------------

local said = {}

function said.r(self, name, words)
  local run = {
    process = name, cell = words[2], tag = tonumber(words[3]) or false,
    first_ended_ms = tonumber(words[5]), last_began_ms = tonumber(words[6]),
    last_ended_ms = tonumber(words[7]), slack_ms = tonumber(words[8]),
  }
  self.reads = self.reads + tonumber(words[4])
  table.insert(self.history.runs, run)
end

function said.w(self, name, words)
  self.history.writes[tonumber(words[2])] = {
    process = name, called_ms = tonumber(words[3]), ended_ms = tonumber(words[4]),
    fenced_ms = tonumber(words[5]),
  }
  self.writes = self.writes + 1
end

function said.e(self, _, words)
  self.errors[words[2]] = (self.errors[words[2]] or 0) + tonumber(words[3])
end

function said.hits(self, _, words)
  self.hits = self.hits + tonumber(words[2])
end

local function listen(self)
  for _, name in ipairs(PROCESSES) do
    local handle = self.processes[name]
    local status = handle:wait(20000)
    if status ~= 0 then
      error(("%s ended with %s: %s"):format(name, tostring(status), handle:errors()), 0)
    end
    for line in handle:output():gmatch "[^\n]+" do
      local words = {}
      for word in line:gmatch "%S+" do words[#words + 1] = word end
      said[words[1]](self, name, words)
    end
  end
end

--- Lets them go on for a while.
-- @tparam table options `layout`, `seconds`, `seed`; `plant`: the name of a bug of both
-- stores, nil for none; `faults`: list of the names of those that come, nil for all
-- @treturn table `history` for `judge`, and what there was: `reads`, `hits`, `writes`,
-- `errors` by code, `faults` by name, `log`: list of times and faults
function storm.run(options)
  local server = redis_server.start { config = CONFIG }
  local self = {
    server = server, dice = random.new(options.seed), processes = {}, faults = {},
    log = {},
    proxy = proxy.start { server = server, count = { "SUBSCRIBE", "TRACKING" } },
    reads = 0, hits = 0, writes = 0, errors = {},
    history = { runs = {}, writes = {}, bound_ms = storm.BOUND_MS },
  }
  local end_ms = monotonic.now_ms() + 1000 * options.seconds
  start_all(self, options, end_ms)
  do_harm(self, options.faults, end_ms)
  listen(self)
  self.history.order =
    server_order.read(server.directory, records.all(options.layout))
  self.proxy:stop()
  server:stop()
  return self
end

return storm
