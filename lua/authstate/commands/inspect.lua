-- SPDX-License-Identifier: MIT
--- authstate inspect: sizes, counters, fingerprints and last writes, of one session or of
-- the whole store; see session_inspection.lua and store_inspection.lua.

local report = require "authstate.report"
local session_inspection = require "authstate.session_inspection"
local store_inspection = require "authstate.store_inspection"

local TIMEOUT = { timeout_ms = 120000 }
local NOT_TOLD = "not told"
local MAX_COLUMN = 40

local function show_last_write(described)
  if not described then return NOT_TOLD end
  return ("%s, %s ago"):format(described.utc, report.span(described.ago_ms))
end

-- A whole number that may be too large for %d; or what stands for none.
local function show_number(number, otherwise)
  return number and ("%.0f"):format(number) or otherwise
end

-- The width of a column that has these words in it.
local function width_of(title, list, field)
  local width = #title
  for _, each in ipairs(list) do width = math.max(width, #report.id(each[field])) end
  return math.min(width, MAX_COLUMN)
end

-- ---- one session ----------------------------------------------------------------------

local REGISTERED = { [true] = "yes", [false] = "no" }

local function print_head(context, described)
  local function line(name, text) context.report:line("%-12s %s", name, text) end
  line("session", report.id(described.session))
  line("generation", show_number(described.generation, "none"))
  line("version", show_number(described.version))
  line("registered", REGISTERED[described.registered] or "not said")
  line("last write", show_last_write(described.last_write))
  line("memory", described.memory_bytes and report.bytes(described.memory_bytes)
    or NOT_TOLD)
  if described.measured_version and described.measured_version ~= described.version then
    line("", ("last write and memory are of version %.0f: it is being written")
      :format(described.measured_version))
  end
end

local function print_creds(context, creds)
  if not creds then return context.report:line("%-12s %s", "creds", "none") end
  context.report:line("%-12s %d bytes of JSON, sha256 %s, identity %s", "creds",
    creds.json_bytes, creds.sha256, creds.identity or "none")
  local names = {}
  for name in pairs(creds.counters) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    context.report:line("  %-26s %.0f", report.id(name), creds.counters[name])
  end
end

local function show_ids(each)
  if not each.first_id then return "" end
  return ("  ids %s to %s"):format(each.first_id, each.last_id)
end

local function print_types(context, types)
  if #types == 0 then return end
  local name = "%-" .. width_of("type", types, "type") .. "s "
  context.report:line(name .. "%8s %12s %10s %10s  %s", "type", "records", "JSON bytes",
    "smallest", "largest", "sha256")
  for _, each in ipairs(types) do
    context.report:line(name .. "%8d %12d %10d %10d  %s%s", report.id(each.type),
      each.records, each.json_bytes, each.smallest_bytes, each.largest_bytes,
      each.sha256, show_ids(each))
  end
end

local function inspect_session(context)
  local session = context.session()
  local described, message = session_inspection.read(session, TIMEOUT)
  if not described then
    return nil, message or ("there is no session %s"):format(report.id(session.id))
  end
  print_head(context, described)
  print_creds(context, described.creds)
  print_types(context, described.types)
  described.session = report.json_id(described.session)
  for _, each in ipairs(described.types) do each.type = report.json_id(each.type) end
  context.report:document(described)
  return true
end

-- ---- the whole store ------------------------------------------------------------------

local function print_settings(context, described)
  local function line(name, text) context.report:line("%-17s %s", name, text) end
  line("server", described.server)
  line("Redis", described.redis_version or NOT_TOLD)
  line("appendonly", described.appendonly or NOT_TOLD)
  line("appendfsync", described.appendfsync or NOT_TOLD)
  line("maxmemory-policy", described.maxmemory_policy or NOT_TOLD)
  for _, warning in ipairs(described.warnings) do line("warning:", warning) end
  line("sessions", #described.sessions)
end

local function print_sessions(context, sessions)
  if #sessions == 0 then return end
  local line = "%-" .. width_of("session", sessions, "session") .. "s %8s %10s %9s  %s"
  context.report:line(line, "session", "records", "memory", "version", "last write")
  for _, each in ipairs(sessions) do
    context.report:line(line, report.id(each.session), each.records,
      report.bytes(each.memory_bytes), show_number(each.version),
      show_last_write(each.last_write))
  end
end

local function inspect_store(context)
  local described, message =
    store_inspection.read(context.open(), TIMEOUT, function(done, total)
      if context.report.draws then context.report:progress("read", done, total) end
    end)
  if not described then return nil, message end
  print_settings(context, described)
  print_sessions(context, described.sessions)
  for _, each in ipairs(described.sessions) do
    each.session = report.json_id(each.session)
  end
  context.report:document(described)
  return true
end

local function run(context)
  if context.options.session then return inspect_session(context) end
  return inspect_store(context)
end

return {
  summary = "sizes, counters, fingerprints and last writes; never key material",
  usage = "inspect [--session S] [--redis URL]",
  options = {
    { name = "session", value = "S",
      sentence = "id of the session; without it the whole store" },
  },
  run = run,
}
