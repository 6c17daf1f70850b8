-- SPDX-License-Identifier: MIT
--- authstate sessions: the ids of all sessions, one a line.

local report = require "authstate.report"

local TIMEOUT_MS = 30000

local function run(context)
  local store = context.open()
  local all, after = {}, nil
  repeat
    local ids, next_page = store:sessions { after = after, timeout_ms = TIMEOUT_MS }
    if not ids then return nil, next_page end
    for _, id in ipairs(ids) do all[#all + 1] = id end
    after = next_page
  until not after
  table.sort(all)
  for _, id in ipairs(all) do context.report:line("%s", report.id(id)) end
  context.report:names("sessions", all)
  return true
end

return {
  summary = "the ids of all sessions, one a line",
  usage = "sessions [--redis URL]",
  run = run,
}
