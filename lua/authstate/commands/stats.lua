-- SPDX-License-Identifier: MIT
--- authstate stats: figures of a server, and of the store that asks it; or those that a
-- running program has written, which only it knows.

local core = require "authstate.core"
local failure = require "authstate.failure"
local option_rows = require "authstate.options"
local report = require "authstate.report"
local store_inspection = require "authstate.store_inspection"

local PINGS = 20
local TIMEOUT = { timeout_ms = 30000 }
local NOT_TOLD = "not told"

-- ---- a server -------------------------------------------------------------------------

-- What is told of a server: name in a document, what a line says, name in INFO, how it is
-- written.
local FIELDS = {
  { "redis_version", "Redis", "redis_version" },
  { "uptime_s", "up", "uptime_in_seconds", function(n) return report.span(n * 1000) end },
  { "used_memory_bytes", "memory", "used_memory", report.bytes },
  { "maxmemory_bytes", "maxmemory", "maxmemory",
    function(n) return n == 0 and "no bound" or report.bytes(n) end },
  { "maxmemory_policy", "maxmemory-policy", "maxmemory_policy" },
  { "clients", "clients", "connected_clients" },
  { "commands_per_s", "commands now", "instantaneous_ops_per_sec",
    function(n) return ("%.0f/s"):format(n) end },
  { "commands", "commands", "total_commands_processed" },
  { "evicted_keys", "evicted keys", "evicted_keys" },
  { "refused_connections", "refused clients", "rejected_connections" },
}

-- How long the server takes to answer: { p50_ms, max_ms }; or nil and a sentence.
local function measure_ping(store)
  local times = {}
  for i = 1, PINGS + 1 do
    local started_ms = core.now_ms()
    local is_there, message = store:ping(TIMEOUT)
    if not is_there then return nil, message end
    times[i] = core.now_ms() - started_ms
  end
  table.remove(times, 1) -- the connection was made in it
  table.sort(times)
  return { p50_ms = times[PINGS / 2], max_ms = times[PINGS] }
end

local function print_server(context, info)
  local document = {}
  for _, field in ipairs(FIELDS) do
    local name, title, source, show = unpack(field)
    local text = info[source]
    local number = text and text:find "^%d+$" and tonumber(text)
    document[name] = number or text
    if number and show then text = show(number) end
    context.report:line("%-18s %s", title, text or NOT_TOLD)
  end
  return document
end

-- How many sessions there are; or nil and a sentence.
local function count_sessions(store)
  local count, after = 0, nil
  repeat
    local ids, next_page =
      store:sessions { after = after, timeout_ms = TIMEOUT.timeout_ms }
    if not ids then return nil, next_page end
    count, after = count + #ids, next_page
  until not after
  return count
end

local function show_server(context)
  local store = context.open { enable_metrics = true }
  local ping, message = measure_ping(store)
  if not ping then return nil, message end
  local sessions, info
  sessions, message = count_sessions(store)
  if not sessions then return nil, message end
  info, message = store_inspection.read_info(store, TIMEOUT)
  if not info then return nil, message end
  context.report:line("%-18s %s", "server", store.node)
  local document = print_server(context, info)
  context.report:line("%-18s %.3f ms, at most %.3f ms", "ping", ping.p50_ms, ping.max_ms)
  context.report:line("%-18s %d", "sessions", sessions)
  local stats = store:stats()
  context.report:line("%-18s %s out, %s in", "by this command",
    report.bytes(stats.wire.bytes_out), report.bytes(stats.wire.bytes_in))
  document.server, document.ping, document.sessions = store.node, ping, sessions
  context.report:document { server = document, own = stats }
  return true
end

-- ---- a program ------------------------------------------------------------------------

local function read_file(path)
  local file, reason = io.stdin, nil
  if path ~= "-" then file, reason = io.open(path, "rb") end
  if not file then return nil, reason end
  local text
  text, reason = file:read "*a"
  if path ~= "-" then file:close() end
  if not text then return nil, ("%s: %s"):format(path, reason) end
  return text
