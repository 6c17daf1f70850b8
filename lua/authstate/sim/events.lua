-- SPDX-License-Identifier: MIT
--- What is to happen at a time to come: a binary min-heap of events. Those of one time
-- happen in the order in which they were put here.

local Events = { __name = "authstate.sim.events" }
Events.__index = Events

local events = {}

function events.new()
  return setmetatable({ count = 0, next_number = 1 }, Events)
end

local function is_before(a, b)
  if a.at_ms ~= b.at_ms then return a.at_ms < b.at_ms end
  return a.number < b.number
end

--- Puts an event here.
-- @param at_ms when it happens
-- @param happen function(...)
-- @param ... its arguments
function Events:add(at_ms, happen, ...)
  local event = { at_ms = at_ms, number = self.next_number, happen = happen, ... }
  self.next_number = self.next_number + 1
  self.count = self.count + 1
  local place = self.count
  while place > 1 do
    local parent = math.floor(place / 2)
    if not is_before(event, self[parent]) then break end
    self[place] = self[parent]
    place = parent
  end
  self[place] = event
end


local function sink(self, event)
  local place = 1
  while true do
    local child = 2 * place
    if child > self.count then break end
    if child < self.count and is_before(self[child + 1], self[child]) then
      child = child + 1
    end
    if not is_before(self[child], event) then break end
    self[place] = self[child]
    place = child
  end
  self[place] = event
end

--- When the first one is due; math.huge: there is none.
function Events:first_ms()
  return self[1] and self[1].at_ms or math.huge
end

--- Lets those happen that are due, also those that come meanwhile.
function Events:happen(now_ms)
  while self[1] and self[1].at_ms <= now_ms do
    local event = self[1]
    local last = self[self.count]
    self[self.count] = nil
    self.count = self.count - 1
    if self.count > 0 then sink(self, last) end
    event.happen(unpack(event, 1, 5))
  end
end

return events
