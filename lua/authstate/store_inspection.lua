-- SPDX-License-Identifier: MIT
--- What may be told of a store: what Redis it is, whether that keeps what it
-- acknowledged, and a little of each session.

local core = require "authstate.core"
local report = require "authstate.report"

local store_inspection = {}

-- What a server says no with when it does not let this user ask, or has no such command.
local REFUSALS = { denied = true, server = true, unsupported = true }

local function perform(store, options, command)
  local replies, message, code, details =
    store:perform(store:begin(nil, options, 1), { commands = { command } })
  if not replies then return nil, message, code, details end
  return replies[1]
end

-- The reply of one command, nil alone when the server does not tell; or E.
local function ask(store, options, command)
  local reply, message, code, details = perform(store, options, command)
  if reply or REFUSALS[code] then return reply end
  return nil, message, code, details
end

--- Milliseconds of the Unix epoch by the server's clock, by ours when it does not tell.
function store_inspection.server_time_ms(store, options)
  local time = perform(store, options, { "TIME" })
  if not time then return os.time() * 1000 end
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

--- When a session was last written: { utc, unix_ms, ago_ms }; nil when nothing tells.
-- @param info of Store:session_info
function store_inspection.last_write(info, now_ms)
  if not info.last_write_ms then return nil end
  return {
    utc = report.utc(info.last_write_ms), unix_ms = info.last_write_ms,
    ago_ms = math.max(0, now_ms - info.last_write_ms),
  }
end

--- { [name] = value } of INFO, empty when the server does not tell; or E.
function store_inspection.read_info(store, options)
  local text, message, code, details = ask(store, options, { "INFO" })
  if message then return nil, message, code, details end
  local fields = {}
  for name, value in (text or ""):gmatch "([%w_]+):([^\r\n]*)" do fields[name] = value end
  return fields
end

-- { [name] = value } of CONFIG, the same.
local function read_config(store, options)
  local flat, message, code, details =
    ask(store, options, { "CONFIG", "GET", "append*", "maxmemory-policy" })
  if message then return nil, message, code, details end
  local fields = {}
  for i = 1, #(flat or {}), 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- What decides whether Redis keeps what it acknowledged. CONFIG is refused more often
-- than INFO, which has the most of it too.
local function read_settings(store, options)
  local info, message, code, details = store_inspection.read_info(store, options)
  if not info then return nil, message, code, details end
  local config
  config, message, code, details = read_config(store, options)
  if not config then return nil, message, code, details end
  local is_on = info.aof_enabled and (info.aof_enabled == "1" and "yes" or "no")
  return {
    server = store.node,
    redis_version = info.redis_version,
    appendonly = config.appendonly or is_on,
    appendfsync = config.appendfsync,
    maxmemory_policy = config["maxmemory-policy"] or info.maxmemory_policy,
  }
end

local function warnings_of(settings)
  local warnings = core.array {}
  local policy = settings.maxmemory_policy
  if policy and policy ~= "noeviction" then
    warnings[#warnings + 1] = ("maxmemory-policy is %s: Redis may throw keys away, and "
      .. "a session that lost one must be paired again; set it to noeviction")
      :format(policy)
  end
  if settings.appendonly == "no" then
    warnings[#warnings + 1] = "appendonly is no: a crash of Redis loses what was "
      .. "acknowledged since its last snapshot; set it to yes"
  end
  return warnings
end

-- The ids of all sessions, sorted by their bytes, each once; or E.
local function list_sessions(store, options)
  local sorted, after = {}, nil
  repeat
    local ids, next_page, code, details =
      store:sessions { after = after, timeout_ms = options.timeout_ms }
    if not ids then return nil, next_page, code, details end
    for _, id in ipairs(ids) do sorted[#sorted + 1] = id end
    after = next_page
  until not after
  table.sort(sorted)
  local all = {}
  for _, id in ipairs(sorted) do
    if id ~= all[#all] then all[#all + 1] = id end
  end
  return all
end

-- Nil alone for a session that is gone meanwhile; or E.
local function describe_session(store, options, id, now_ms)
  local info, message, code, details = store:session_info(id, options)
  if not info then return nil, message, code, details end
  local records = info.creds
  for _, count in pairs(info.counts) do records = records + count end
  return {
    session = id, records = records, memory_bytes = info.bytes, version = info.version,
    last_write = store_inspection.last_write(info, now_ms),
  }
end

local function describe_sessions(store, options, on_progress)
  local ids, message, code, details = list_sessions(store, options)
  if not ids then return nil, message, code, details end
  local now_ms, described = store_inspection.server_time_ms(store, options), core.array {}
  for i, id in ipairs(ids) do
    local each
    each, message, code, details = describe_session(store, options, id, now_ms)
    if message then return nil, message, code, details end
    described[#described + 1] = each
    on_progress(i, #ids)
  end
  return described
end

--- Describes a store.
-- @param options { timeout_ms } of each of its calls
-- @param on_progress function(sessions read, of how many)
-- @return { server (URL without secrets), redis_version, appendonly, appendfsync,
--   maxmemory_policy (each nil when the server does not tell), warnings = list of
--   sentences, sessions = list of { session, records, memory_bytes, version, last_write
--   }, sorted by the bytes of their ids }; or E
function store_inspection.read(store, options, on_progress)
  local described, message, code, details = read_settings(store, options)
  if not described then return nil, message, code, details end
  described.warnings = warnings_of(described)
  described.sessions, message, code, details =
    describe_sessions(store, options, on_progress)
  if not described.sessions then return nil, message, code, details end
  return described
end

return store_inspection
