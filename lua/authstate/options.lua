-- SPDX-License-Identifier: MIT
--- The options of `authstate.open`: one row each. Checking, defaults, suggestions and the
-- documentation all come from these rows.
--
-- A row: name, kind ("string" "number" "boolean" "function" "table" "redis"), unit,
-- default, min and max of a number, values (the only ones accepted), is_file of a path,
-- sentence (Markdown). Two kinds take more: "choice" is one of the values or a number,
-- "number per type" is a number or { [type of record] = number }.
-- A row with `later` is an option whose feature is not there yet: it is refused, except
-- with one of the values in `already`, which say what happens anyway.

local failure = require "authstate.failure"
local layers = require "authstate.option_layers"
local suggest = require "authstate.suggest"
local url = require "authstate.url"

local MIB = 1024 * 1024
local DAY_MS = 24 * 3600 * 1000
local MAX_SOCKET_PATH = 107
local MAX_FILE_PATH = 4095
local MAX_HOST = 255

local options = {}

--- The rows, in the order of doc/options.md, which is written from them: `make options`.
options.rows = {
  { name = "redis", kind = "redis",
    sentence = "Where Redis is: a URL, or a table, see below. Without it, a private "
      .. "server is started." },
  { name = "data_dir", kind = "string",
    sentence = "Directory of the private server; by default `authstate` under "
      .. "`$XDG_STATE_HOME` or `~/.local/state`." },
  { name = "append_fsync", kind = "string", default = "everysec",
    values = { "everysec", "always" },
    sentence = "When the private server forces its log to disk: `always` before it "
      .. "answers, `everysec` once a second (a crash of the machine may lose two "
      .. "seconds)." },
  { name = "open_timeout_ms", kind = "number", unit = "ms", default = 30000, min = 1,
    max = 3600000,
    sentence = "How long `open` waits for the private server: it loads its whole log "
      .. "first." },
  { name = "prefix", kind = "string", default = "authstate:",
    sentence = "First part of every key; at most 128 bytes, no braces." },
  { name = "layout", kind = "string", default = "typed",
    sentence = "How a session maps to keys: a layout's name or its script's path." },
  { name = "profile", kind = "string", default = "default",
    sentence = "A set of options below those given here: a profile's name or its "
      .. "script's path." },
  { name = "max_value_bytes", kind = "number", unit = "bytes", default = 8 * MIB,
    min = 1024, max = 256 * MIB, sentence = "Bound of one stored value." },
  { name = "max_commit_bytes", kind = "number", unit = "bytes", default = 64 * MIB,
    min = 1024, max = 512 * MIB, sentence = "Bound of all values of one write." },
  { name = "queue_max_operations", kind = "number", default = 100000, min = 1,
    max = 10000000,
    sentence = "Operations that may wait; beyond, `overloaded` at once." },
  { name = "queue_max_bytes", kind = "number", unit = "bytes", default = 256 * MIB,
    min = 4096, max = 2048 * MIB,
    sentence = "Request bytes that may wait; beyond, `overloaded` at once." },
  { name = "tombstone_ttl_ms", kind = "number", unit = "ms", default = 30 * DAY_MS,
    min = 1000, max = 3650 * DAY_MS,
    sentence = "How long a deleted session is remembered as deleted." },
  { name = "log", kind = "function",
    sentence = "`log(level, message, fields)` is called for what a person should know." },
  { name = "log_level", kind = "string", default = "warn",
    values = { "error", "warn", "info", "debug", "verbose" },
    sentence = "The least important level that is logged." },
  { name = "serializer", kind = "string", default = "cbor",
    sentence = "How a value becomes bytes: `cbor`, `json`, or the name or path of a "
      .. "script." },
  { name = "compression", kind = "choice", default = false,
    values = { false, "lz4", "zstd", "gzip" }, min = 1, max = 9,
    sentence = "How values are compressed, where that saves enough; a number is a level "
      .. "of gzip. Whatever it is, all values are read." },
  { name = "compression_threshold_bytes", kind = "number per type", unit = "bytes",
    min = 0, max = 256 * MIB,
    sentence = "Smaller values are not compressed: a number for all, or `{ [type] = "
      .. "number }`, where `creds` is a type. A type that is not named has 96, or 4096 "
      .. "when it is `session` or `sender-key` in CBOR: little but random bytes." },
  { name = "compression_min_gain_bytes", kind = "number", unit = "bytes", default = 16,
    min = 1, max = MIB,
    sentence = "A value is stored compressed when that makes it smaller by as much." },
  { name = "compression_min_gain_percent", kind = "number", unit = "percent",
    default = 5, min = 0, max = 99,
    sentence = "The same as a share of the value; both must hold." },
  { name = "enable_batching", kind = "boolean", default = true,
    sentence = "Whether operations of several tasks leave together, reads of one hash as "
      .. "one command; without it each leaves at once." },
  { name = "batch_size", kind = "number", default = 256, min = 1, max = 100000,
    sentence = "How many operations leave together at most." },
  { name = "batch_window_ms", kind = "number", unit = "ms", default = 10, min = 0,
    max = 1000, sentence = "How long an operation waits for others at most; it leaves as "
      .. "soon as no task can go on." },
  { name = "pool_size", kind = "number", default = 1, min = 1, max = 64,
    sentence = "Connections to one server; a session stays on one." },
  { name = "enable_cache", kind = "boolean", default = true,
    sentence = "Whether records that were read are kept in this process, and the server "
      .. "asked to tell when others change them; with `writes = \"plain\"` only when it "
      .. "is said. See `cache.md`." },
  { name = "cache_ttl_ms", kind = "number per type", unit = "ms", default = 300000,
    min = 1, max = DAY_MS,
    sentence = "How long a kept record is served, from when it was read: the bound when "
      .. "the network hides what changes. A number for all, or `{ [type] = number }`; a "
      .. "type that is not named has no bound but the server's word." },
  { name = "cache_max_bytes", kind = "number", unit = "bytes", min = 65536,
    max = 1024 * 1024 * MIB,
    sentence = "Bound of all kept records, their tables included, for all stores of the "
      .. "process that ask for the same; by default 1/32 of the machine's memory, from "
      .. "16 to 256 MiB, which the workers of nginx share out." },
  { name = "policy", kind = "string", default = "tinylfu",
    sentence = "Which kept record goes first when there is no room: the name or path of "
      .. "a script, see `policies.md`." },
  { name = "preload", kind = "string",
    sentence = "What else is read in the same round trip: `signal`, `learned`, or the "
      .. "path of a script; by default nothing." },
  { name = "preload_limit", kind = "number", default = 32, min = 1, max = 1000,
    sentence = "How many records a preload rule may add to one read." },
  { name = "memory_efficient", kind = "boolean", default = true,
    sentence = "Whether kept records are stored packed only; `false` also keeps decoded "
      .. "tables, for readers that say `shared = true`." },
  { name = "coherent", already = { true }, later = true,
    sentence = "Whether the server tells when a kept value changes." },
  { name = "writes", kind = "string", default = "checked",
    values = { "checked", "plain" },
    sentence = "Whether the server checks who writes, by one script for each write; "
      .. "`plain` is quicker, for a sole writer, and may write twice what a lost "
      .. "connection has made unsure." },
  { name = "durability", later = true,
    sentence = "How many replicas must have a write before it is acknowledged." },
  { name = "encryption", kind = "table",
    sentence = "Encrypts stored values, with the options below; see `security.md`." },
  { name = "owner", later = true,
    sentence = "The name under which this process holds leases." },
  { name = "debug", kind = "boolean", default = false,
    sentence = "Whether every call is logged, at the level `debug`, whatever `log_level` "
      .. "says; without `log`, to standard error." },
  { name = "slow_ms", kind = "number", unit = "ms", min = 0, max = 3600000,
    sentence = "A call that takes longer is logged as a warning; see `metrics.md`." },
  { name = "enable_metrics", kind = "boolean", default = false,
    sentence = "Whether calls, failures and times are counted for `store:stats()`." },
  { name = "on_operation", kind = "function",
    sentence = "`on_operation(operation)` is called after each call, and told what it "
      .. "did; see `metrics.md`." },
}

