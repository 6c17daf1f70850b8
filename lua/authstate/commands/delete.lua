-- SPDX-License-Identifier: MIT
--- authstate delete: a whole session, in one step.

local report = require "authstate.report"

local TIMEOUT = { timeout_ms = 30000 }

local function run(context)
  local session = context.session()
  local id = session.id
  local receipt, message = session:delete(TIMEOUT)
  if not receipt then return nil, message end
  if receipt.records == 0 then
    return nil, ("there is no session %s"):format(report.id(id))
  end
  context.report:line("deleted session %s: %d records, %s of Redis memory", report.id(id),
    receipt.records, report.bytes(receipt.bytes))
  context.report:document {
    session = report.json_id(id), records = receipt.records, bytes = receipt.bytes,
    generation = receipt.generation,
  }
  return true
end

return {
  summary = "a whole session, in one step; a tombstone keeps late writers out",
  usage = "delete --session S [--redis URL]",
  options = {
    { name = "session", value = "S", required = true, sentence = "id of the session" },
  },
  run = run,
}
