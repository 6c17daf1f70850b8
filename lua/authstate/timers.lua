-- SPDX-License-Identifier: MIT
--- What waits for a time: a binary min-heap of timers, each of which knows its place.

local Timers = { __name = "authstate.timers" }
Timers.__index = Timers

local timers = {}

function timers.new()
  return setmetatable({ count = 0 }, Timers)
end

local function put(self, place, timer)
  self[place], timer.place = timer, place
end

local function sift_up(self, timer)
  local place = timer.place
  while place > 1 do
    local parent = self[math.floor(place / 2)]
    if parent.due_ms <= timer.due_ms then break end
    local above = parent.place
    put(self, place, parent)
    place = above
  end
  put(self, place, timer)
end

local function sift_down(self, timer)
  local place = timer.place
  while true do
    local child = self[2 * place]
    if not child then break end
    local other = self[2 * place + 1]
    if other and other.due_ms < child.due_ms then child = other end
    if child.due_ms >= timer.due_ms then break end
    local below = child.place
    put(self, place, child)
    place = below
  end
  put(self, place, timer)
end

--- Adds a timer: a table with `due_ms`, which must not change while it is here.
function Timers:add(timer)
  self.count = self.count + 1
  put(self, self.count, timer)
  sift_up(self, timer)
end

--- Takes a timer out; no effect on one that is not here.
function Timers:remove(timer)
  local place = timer.place
  if not place then return end
  local last = self[self.count]
  self[self.count] = nil
  self.count = self.count - 1
  timer.place = nil
  if last == timer then return end
  put(self, place, last)
  sift_up(self, last)
  sift_down(self, last)
end

--- The timer that is due first, nil when there is none.
function Timers:first()
  return self[1]
end

return timers
