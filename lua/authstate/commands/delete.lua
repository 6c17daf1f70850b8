-- SPDX-License-Identifier: MIT
--- authstate delete: a whole session, in one step. At a terminal it shows the session and
-- asks; what it then deletes is the generation that it showed.

local report = require "authstate.report"

local TIMEOUT = { timeout_ms = 30000 }

-- What a session has, without opening its records: a damaged one can be deleted too.
-- Pins the handle. { counts, creds, info }, nil alone when there is none; or nil and a
-- message.
local function survey(session)
  local call = session.store:begin(session.id, TIMEOUT, 1)
  local counts, creds, code = session:count(call)
  if not counts then return nil, creds, code end
  if not session.pin and creds == 0 and next(counts) == nil then return nil end
  local info, message = session.store:session_info(session.id, TIMEOUT)
  if not info then return nil, message end
  return { counts = counts, creds = creds, info = info }
end

local function show(context, session, found)
  local kinds = {}
  for kind in pairs(found.counts) do kinds[#kinds + 1] = kind end
  table.sort(kinds)
  local function tell_count(kind, count)
    context.report:tell("  %-28s %d", report.id(kind), count)
  end
  context.report:tell("session %s", report.id(session.id))
  tell_count("creds", found.creds)
  for _, kind in ipairs(kinds) do tell_count(kind, found.counts[kind]) end
  local written_ms = found.info.last_write_ms
  context.report:tell("  %-28s %s", "last write",
    written_ms and report.utc(written_ms) or "not known")
  context.report:tell("  %-28s %s", "memory in Redis", report.bytes(found.info.bytes))
end

-- True when the session may be deleted; or nil and a sentence.
local function ask(context, session)
  local found, message = survey(session)
  if not found then
    return nil, message or ("there is no session %s"):format(report.id(session.id))
  end
  show(context, session, found)
  local answer = context.report:ask "Delete it? Only y or yes goes on:"
  answer = answer:match "^%s*(.-)%s*$"
  if answer == "y" or answer == "yes" then return true end
  return nil, "nothing was deleted"
end

-- Until when the tombstone stands, milliseconds of the Unix epoch; nil when the server
-- does not tell, or the session has been begun anew already.
local function tombstone_end_ms(session)
  local store = session.store
  local replies = store:perform(store:begin(session.id, TIMEOUT, 1), {
    commands = { { "PEXPIRETIME", store.layout.meta_key(session.id) } },
  })
  local end_ms = replies and tonumber(replies[1])
  return end_ms and end_ms > 0 and end_ms or nil
end

local function print_receipt(context, session, receipt)
  local end_ms = tombstone_end_ms(session)
  context.report:line("deleted session %s: %d records, %s of Redis memory",
    report.id(session.id), receipt.records, report.bytes(receipt.bytes))
  context.report:line("tombstone of generation %.0f: late writers are kept out until %s",
    receipt.generation, end_ms and report.utc(end_ms) or "a time that Redis did not tell")
  context.report:document {
    session = report.json_id(session.id), records = receipt.records,
    bytes = receipt.bytes, generation = receipt.generation,
    kept_out_until = end_ms and report.utc(end_ms) or nil,
    kept_out_until_ms = end_ms,
  }
end

local function run(context)
  local session = context.session()
  local message
  if context.report:can_ask() and not context.options.yes then
    local may_go_on
    may_go_on, message = ask(context, session)
    if not may_go_on then return nil, message end
  end
  local receipt
  receipt, message = session:delete(TIMEOUT)
  if not receipt then return nil, message end
  if receipt.records == 0 then
    return nil, ("there is no session %s"):format(report.id(session.id))
  end
  print_receipt(context, session, receipt)
  return true
end

return {
  summary = "a whole session, in one step; a tombstone keeps late writers out",
  usage = "delete --session S [--yes] [--redis URL]",
  options = {
    { name = "session", value = "S", required = true, sentence = "id of the session" },
    { name = "yes", sentence = "do not ask at a terminal" },
  },
  run = run,
}
