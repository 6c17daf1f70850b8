-- SPDX-License-Identifier: MIT
--- The first half of the demo: a real session goes in, lives through the calls that its
-- library made, and comes out, every answer and every record compared with a model kept
-- outside the store.

local batch = require "authstate.batch"
local core = require "authstate.core"
local session_file = require "authstate.session_file"
local trace = require "authstate.demo.trace"

local replay = {}

local SESSION = "demo"

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

local function read(session, run, call)
  local found, message = session.keys:get_json(call[2], call[3])
  if not found then return nil, message end
  run.model:check_read(call[2], call[3], found)
  return true
end

-- Does a line of the trace and takes its time, but for the model's part in a write.
local function do_call(session, run, at, times)
  local call = run.calls[at]
  local change
  if call[1] ~= "get" then
    change = trace.advance(run.model, call)
    if at == run.withheld then return true end
  end
  local started_ms = core.now_ms()
  local done, message
  if call[1] == "get" then
    done, message = read(session, run, call)
  else
    done, message = trace.write(session, call, change)
  end
  if not done then return nil, message end
  table.insert(times[call[1]], core.now_ms() - started_ms)
  return true
end

local function replay_calls(context, session, run)
  local times = { get = {}, set = {}, creds = {} }
  for at = 1, #run.calls do
    local done, message = do_call(session, run, at, times)
    if not done then return nil, message end
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
  return text == expected, loaded
end

local function percentile_us(times, share)
  if #times == 0 then return 0 end
  table.sort(times)
  return times[math.max(1, math.ceil(#times * share))] * 1e3
end

local function figures_of(store, run, times)
  local totals = store.driver:statistics()
  return {
    calls = #run.calls, reads = #times.get, writes = #times.set,
    round_trips = totals.operations, bytes_out = totals.bytes_out,
    bytes_in = totals.bytes_in, json_bytes = run.split.json_bytes,
    read_p50_us = percentile_us(times.get, 0.5),
    read_p99_us = percentile_us(times.get, 0.99),
    write_p50_us = percentile_us(times.set, 0.5),
    write_p99_us = percentile_us(times.set, 0.99),
  }
end

local function yes_or_no(is_true)
  return is_true and "yes" or "NO"
end

--- Runs it.
-- @param context of the command
-- @param run { split, calls, model, withheld = index of a call or nil }
-- @param store
-- @return figures; or nil and a sentence
function replay.run(context, run, store)
  local session = store:session(SESSION)
  local stored_bytes, message = import(context, session, run.split)
  if not stored_bytes then return nil, message end
  local is_imported
  is_imported, message = compare_export(session, assert(session_file.compose(run.split)))
  if is_imported == nil then return nil, message end
  context.report:line("load     every record as imported: %s", yes_or_no(is_imported))
  local times
  times, message = replay_calls(context, session, run)
  if not times then return nil, message end
  local is_exported, loaded =
    compare_export(session, assert(session_file.compose(run.model:session())))
  if is_exported == nil then return nil, loaded end
  context.report:line("export   byte for byte as the model: %s", yes_or_no(is_exported))
  local figures = figures_of(store, run, times)
  figures.records = run.model:check_all(loaded)
  figures.lost, figures.stored_bytes = run.model.lost_count, stored_bytes
  figures.import_exact, figures.export_exact = is_imported, is_exported
  return figures
end

return replay