--- The rows of `redis.socket`.
options.socket_rows = {
  { name = "connect_timeout_ms", kind = "number", unit = "ms", default = 2000, min = 1,
    max = 600000, sentence = "How long connecting and greeting may take together." },
  { name = "command_timeout_ms", kind = "number", unit = "ms", default = 5000, min = 1,
    max = 3600000, sentence = "Deadline of a call that gives no timeout_ms." },
  { name = "keep_alive", kind = "boolean", default = true,
    sentence = "Whether the system probes an idle TCP connection (SO_KEEPALIVE)." },
  { name = "no_delay", kind = "boolean", default = true,
    sentence = "Whether small requests leave at once (TCP_NODELAY)." },
  { name = "health_timeout_ms", kind = "number", unit = "ms", default = 10000, min = 100,
    max = 3600000,
    sentence = "How long a server that owes replies may send nothing; then the "
      .. "connection is given up and another one is made." },
  { name = "quarantine_ms", kind = "number", unit = "ms", default = 30000, min = 1000,
    max = 3600000,
    sentence = "How long a session refuses writes, when a connection broke amid writes "
      .. "of it and the server does not let us end it (CLIENT KILL): the longest that "
      .. "sent bytes may take." },
  { name = "max_age_ms", kind = "number", unit = "ms", default = 0, min = 0,
    max = 86400000, sentence = "Age at which a connection is replaced, once all it was "
      .. "sent is answered; 0: never." },
}

