-- SPDX-License-Identifier: MIT
--- What goes wrong in a simulated run, drawn from its seed: which faults there are, how
-- often, and when. Without faults the network is quick and the server does what it is
-- told.

local faults = {}

local Faults = { __name = "authstate.sim.faults" }
Faults.__index = Faults

--- All faults, and what each is.
faults.SENTENCES = {
  cut = "bytes come in pieces that are cut anywhere",
  delay = "bytes take 15 ms, or up to 1.5 s",
  partial = "the socket takes a part of what is sent, and the rest later",
  reset = "a connection breaks",
  kick = "the server closes a connection",
  lost = "what was on its way on a connection that broke never comes",
  late = "what was on its way on a connection that broke comes up to 30 s late",
  silence = "both ends of a connection hear nothing of each other for up to 40 s",
  stall = "the server does nothing for up to 4 s",
  restart = "the server ends and comes again as another run",
  loading = "the server reads its data",
  readonly = "the server is a replica",
  oom = "the memory of the server is full",
  disk = "the server cannot write its disk",
  busy = "the server runs a script that does not end",
  noscript = "the server forgets all scripts",
  flushall = "the server loses all that is stored (FLUSHALL)",
  nokill = "the server lets no client end another connection",
  garbage = "the server answers what is no reply",
}

--- Their names, sorted.
faults.NAMES = {}
for name in pairs(faults.SENTENCES) do table.insert(faults.NAMES, name) end
table.sort(faults.NAMES)

-- Mean times between two of a kind.
local MEANS_MS = { 300, 1500, 6000 }

-- How often a fault is there in a run. Where all is lost again and again, there is little
-- else to see.
local SHARE, SHARES = 0.45, { flushall = 0.15 }

local LATEST_MS = 30000

-- How long bytes take, about, when nothing delays them.
local LATENCY_MS = 0.3

local CONDITIONS = {
  loading = true, readonly = true, oom = true, disk = true, busy = true,
}

-- ---- what a network asks ------------------------------------------------------------

--- How long a piece takes.
function Faults:delay_ms()
  local dice = self.dice
  local delay_ms = self.latency_ms * (0.2 + dice:fraction())
  if self.is_on.delay and dice:chance(0.1) then delay_ms = dice:exponential(15) end
  if self.is_on.delay and dice:chance(0.01) then delay_ms = dice:fraction() * 1500 end
  return delay_ms
end

--- The pieces in which bytes come.
function Faults:cut(bytes)
  local dice, pieces = self.dice, {}
  while self.is_on.cut and #bytes > 1 and #pieces < 8 and dice:chance(0.4) do
    local length = dice:integer(1, #bytes - 1)
    if dice:chance(0.3) then length = 1 end
    pieces[#pieces + 1] = bytes:sub(1, length)
    bytes = bytes:sub(length + 1)
  end
  pieces[#pieces + 1] = bytes
  return pieces
end

--- How many of some bytes a socket takes.
-- @return number from 1 on, and how long until it takes more, nil for at once
function Faults:accept(count)
  local dice = self.dice
  if not (self.is_on.partial and count > 1 and dice:chance(0.3)) then return count end
  return dice:integer(1, count - 1), dice:exponential(5)
end

--- What becomes of that which was on its way on a stream whose client has gone: "lost",
-- "late" (and by how much), or "kept".
function Faults:fate()
  local dice = self.dice
  if self.is_on.late and dice:chance(0.5) then
    return "late", dice:chance(0.5) and dice:exponential(300) or
      dice:fraction() * LATEST_MS
  end
  if self.is_on.lost and dice:chance(0.5) then return "lost" end
  return "kept"
end

--- What is sent in the place of a reply.
function Faults:spoil(reply)
  if not self.spoils_next then return reply end
  self.spoils_next = false
  return self.dice:pick { "HTTP/1.1 400 Bad Request\r\n", "\0\0\0\0", "}\r\n" }
end

-- ---- what happens by itself ---------------------------------------------------------

local happenings = {}

local function any_stream(self)
  local streams = self.network:open_streams()
  return streams[1] and self.dice:pick(streams)
end

function happenings.reset(self)
  local stream = any_stream(self)
  if stream then self.network:break_stream(stream, "connection reset by peer") end
end

function happenings.kick(self)
  local stream = any_stream(self)
  if not stream or not stream.client then return end
  self.network.server:disconnect(stream.client)
  self.network:on_kill(stream.client)
end

function happenings.silence(self)
  local stream = any_stream(self)
  local longest_ms = self.dice:pick { 300, 3000, 40000 }
  if stream then self.network:hold(stream, self.dice:fraction() * longest_ms) end
end

function happenings.stall(self)
  self.network:stall(self.dice:fraction() * self.dice:pick { 50, 500, 4000 })
end

function happenings.restart(self)
  local dice = self.dice
  local loading_ms = dice:chance(0.5) and dice:fraction() * 1500 or 0
  self.network:restart(dice:fraction() * dice:pick { 20, 2000 }, loading_ms)
end

function happenings.noscript(self)
  self.network.server.sandbox:flush()
end

function happenings.flushall(self)
  if not self.network.is_down then self.network.server:flush_all() end
end

function happenings.garbage(self)
  self.spoils_next = true
end

local function end_condition(self, number)
  if self.condition_number == number then self.network.server.condition = nil end
end

for name in pairs(CONDITIONS) do
  happenings[name] = function(self)
    if self.network.is_down then return end
    self.condition_number = self.condition_number + 1
    self.network.server.condition = name
    self.loop:after(self.dice:fraction() * self.dice:pick { 10, 200, 1500 },
      end_condition, self, self.condition_number)
  end
end

local function happen(self, name, mean_ms)
  if self.is_calm then return end
  happenings[name](self)
  self.counts[name] = (self.counts[name] or 0) + 1
  self.loop:after(self.dice:exponential(mean_ms), happen, self, name, mean_ms)
end

--- Faults begin.
-- @param network see network.lua
function Faults:begin(network)
  self.network, self.loop = network, network.loop
  network.server.refuses_kill = self.is_on.nokill
  for _, name in ipairs(faults.NAMES) do
    local mean_ms = self.means_ms[name]
    if self.is_on[name] and happenings[name] then
      self.loop:after(self.dice:exponential(mean_ms), happen, self, name, mean_ms)
    end
  end
end

--- No more faults. What has begun comes to its end: bytes that are late, a server that is
-- starting.
function Faults:stop()
  self.is_calm, self.spoils_next = true, false
  self.is_on, self.latency_ms = {}, LATENCY_MS
  self.condition_number = self.condition_number + 1
  self.network:heal()
  self.network.server.condition = nil
  self.network.server.refuses_kill = false
end

--- @param dice see dice.lua
-- @param wanted { [name] = boolean }: whether a fault is there for sure, or not at all;
--   `others = false`: those that are not named are not
function faults.new(dice, wanted)
  local self = setmetatable({
    dice = dice, is_on = {}, means_ms = {}, counts = {}, is_calm = false,
    spoils_next = false, condition_number = 0, latency_ms = LATENCY_MS,
  }, Faults)
  for _, name in ipairs(faults.NAMES) do
    local is_drawn = dice:chance(SHARES[name] or SHARE)
    local is_wanted = wanted[name]
    if is_wanted == nil and wanted.others == false then is_wanted = false end
    if is_wanted == nil then is_wanted = is_drawn end
    self.is_on[name] = is_wanted
    self.means_ms[name] = dice:pick(MEANS_MS)
  end
  if self.is_on.delay then self.latency_ms = dice:pick { LATENCY_MS, 3, 15 } end
  return self
end

return faults