end

-- What a program has written of store:stats(); or nil and a sentence.
local function read_stats(path)
  local text, reason = read_file(path)
  if not text then return nil, reason end
  local stats, message = core.from_json(text)
  if stats == nil then return nil, ("%s: %s"):format(path, message) end
  if type(stats) ~= "table" or type(stats.uptime_ms) ~= "number" or
     type(stats.wire) ~= "table" then
    return nil, ("%s: these are no figures of store:stats()"):format(path)
  end
  return stats
end

local function sorted(map)
  local names = {}
  for name in pairs(type(map) == "table" and map or {}) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- A number at a path of names, 0 when there is none: the program may be of another
-- version.
local function number_at(stats, ...)
  local value = stats
  for _, name in ipairs { ... } do
    value = type(value) == "table" and value[name] or nil
  end
  return type(value) == "number" and value or 0
end

local function print_operations(context, stats)
  local names = sorted(stats.operations)
  if #names == 0 then
    return context.report:line("%-18s none; enable_metrics counts them", "calls")
  end
  context.report:line("%-18s %12s %8s %12s %12s", "calls", "count", "errors", "p50",
    "p99")
  for _, name in ipairs(names) do
    local function at(field) return number_at(stats, "operations", name, field) end
    context.report:line("  %-16s %12.0f %8.0f %9.3f ms %9.3f ms", report.id(name),
      at "count", at "errors", at "p50_ms", at "p99_ms")
  end
  for _, code in ipairs(sorted(stats.errors)) do
    context.report:line("%-18s %.0f", "error " .. report.id(code),
      number_at(stats, "errors", code))
  end
end

local function print_stats(context, stats)
  local function at(...) return number_at(stats, ...) end
  local function line(name, format, ...)
    context.report:line("%-18s " .. format, name, ...)
  end
  line("up", "%s", report.span(at "uptime_ms"))
  line("memory", "%s", report.bytes(at "memory_bytes"))
  print_operations(context, stats)
  line("batches", "%.0f, %.1f operations in one", at("batch", "count"),
    at("batch", "mean"))
  line("connections", "%.0f of %.0f, made again %.0f times", at("pool", "busy"),
    at("pool", "size"), at("pool", "reconnects"))
  line("waiting", "%.0f operations, %s; until sent %.3f ms (p99)",
    at("queued", "operations"), report.bytes(at("queued", "bytes")),
    at("pool", "wait_p99_ms"))
  line("wire", "%s out, %s in", report.bytes(at("wire", "bytes_out")),
    report.bytes(at("wire", "bytes_in")))
  line("codec", "%s of JSON as %s", report.bytes(at("codec", "bytes_in")),
    report.bytes(at("codec", "bytes_stored")))
  line("cache", "%.0f entries, %s of %s, %.1f %% hits", at("cache", "entries"),
    report.bytes(at("cache", "bytes")), report.bytes(at("cache", "capacity_bytes")),
    100 * at("cache", "hit_ratio"))
  line("left the cache", "%.0f evicted, %.0f invalidated; %.0f refused",
    at("cache", "evictions"), at("cache", "invalidations"), at("cache", "refused"))
end

local function show_file(context, path)
  for _, name in ipairs { "redis", "data-dir", "layout", "profile" } do
    if context.options[name] then
      context.misuse(("--%s: %s is a file of figures, no server is asked"):format(name,
        failure.show(path)))
    end
  end
  local stats, message = read_stats(path)
  if not stats then return nil, message end
  print_stats(context, stats)
  context.report:document(stats)
  return true
end

local function run(context)
  local is_right, wrong = option_rows.check { prefix = context.options.prefix }
  if not is_right then context.misuse(option_rows.message(wrong)) end
  if context.arguments[1] then return show_file(context, context.arguments[1]) end
  return show_server(context)
end

return {
  summary = "figures of a server, or those that a program has written",
  usage = "stats [FILE] [--redis URL]",
  positional = { min = 0, max = 1, names = "FILE" },
  run = run,
}