--- The rows of `redis.tls`.
options.tls_rows = {
  { name = "ca", kind = "string", is_file = true,
    sentence = "PEM file of the authorities to trust, instead of those of the system." },
  { name = "cert", kind = "string", is_file = true,
    sentence = "PEM file of the certificate to show, with those above it; for a server "
      .. "that wants one." },
  { name = "key", kind = "string", is_file = true,
    sentence = "PEM file of the private key of `cert`, without a passphrase." },
  { name = "server_name", kind = "string",
    sentence = "Name to ask for (SNI) and to find in the server's certificate; by "
      .. "default the host. An address is looked for among those of the certificate." },
  { name = "insecure", kind = "boolean", default = false,
    sentence = "Whether any certificate will do: anybody in between can read and change "
      .. "everything. For trials." },
}

--- The rows of `encryption`.
options.encryption_rows = {
  { name = "keys", kind = "table",
    sentence = "`{ [id] = key }`: a key is 32 bytes (`authstate.bytes`), 64 hexadecimal "
      .. "digits, base64, or `{ file = path }`; an id is a number from 0 to 255." },
  { name = "primary", kind = "number", min = 0, max = 255,
    sentence = "Id of the key that encrypts; all others only read what they wrote." },
  { name = "required", kind = "boolean", default = false,
    sentence = "Whether a value that is not encrypted is refused as `corrupt`, rather "
      .. "than read." },
}

--- The rows of `redis`, when it is a table.
options.redis_rows = {
  { name = "url", kind = "string",
    sentence = "`redis://[[user]:password@]host[:port][/db]`, the same with `rediss://` "
      .. "for TLS, or `unix:///path[?db=0]`; the other fields go before what it says." },
  { name = "path", kind = "string",
    sentence = "Path of a unix socket; at most 107 bytes." },
  { name = "host", kind = "string",
    sentence = "Name or address; 127.0.0.1 without url and path." },
  { name = "port", kind = "number", min = 1, max = 65535,
    sentence = "Port; 6379 without url and path." },
  { name = "username", kind = "string",
    sentence = "User of the server's ACL; with a password only." },
  { name = "password", kind = "string",
    sentence = "Password; it is never shown in messages." },
  { name = "database", kind = "number", min = 0, max = 1000000,
    sentence = "Number of the database; 0 when nothing says another one." },
  { name = "socket", kind = "table",
    sentence = "Options of the connection, see below." },
  { name = "tls", kind = "table",
    sentence = "TLS, with the options below; `{}` is what `rediss://` says." },
  { name = "sentinels", later = true, sentence = "Sentinels that know the master." },
  { name = "master", later = true, sentence = "The name sentinels have for it." },
}

--- The full names of all options: { ["redis.socket.no_delay"] = true }.
function options.full_names()
  local known = {}
  for prefix, rows in pairs {
    [""] = options.rows, ["redis."] = options.redis_rows,
    ["redis.socket."] = options.socket_rows, ["redis.tls."] = options.tls_rows,
    ["encryption."] = options.encryption_rows,
  } do
    for _, row in ipairs(rows) do known[prefix .. row.name] = true end
  end
  return known
end

local ARTICLE = {
  string = "a string", number = "a number", boolean = "true or false",
  table = "a table", ["function"] = "a function",
}

