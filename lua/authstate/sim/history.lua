-- SPDX-License-Identifier: MIT
--- What callers did and were told, in the order of time: the one side of what a checker
-- compares. The other is the log of the server.
--
-- A record is named by its cell, `<type>/<id>`. Each write has a number, its tag, which
-- stands in all values that it writes: `w#<tag>;`.

local History = { __name = "authstate.sim.history" }
History.__index = History

local history = {}

--- @param now_ms function
-- @param position function: how many changes the server has made
function history.new(now_ms, position)
  return setmetatable({
    now_ms = now_ms, position = position, calls = {}, faults = {}, last_tag = 0,
  }, History)
end

--- A tag for a write.
function History:new_tag()
  self.last_tag = self.last_tag + 1
  return self.last_tag
end

--- What a value says of the write that made it.
function history.mark(tag)
  return ("w#%d;"):format(tag)
end

--- The tag in a text; nil without one.
function history.tag_in(text)
  return tonumber(text:match "w#(%d+);")
end

--- A call begins.
-- @param call { store, session, handle, operation, timeout_ms, ... }; gets the times
function History:begin(call)
  self.calls[#self.calls + 1] = call
  call.number = #self.calls
  call.began_ms, call.began_at = self.now_ms(), self.position()
  call.deadline_ms = call.began_ms + call.timeout_ms
  call.answers = 0
  return call
end

--- It was answered.
-- @param call see `begin`
-- @param outcome { is_fine, ... what it gave } or { code, message, details }
function History:finish(call, outcome)
  call.answers = call.answers + 1
  call.ended_ms, call.ended_at = self.now_ms(), self.position()
  call.outcome = outcome
end

return history
