-- SPDX-License-Identifier: MIT
--- authstate demo: what the store is for, on a private server made for it. A real session
-- lives through the calls that its library made (demo/replay.lua); then many sessions are
-- written to at once while the server and the writer are killed (demo/burst.lua). A
-- record that differs from the model is counted as lost, a write that took effect twice
-- as doubled.

local burst = require "authstate.demo.burst"
local files = require "authstate.demo.files"
local guard = require "authstate.demo.guard"
local reference_model = require "authstate.reference_model"
local replay = require "authstate.demo.replay"
local report = require "authstate.report"
local session_file = require "authstate.session_file"
local trace = require "authstate.demo.trace"

-- Reads the two files and prepares the model.
local function prepare(context)
  local path = context.arguments[1] or files.path "small.json.gz"
  local trace_path = context.options.trace or files.path "small.trace.jsonl.gz"
  local split, message = session_file.read(path)
  if not split then return nil, message end
  if not split.creds then return nil, path .. ": a session without creds" end
  local calls
  calls, message = trace.read(trace_path)
  if not calls then return nil, message end
  local fault = context.options.fault
  return {
    path = path, trace_path = trace_path, split = split, calls = calls, fault = fault,
    model = reference_model.new(split),
    withheld = fault == "drop" and trace.choose_withheld(calls) or nil,
  }
end

-- ---- the table ----------------------------------------------------------------------

local function print_table(context, figures)
  local function line(what, first, second)
    context.report:line("%-28s %12s %12s", what, first, second)
  end
  local function single(what, value)
    context.report:line("%-28s %12s", what, value)
  end
  local function us(value)
    return ("%.0f us"):format(value)
  end
  context.report:line("")
  line("one session, call by call", "reads", "writes")
  line("calls", figures.reads, figures.writes)
  line("p50", us(figures.read_p50_us), us(figures.write_p50_us))
  line("p99", us(figures.read_p99_us), us(figures.write_p99_us))
  single("round trips", figures.round_trips)
  single("bytes to the server", report.bytes(figures.bytes_out))
  single("bytes from the server", report.bytes(figures.bytes_in))
  single("the session as JSON", report.bytes(figures.json_bytes))
  single("the session as stored", report.bytes(figures.stored_bytes))
  context.report:line("")
  local killed = figures.burst
  single(("%d sessions at once"):format(killed.sessions), "writes")
  single("in all", killed.writes)
  single("open when the server died", killed.server_kill.unacknowledged)
  single("  acknowledged later", killed.server_kill.acknowledged_later)
  single("open when the writer died", killed.writer_kill.unacknowledged)
  single("  found in effect", killed.writer_kill.took_effect)
  single("  found without effect", killed.writer_kill.did_not)
  single("  found in part", killed.writer_kill.in_part)
  context.report:line("")
  single("records checked", figures.records)
  context.report:line("lost: %d", figures.lost)
  context.report:line("doubled: %d", figures.doubled)
end

-- ---- the run ------------------------------------------------------------------------

local function demonstrate(context, run, store)
  context.report:line("session  %d records, %s of JSON; private redis-server in %s",
    run.split.records, report.bytes(run.split.json_bytes), store.guard.directory)
  local figures, message = replay.run(context, run, store)
  if not figures then return nil, message end
  figures.burst, message = burst.run(context, run, store)
  if not figures.burst then return nil, message end
  figures.records = figures.records + figures.burst.records
  figures.lost = figures.lost + figures.burst.lost
  figures.doubled = figures.burst.doubled
  return figures
end

local function temporary_directory()
  local name = os.tmpname()
  os.remove(name)
  return name .. ".authstate"
end

-- Opens the store and demonstrates; closes it whatever happens.
local function run_in(context, run, directory)
  local store = context.open { data_dir = directory, append_fsync = "always" }
  local is_whole, figures, message = pcall(demonstrate, context, run, store)
  local is_closed, close_message = store:close()
  if not is_whole then error(figures, 0) end
  if figures and not is_closed then return nil, close_message end
  return figures, message
end

local function run_demo(context)
  if context.options.redis then
    context.misuse "--redis: the demo starts a server of its own; --data-dir says where"
  end
  if context.options.layout then
    context.misuse "--layout: the demo shows the layout typed; accepted: none"
  end
  local run, message = prepare(context)
  if not run then return nil, message end
  local given = context.options["data-dir"]
  local directory = given or temporary_directory()
  local watch = guard.start(directory, not given)
  local is_whole, figures
  is_whole, figures, message = pcall(run_in, context, run, directory)
  watch:dismiss()
  -- The path is one of ours, without quotes.
  if not given then os.execute("rm -rf -- '" .. directory .. "'") end
  if not is_whole then error(figures, 0) end
  if not figures then return nil, message end
  print_table(context, figures)
  context.report:document(figures)
  local is_good = figures.lost == 0 and figures.doubled == 0 and figures.import_exact and
    figures.export_exact
  return is_good or nil
end

return {
  summary = "real sessions on a private server that is killed, every record checked",
  usage = "demo [FILE --trace TRACE] [--fault drop|repeat]",
  positional = { min = 0, max = 1, names = "FILE" },
  options = {
    { name = "trace", value = "TRACE",
      sentence = "the access trace that belongs to FILE" },
    { name = "fault", value = "FAULT", values = { "drop", "repeat" },
      sentence = "drop a write, or repeat one, which must be found" },
  },
  run = run_demo,
}
