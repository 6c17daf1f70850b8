-- SPDX-License-Identifier: MIT
--- authstate export: a whole session as one JSON text on standard output.

local report = require "authstate.report"
local session_file = require "authstate.session_file"

local TIMEOUT = { timeout_ms = 120000 }

local function run(context)
  local session = context.session()
  local loaded, message = session:load_json(TIMEOUT)
  if not loaded then
    return nil, message or ("there is no session %s"):format(report.id(session.id))
  end
  local text
  text, message = session_file.compose(loaded)
  if not text then return nil, message end
  local is_written
  is_written, message = io.stdout:write(text, "\n")
  if not is_written then return nil, "standard output: " .. message end
  return true
end

return {
  summary = "a whole session as one JSON text, types and ids sorted by their bytes",
  usage = "export --session S [--format json] [--redis URL]",
  options = {
    { name = "session", value = "S", required = true, sentence = "id of the session" },
    { name = "format", value = "FORMAT", values = { "json" },
      sentence = "json (default): the form that import reads" },
  },
  run = run,
}
