-- SPDX-License-Identifier: MIT
--- authstate demo: a real session through its life, on a private server made for it.
--
-- Imports a session, replays the key-store calls that its library made, and checks every
-- answer, and in the end every record, against a model kept outside the store. A record
-- that differs from the model is counted as lost.

local batch = require "authstate.batch"
local core = require "authstate.core"
local reference_model = require "authstate.reference_model"
local report = require "authstate.report"
local session_file = require "authstate.session_file"

local SESSION = "demo"
local FIXTURES = "/../../spec/fixtures/"

-- The clone's fixtures, beside the modules.
local function default_file(name)
  local path = assert(package.searchpath("authstate.version", package.path))
  return path:gsub("/version%.lua$", "") .. FIXTURES .. name
end

-- ---- the trace ----------------------------------------------------------------------

local function read_trace(path)
  local text, message = session_file.read_text(path)
  if not text then return nil, message end
  local calls = {}
  for line in text:gmatch "[^\n]+" do
    local call
    call, message = core.from_json(line)
    if not call then return nil, ("%s: line %d: %s"):format(path, #calls + 1, message) end
    calls[#calls + 1] = call
  end
  return calls
end

-- Which single write to withhold: the last one of one record that nothing later touches,
-- so that exactly that record is lost.
local function choose_withheld(calls)
  local is_touched = {}
  for at = #calls, 1, -1 do
    local call = calls[at]
    if call[1] == "set" then
      local kind, ids = next(call[2])
      local is_single = next(call[2], kind) == nil and #ids == 1
      local name = kind .. "\0" .. ids[1]
      if is_single and ids[1]:sub(1, 1) ~= "-" and not is_touched[name] then return at end
      for each_kind, each_ids in pairs(call[2]) do
        for _, id in ipairs(each_ids) do
          is_touched[each_kind .. "\0" .. id:gsub("^-", "")] = true
        end
      end
    end
  end
end

-- ---- the run ------------------------------------------------------------------------

local function import(context, session, split)
  local filled = batch.new(session:batch_context())
  local is_put, message = filled:set_session(split, function(done)
    context.report:progress("import", done, split.records)
  end)
  if not is_put then return nil, message end
  local call = session.store:begin(session.id, nil, 1)
  local result
  result, message = session:commit_batch(call, filled, { creates = true })
  if not result then return nil, message end
  if result.exists then return nil, "the data directory has a session demo already" end
  return filled.bytes
end

-- How a line of the trace is done: the kind of its time, or nil and a message.
local REPLAY = {}

function REPLAY.get(session, run, call)
  local found, message = session.keys:get_json(call[2], call[3])
  if not found then return nil, message end
  run.model:check_read(call[2], call[3], found)
  return true
end

function REPLAY.set(session, run, call, is_withheld)
  local changes = run.model:apply(call[2])
  if is_withheld then return true end
  return session.keys:set_json(changes)
end

function REPLAY.creds(session, run)
  return session:commit_json(('{"creds":%s}'):format(run.model:next_creds()))
end

local function replay(context, session, run)
  local times = { get = {}, set = {}, creds = {} }
  for at, call in ipairs(run.calls) do
    local kind, started_ms = call[1], core.now_ms()
    local done, message = REPLAY[kind](session, run, call, at == run.withheld)
    if not done then return nil, message end
    if at ~= run.withheld then table.insert(times[kind], core.now_ms() - started_ms) end
    context.report:progress("replay", at, #run.calls)
  end
  return times
end

local function compare_export(session, expected)
  local loaded, message = session:load_json()
  if not loaded then return nil, message or "the session is gone" end
  local text
  text, message = session_file.compose(loaded)
  if not text then return nil, message end
  return text == expected
end

local function percentile(times, share)
  if #times == 0 then return 0 end
  table.sort(times)
  return times[math.max(1, math.ceil(#times * share))]
end

local function print_table(context, figures)
  local line = "%-28s %12s %12s"
  context.report:line("")
  context.report:line(line, "", "reads", "writes")
  context.report:line(line, "calls", figures.reads, figures.writes)
  context.report:line(line, "p50", ("%.0f us"):format(figures.read_p50_us),
    ("%.0f us"):format(figures.write_p50_us))
  context.report:line(line, "p99", ("%.0f us"):format(figures.read_p99_us),
    ("%.0f us"):format(figures.write_p99_us))
  context.report:line("%-28s %12d", "records checked", figures.records)
  context.report:line("%-28s %12d", "round trips", figures.round_trips)
  local function size_line(what, bytes)
    context.report:line("%-28s %12s", what, report.bytes(bytes))
  end
  size_line("bytes to the server", figures.bytes_out)
  size_line("bytes from the server", figures.bytes_in)
  size_line("the session as JSON", figures.json_bytes)
  size_line("the session as stored", figures.stored_bytes)
  context.report:line("")
end

local function figures_of(store, run, times)
  local totals = store.driver:statistics()
  return {
    records = run.checked, calls = #run.calls, reads = #times.get, writes = #times.set,
    round_trips = totals.operations, bytes_out = totals.bytes_out,
    bytes_in = totals.bytes_in, json_bytes = run.json_bytes,
    stored_bytes = run.stored_bytes, lost = run.model.lost_count,
    read_p50_us = percentile(times.get, 0.5) * 1e3,
    read_p99_us = percentile(times.get, 0.99) * 1e3,
    write_p50_us = percentile(times.set, 0.5) * 1e3,
    write_p99_us = percentile(times.set, 0.99) * 1e3,
  }
end

-- Reads the two files and prepares the model.
local function prepare(context)
  local path = context.arguments[1] or default_file "small.json.gz"
  local trace_path = context.options.trace or default_file "small.trace.jsonl.gz"
  local text, message = session_file.read_text(path)
  if not text then return nil, message end
  local split
  split, message = session_file.parse(text, path)
  if not split then return nil, message end
  if not split.creds then return nil, path .. ": a session without creds" end
  local calls
  calls, message = read_trace(trace_path)
  if not calls then return nil, message end
  return {
    split = split, calls = calls, model = reference_model.new(split),
    json_bytes = #text,
    withheld = context.options.fault == "drop" and choose_withheld(calls) or nil,
  }
end

local function demonstrate(context, run, store)
  local session = store:session(SESSION)
  local message
  context.report:line("session  %d records, %s of JSON, private redis-server in %s",
    run.split.records, report.bytes(run.json_bytes), store.guard.directory)
  run.stored_bytes, message = import(context, session, run.split)
  if not run.stored_bytes then return nil, message end
  local expected = assert(session_file.compose(run.split))
  local is_same
  is_same, message = compare_export(session, expected)
  if message then return nil, message end
  context.report:line("load     every record as imported: %s", is_same and "yes" or "NO")
  local times
  times, message = replay(context, session, run)
  if not times then return nil, message end
  local loaded
  loaded, message = session:load_json()
  if not loaded then return nil, message or "the session is gone" end
  run.checked = run.model:check_all(loaded)
  local modelled = assert(session_file.compose(run.model:session()))
  local is_exported
  is_exported, message = compare_export(session, modelled)
  if message then return nil, message end
  context.report:line("export   byte for byte as the model: %s",
    is_exported and "yes" or "NO")
  local figures = figures_of(store, run, times)
  figures.import_exact, figures.export_exact = is_same, is_exported
  return figures
end

local function temporary_directory()
  local name = os.tmpname()
  os.remove(name)
  return name .. ".authstate"
end

-- The path is one of ours, without quotes.
local function remove_directory(path)
  os.execute("rm -rf -- '" .. path .. "'")
end

local function run_demo(context)
  if context.options.redis then
    context.misuse "--redis: the demo starts a server of its own; --data-dir says where"
  end
  local run, message = prepare(context)
  if not run then return nil, message end
  local directory = context.options["data-dir"] or temporary_directory()
  local store
  local is_whole, figures
  is_whole, figures, message = pcall(function()
    store = context.open { data_dir = directory, append_fsync = "always" }
    return demonstrate(context, run, store)
  end)
  if store then store:close() end
  if not context.options["data-dir"] then remove_directory(directory) end
  if not is_whole then error(figures, 0) end
  if not figures then return nil, message end
  print_table(context, figures)
  context.report:line("lost: %d", figures.lost)
  context.report:document(figures)
  local is_good = figures.lost == 0 and figures.import_exact and figures.export_exact
  return is_good or nil
end

return {
  summary = "a real session through its life on a private server, every record checked",
  usage = "demo [FILE --trace TRACE] [--fault drop]",
  positional = { min = 0, max = 1, names = "FILE" },
  options = {
    { name = "trace", value = "TRACE",
      sentence = "the access trace that belongs to FILE" },
    { name = "fault", value = "FAULT", values = { "drop" },
      sentence = "drop: withhold one write, which must be found" },
  },
  run = run_demo,
}
