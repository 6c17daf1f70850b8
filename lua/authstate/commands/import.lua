-- SPDX-License-Identifier: MIT
--- authstate import: a session file, or a directory that Baileys wrote, into Redis, in
-- one atomic step.

local batch = require "authstate.batch"
local core = require "authstate.core"
local multi_file = require "authstate.multi_file"
local report = require "authstate.report"
local session_file = require "authstate.session_file"

local TIMEOUT = { timeout_ms = 120000 }

-- How many records are stored under the session, creds included. Pins the handle.
local function count_stored(session)
  local creds, message = session:load_creds(TIMEOUT)
  if creds == nil and message then return nil, message end
  local counts
  counts, message = session.keys:types(TIMEOUT)
  if not counts then return nil, message end
  local total = creds and 1 or 0
  for _, count in pairs(counts) do total = total + count end
  return total, counts
end

-- Deletes what is stored and not in the file. True, or nil and a sentence.
local function delete_others(session, filled, counts, split)
  local wanted = split.keys
  if not split.creds then
    local is_put, message = filled:delete("creds", "creds")
    if not is_put then return nil, message end
  end
  for kind in pairs(counts) do
    local ids, message = session.keys:list(kind, TIMEOUT)
    if not ids then return nil, message end
    for _, id in ipairs(ids) do
      if not (wanted[kind] and wanted[kind][id]) then
        local is_put
        is_put, message = filled:delete(kind, id)
        if not is_put then return nil, message end
      end
    end
  end
  return true
end

-- The version that must still be stored when the import arrives; nil for a new session.
local function stored_version(session)
  local call = session.store:begin(session.id, TIMEOUT, 1)
  local found, message = session:read_types(call)
  if not found then return nil, message end
  return found.generation and not found.is_deleted and found.version or false
end

-- The texts of a session, from whatever is at the path.
local function read(context, path)
  local skips_unknown = context.options["skip-unknown"]
  if core.is_directory(path) then return multi_file.read(path, skips_unknown) end
  local split, message = session_file.read(path)
  if split and skips_unknown then
    context.misuse(("--skip-unknown is for a directory; %s is a file"):format(path))
  end
  return split, message
end

local function import(context, path)
  local split, message = read(context, path)
  if not split then return nil, message end
  if not split.creds and split.records == 0 then
    return nil, path .. ": no session: neither creds nor records"
  end
  if split.keys.creds then
    return nil, path
      .. ': a key type "creds" cannot be kept: the name is that of the credentials'
  end
  local session = context.session()
  -- Before anything else of the session is read: what is written later is a conflict.
  local expect
  expect, message = stored_version(session)
  if expect == nil then return nil, message end
  local stored, counts = count_stored(session)
  if not stored then return nil, counts end
  if stored > 0 and not context.options.replace then
    return nil, ("session %s has %d records; --replace replaces them all"):format(
      report.id(session.id), stored)
  elseif stored > 0 and not expect then
    return nil, ("session %s was begun by another process meanwhile; try again"):format(
      report.id(session.id))
  end
  local filled = batch.new(session:batch_context())
  local is_done
  is_done, message = filled:set_session(split, function(done)
    context.report:progress("import", done, split.records)
  end)
  if is_done and stored > 0 then
    is_done, message = delete_others(session, filled, counts, split)
  end
  if not is_done then return nil, message end
  local started_ms = core.now_ms()
  local result
  result, message = session:commit_batch(session.store:begin(session.id, TIMEOUT, 1),
    filled, { expect = expect or nil })
  if not result then return nil, message end
  return {
    session = session.id, records = split.records, creds = split.creds ~= nil,
    json_bytes = split.json_bytes, stored_bytes = filled.bytes,
    commit_ms = core.now_ms() - started_ms,
    replaced = stored, skipped = split.skipped or 0,
  }
end

local function run(context)
  local done, message = import(context, context.arguments[1])
  if not done then return nil, message end
  context.report:line(
    "imported %d records and %s of session %s: %s of JSON, %s stored, in one step of "
      .. "%.0f ms",
    done.records, done.creds and "the creds" or "no creds", report.id(done.session),
    report.bytes(done.json_bytes), report.bytes(done.stored_bytes), done.commit_ms)
  if done.skipped > 0 then
    context.report:line("skipped  %d files of other names", done.skipped)
  end
  done.session = report.json_id(done.session)
  context.report:document(done)
  return true
end

return {
  summary = "a session file (JSON, gzip or not) or directory into Redis, in one step",
  usage = "import DIR|FILE --session S [--replace] [--skip-unknown] [--redis URL]",
  positional = { min = 1, max = 1, names = "DIR or FILE" },
  options = {
    { name = "session", value = "S", required = true, sentence = "id of the session" },
    { name = "replace", sentence = "replace a session that has records" },
    { name = "skip-unknown",
      sentence = "leave out files of DIR that are no records of a known type" },
  },
  run = run,
}
