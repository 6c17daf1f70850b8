-- SPDX-License-Identifier: MIT
--- authstate export: a whole session, as one JSON text on standard output or as a
-- directory for Baileys.

local multi_file = require "authstate.multi_file"
local report = require "authstate.report"
local session_file = require "authstate.session_file"
local whole_directory = require "authstate.whole_directory"

local TIMEOUT = { timeout_ms = 120000 }
local JSON, MULTI_FILE = "json", "baileys-multifile"

local function load(context)
  local session = context.session()
  local loaded, message = session:load_json(TIMEOUT)
  if loaded and loaded.unknown then
    return nil, ("session %s has %d fields that are no records of its layout; they would "
      .. "be missing"):format(report.id(session.id), loaded.unknown)
  end
  if loaded then return loaded end
  return nil, message or ("there is no session %s"):format(report.id(session.id))
end

local function print_text(context)
  local loaded, message = load(context)
  if not loaded then return nil, message end
  local text
  text, message = session_file.compose(loaded)
  if not text then return nil, message end
  local is_written
  is_written, message = io.stdout:write(text, "\n")
  if not is_written then return nil, "standard output: " .. message end
  return true
end

local function total_bytes(files)
  local bytes = 0
  for _, file in ipairs(files) do bytes = bytes + #file.text end
  return bytes
end

local function export_directory(context, path)
  local place, message = whole_directory.find_place(path)
  if not place then return nil, message end
  local loaded
  loaded, message = load(context)
  if not loaded then return nil, message end
  local files, lossy = multi_file.compose(loaded)
  if not files then return nil, lossy end
  local is_written
  is_written, message = whole_directory.write(place, files, function(done)
    context.report:progress("export", done, #files)
  end)
  if not is_written then return nil, message end
  local has_creds = loaded.creds ~= nil
  return {
    session = context.options.session, directory = path,
    records = #files - (has_creds and 1 or 0), creds = has_creds,
    json_bytes = total_bytes(files), lossy_names = lossy,
  }
end

local function print_outcome(context, done)
  context.report:line("exported %d records and %s of session %s to %s: %s of JSON",
    done.records, done.creds and "the creds" or "no creds", report.id(done.session),
    report.id(done.directory), report.bytes(done.json_bytes))
  if done.lossy_names > 0 then
    context.report:line("%d of them cannot be told by their file names: Baileys finds "
      .. "them, an import of the directory would not", done.lossy_names)
  end
  done.session = report.json_id(done.session)
  done.directory = report.json_id(done.directory)
  context.report:document(done)
end

local function run(context)
  local path, format = context.arguments[1], context.options.format
  if path == "" then
    context.misuse "DIR is empty; accepted: the path of a directory"
  elseif path and format == JSON then
    context.misuse "--format json goes to standard output; without it DIR is written"
  elseif not path and format == MULTI_FILE then
    context.misuse "--format baileys-multifile needs DIR, the directory to write"
  elseif not path then
    return print_text(context)
  end
  local done, message = export_directory(context, path)
  if not done then return nil, message end
  print_outcome(context, done)
  return true
end

return {
  summary = "a whole session, as one JSON text or as a directory for Baileys",
  usage = "export [DIR] --session S [--format FORMAT] [--redis URL]",
  positional = { min = 0, max = 1, names = "DIR" },
  options = {
    { name = "session", value = "S", required = true, sentence = "id of the session" },
    { name = "format", value = "FORMAT", values = { JSON, MULTI_FILE },
      sentence = "json, sorted by types and ids (without DIR), or baileys-multifile" },
  },
  run = run,
}
