-- SPDX-License-Identifier: MIT
--- A run in words: what callers did and were told, and what the server changed, in the
-- order of time.

local story = {}

-- How many events of a session are told.
local LAST_EVENTS = 24

local function list_cells(cells)
  local parts = {}
  for cell, tag in pairs(cells or {}) do
    parts[#parts + 1] = tag and ("%s=%d"):format(cell, tag) or "-" .. cell
  end
  table.sort(parts)
  return parts[1] and table.concat(parts, " ") or "nothing"
end

local function tell_call(call)
  local words = { ("call %d, store %d: %s"):format(call.number, call.store,
    call.operation) }
  if call.cells then words[2] = "of " .. list_cells(call.cells) end
  if call.expect then words[#words + 1] = ("expects version %d"):format(call.expect) end
  words[#words + 1] = ("within %g ms"):format(call.timeout_ms)
  if call.is_cancelled then words[#words + 1] = "and is cancelled" end
  return table.concat(words, " ")
end

local function tell_outcome(call)
  local outcome = call.outcome
  local head = ("call %d, store %d: "):format(call.number, call.store)
  if not outcome.is_fine then
    return head .. ("%s, applied = %s: %s"):format(outcome.code,
      tostring(outcome.details.applied), outcome.message)
  end
  local words = { "done" }
  if outcome.version then words[#words + 1] = "version " .. outcome.version end
  if outcome.cells then words[#words + 1] = "gave " .. list_cells(outcome.cells) end
  return head .. table.concat(words, ", ")
end

local function tell_change(entry)
  if entry.is_flush then
    return ("server, change %d: all is lost"):format(entry.position)
  end
  local what = entry.is_tombstone and "deleted" or list_cells(entry.cells)
  return ("server, change %d: %s, version %s"):format(entry.position, what,
    tostring(entry.version))
end

-- What comes first of two events of one moment.
local CALL, CHANGE, ANSWER = 1, 2, 3

local function add(events, at_ms, kind, text)
  events[#events + 1] = {
    at_ms = at_ms, kind = kind, number = #events, text = text,
  }
end

local function is_before(a, b)
  if a.at_ms ~= b.at_ms then return a.at_ms < b.at_ms end
  if a.kind ~= b.kind then return a.kind < b.kind end
  return a.number < b.number
end

--- The last events of a session up to a moment.
-- @param run { calls, entries, server_ms = what the clock of the server is ahead }
-- @param session id
-- @param until_ms the moment; nil for the end
-- @return list of lines
function story.tell(run, session, until_ms)
  local events, lines = {}, {}
  for _, call in ipairs(run.calls) do
    if call.session == session then
      add(events, call.began_ms, CALL, tell_call(call))
      if call.outcome then
        add(events, call.ended_ms, ANSWER, tell_outcome(call))
      end
    end
  end
  for _, entry in ipairs(run.entries) do
    if entry.session == session then
      add(events, entry.at_ms - run.server_ms, CHANGE, tell_change(entry))
    end
  end
  table.sort(events, is_before)
  for _, event in ipairs(events) do
    if not until_ms or event.at_ms <= until_ms then
      lines[#lines + 1] = ("%12.3f ms  %s"):format(event.at_ms - run.began_ms, event.text)
    end
  end
  for _ = LAST_EVENTS + 1, #lines do table.remove(lines, 1) end
  return lines
end

return story