local function names(rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row.name end
  return list
end

local function contains(list, value)
  for _, each in ipairs(list or {}) do
    if each == value then return true end
  end
  return false
end

local function quoted(list)
  local shown = {}
  for i, each in ipairs(list) do shown[i] = failure.show(each) end
  return table.concat(shown, ", ")
end

local function strings_in(list)
  local strings = {}
  for _, each in ipairs(list) do
    if type(each) == "string" then strings[#strings + 1] = each end
  end
  return strings
end

local function number_fault(row, value)
  if value ~= value or value < row.min or value > row.max or value % 1 ~= 0 then
    return ("must be a whole number from %d to %d%s"):format(row.min, row.max,
      row.unit and " " .. row.unit or "")
  end
end

-- A text that is no path may be the key itself: it is not shown, see options.show.
local function file_fault(value)
  if value:find("-----BEGIN", 1, true) then
    return "is the text of a PEM file; accepted: the path of one"
  elseif value == "" or value:find "%c" or #value > MAX_FILE_PATH then
    return "is no path; accepted: the path of a PEM file"
  end
end

local function choice_fault(row, value)
  if contains(row.values, value) then return nil end
  if type(value) == "number" and not number_fault(row, value) then return nil end
  return ("must be one of %s, or a whole number from %d to %d%s"):format(
    quoted(row.values), row.min, row.max, type(value) == "string" and
      suggest.phrase(value, strings_in(row.values)) or "")
end

local function per_type_fault(row, value)
  if type(value) == "number" then return number_fault(row, value) end
  if type(value) ~= "table" then return "must be a number, or { [type] = number }" end
  for kind, number in pairs(value) do
    if type(kind) ~= "string" then
      return ("has the key %s; accepted: types of records"):format(failure.show(kind))
    end
    local wrong = type(number) ~= "number" and "must be a number"
      or number_fault(row, number)
    if wrong then
      return ("has %s for %s, which %s"):format(failure.show(number), failure.show(kind),
        wrong)
    end
  end
end

local FAULTS = { choice = choice_fault, ["number per type"] = per_type_fault }

local function later_fault(row, value)
  if contains(row.already, value) then return nil end
  local already = row.already and "; accepted now: " .. quoted(row.already) or ""
  return "is not there yet in this version" .. already
end

-- What is wrong with a value, nil when nothing is.
local function fault(row, value)
  if row.later then return later_fault(row, value) end
  if FAULTS[row.kind] then return FAULTS[row.kind](row, value) end
  if type(value) ~= row.kind then return "must be " .. ARTICLE[row.kind] end
  if row.kind == "number" then return number_fault(row, value) end
  if row.is_file then return file_fault(value) end
  if row.values and not contains(row.values, value) then
    return "must be one of " .. quoted(row.values) .. suggest.phrase(value, row.values)
  end
end

-- Options whose values may hold secrets, by a word in their names.
local SECRETS = { "password", "url", "tls", "sentinels", "encryption" }

--- Text of an option's value in a message. Secrets do not go into messages.
-- @param name full, such as "redis.password"
function options.show(name, value)
  for _, word in ipairs(SECRETS) do
    local is_secret = name:find(word, 1, true) and type(value) ~= "table"
    if is_secret then return "the given value" end
  end
  return failure.show(value)
end

-- ---- checking -------------------------------------------------------------------------

-- Something wrong: { option = full name, value, sentence }.
local function complain(faults, option, value, format, ...)
  faults[#faults + 1] = {
    option = option, value = value, sentence = format:format(...),
  }
end

-- Checks a table against rows. What is right of it; for the rest `faults` grows. The
-- value of a row of kind "redis" is left to check_redis.
local function check_rows(rows, given, path, faults)
  local by_name, given_names, right = {}, {}, {}
  for _, row in ipairs(rows) do by_name[row.name] = row end
  for name in pairs(given) do given_names[#given_names + 1] = name end
  table.sort(given_names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(given_names) do
    local row, value, full_name = by_name[name], given[name], path .. tostring(name)
    local wrong = row and row.kind ~= "redis" and fault(row, value)
    if not row then
      complain(faults, full_name, value, 'unknown option "%s"%s', full_name,
        suggest.phrase(tostring(name), names(rows)))
    elseif wrong then
      complain(faults, full_name, value, 'option "%s": %s %s', full_name,
        options.show(full_name, value), wrong)
    else
      right[name] = value
    end
  end
  return right
end

local function check_server_name(name, faults)
  if name and (name == "" or #name > MAX_HOST or name:find "[%c%s]") then
    complain(faults, "redis.tls.server_name", name,
      'option "redis.tls.server_name": %s is no name; accepted: a host name or an '
      .. "address of at most %d bytes", failure.show(name), MAX_HOST)
  end
end

-- What is right of the option `redis`, as a table; nil when something is wrong.
local function check_redis(given, faults)
  local named = type(given) == "string" and "redis" or "redis.url"
  if type(given) == "string" then given = { url = given } end
  if type(given) ~= "table" then
    complain(faults, "redis", given, 'option "redis": %s must be a URL or a table',
      failure.show(given))
    return nil
  elseif given[1] ~= nil then
    complain(faults, "redis", given, 'option "redis": a list, the seeds of a cluster, is '
      .. "not there yet in this version; accepted: a URL or a table that name one server")
    return nil
  end
  local before = #faults
  local right = check_rows(options.redis_rows, given, "redis.", faults)
  if right.socket then
    right.socket = check_rows(options.socket_rows, right.socket, "redis.socket.", faults)
  end
  if right.tls then
    right.tls = check_rows(options.tls_rows, right.tls, "redis.tls.", faults)
    check_server_name(right.tls.server_name, faults)
  end
  if #faults > before then return nil end
  if right.url == nil then return right end
  local parsed, reason = url.parse(right.url)
  if parsed then return right end
  complain(faults, named, right.url, 'option "redis": %s', reason)
end

-- What is wrong with one of the keys, as far as can be told without decoding it.
local function key_fault(id, key)
  if type(id) ~= "number" or id % 1 ~= 0 or id < 0 or id > 255 then
    return ("%s is no id of a key; accepted: a whole number from 0 to 255"):format(
      type(id) == "number" and tostring(id) or "a " .. type(id))
  elseif type(key) == "table" and (type(key.file) ~= "string" or key.file == "" or
     key.file:find "%c" or next(key, next(key)) ~= nil) then
    return ("the key %d is a table; accepted: { file = path }"):format(id)
  end
end

-- Keys are said all at once: with a metatable they are not merged with those of a
-- profile.
local KEYS = { __name = "authstate.encryption_keys" }

-- What is right of the option `encryption`, by itself.
local function check_encryption(given, faults)
  local right = check_rows(options.encryption_rows, given, "encryption.", faults)
  if not right.keys then return right end
  local keys = setmetatable({}, KEYS)
  for id, key in pairs(right.keys) do
    local wrong = key_fault(id, key)
    if wrong then
      complain(faults, "encryption.keys", right.keys, 'option "encryption.keys": %s',
        wrong)
    else
      keys[id] = key
    end
  end
  if next(right.keys) == nil then
    complain(faults, "encryption.keys", right.keys,
      'option "encryption.keys": there is no key; accepted: { [id] = key }')
  end
  right.keys = keys
  return right
end

local function check_data_dir(path, faults)
  if path and (path == "" or path:find("\0", 1, true)) then
    complain(faults, "data_dir", path,
      'option "data_dir": %s is no path; accepted: the path of a directory',
      failure.show(path))
  end
end

local function check_prefix(prefix, faults)
  if prefix and (#prefix > 128 or prefix:find("[{}]")) then
    complain(faults, "prefix", prefix,
      'option "prefix": %s must have at most 128 bytes and no braces',
      failure.show(prefix))
  end
end

local function check_place(has_server, data_dir, faults)
  if has_server and data_dir ~= nil then
    complain(faults, "data_dir", data_dir, 'options "redis" and "data_dir" exclude each '
      .. "other: data_dir is the directory of the private server")
  end
end

local function check_given(given, has_server, faults)
  local right = check_rows(options.rows, given, "", faults)
  if given.redis ~= nil then right.redis = check_redis(given.redis, faults) end
  if right.encryption then
    right.encryption = check_encryption(right.encryption, faults)
  end
  check_prefix(right.prefix, faults)
  check_data_dir(right.data_dir, faults)
  check_place(has_server, given.data_dir, faults)
  return right
end

--- Checks options that go below others: those of a profile. Their `redis` need not say
-- where a server is.
-- @param given table
-- @return what is right of them, `redis` as a table; list of what is wrong: { option =
--   full name, value, sentence }
function options.check_part(given)
  local faults, redis = {}, given.redis
  local has_server = type(redis) == "string" or type(redis) == "table"
    and layers.names_server(redis)
  return check_given(given, has_server, faults), faults
end

-- ---- completing -----------------------------------------------------------------------

local function add_defaults(rows, values)
  for _, row in ipairs(rows) do
    if values[row.name] == nil then values[row.name] = row.default end
  end
  return values
end

-- A socket's options, with those that are not said.
local function complete_socket(said)
  return add_defaults(options.socket_rows, layers.merge_tables(said or {}, {}))
end

--- What a socket is given when nothing is said.
function options.default_socket()
  return complete_socket()
end

-- What does not go together in `redis.tls`, or with the rest of the server.
local function check_tls(server, faults)
  local tls = server.tls
  if server.path then
    complain(faults, "redis.tls", tls, 'option "redis.tls": there is no TLS over a unix '
      .. "socket, which does not leave the machine; accepted: a host, or no tls")
  end
  if (tls.cert == nil) ~= (tls.key == nil) then
    local given, missing = "cert", "key"
    if tls.key then given, missing = missing, given end
    complain(faults, "redis.tls." .. given, tls[given],
      'option "redis.tls.%s": given without redis.tls.%s; accepted: both, or neither',
      given, missing)
  end
end

-- The encryption, with what is not said.
local function complete_encryption(said, origins, faults)
  local complete = add_defaults(options.encryption_rows, layers.merge_tables(said, {}))
  for _, name in ipairs { "keys", "primary" } do
    if complete[name] == nil then
      complain(faults, "encryption", said,
        'option "encryption": %s is missing; accepted: { keys = { [1] = key }, primary '
        .. "= 1 }", name)
      return complete
    end
  end
  if complete.keys[complete.primary] == nil then
    complain(faults, "encryption.primary", complete.primary,
      'option "encryption.primary": %d is none of encryption.keys; accepted: the id of '
      .. "one of them", complete.primary)
    faults[#faults].origin = origins["encryption.primary"]
  end
  return complete
end

-- The server that `redis` names, with all that is not said.
local function complete_server(redis, origins, faults)
  local named = redis.url and "redis.url" or "redis.path"
  local server = layers.merge_tables(redis.url and url.parse(redis.url) or {}, redis)
  if not server.path then
    server.host = server.host or "127.0.0.1"
    server.port = server.port or 6379
  end
  server.database = server.database or 0
  server.socket = complete_socket(server.socket)
  local before = #faults
  if server.tls then
    server.tls = add_defaults(options.tls_rows, layers.merge_tables(server.tls, {}))
    check_tls(server, faults)
  end
  -- What stands in the place of a user may be the password.
  if server.username and not server.password then
    complain(faults, redis.username and "redis.username" or named, server.username,
      'option "redis": a user is given without a password; accepted: both, or neither; '
      .. "a password alone is written redis://:password@host")
  end
  if server.path and #server.path > MAX_SOCKET_PATH then
    complain(faults, redis.path and "redis.path" or named, server.path,
      'option "redis": the socket path has %d bytes, at most %d are possible',
      #server.path, MAX_SOCKET_PATH)
  end
  for i = before + 1, #faults do faults[i].origin = origins[faults[i].option] end
  return server
end

--- Checks what was given to `open`, puts it above the options of a profile and fills in
-- the defaults.
-- @param given table
-- @param below options of a profile, merged; nil for none
-- @param origins see `layers.merge`; follows
-- @return the options; `redis` is nil or { path | host, port, username, password,
--   database, socket, tls }, without it `socket` is that of the private server; or nil
--   and a list of what is wrong: { option, value, sentence, origin }
function options.check(given, below, origins)
  local faults, has_server = {}, given.redis ~= nil
  local right = check_given(given, has_server, faults)
  origins = origins or {}
  local checked = layers.merge(below or {}, right, origins)
  -- Here, but not in a profile, a table without an address means 127.0.0.1.
  if has_server then checked.data_dir, origins.data_dir = nil, nil end
  if has_server or layers.names_server(checked.redis) then
    checked.redis = complete_server(checked.redis or {}, origins, faults)
  else
    checked.socket = complete_socket(checked.redis and checked.redis.socket)
    checked.redis = nil
  end
  if checked.encryption and #faults == 0 then
    checked.encryption = complete_encryption(checked.encryption, origins, faults)
  end
  if #faults > 0 then return nil, faults end
  return add_defaults(options.rows, checked)
end

--- All sentences of a list of faults, one line each.
function options.message(faults)
  local lines = {}
  for i, each in ipairs(faults) do lines[i] = (each.place or "") .. each.sentence end
  return table.concat(lines, "\n")
end

return options
