-- SPDX-License-Identifier: MIT
--- The command line: finds the command, checks its arguments, runs it, and ends the
-- process with 0 when it is done, 1 when it failed, 2 when it was called wrongly.
--
-- A command is a file in commands/: { summary, usage, options = rows (see arguments.lua),
-- positional = { min, max }, has_no_store = boolean (it takes no option that says where
-- one is), run = function(context) -> true | nil, message }. The
-- context has `options`, `arguments` (the positional ones), `report` (see report.lua),
-- `open()` for a store that is closed at the end, `session()` for the session that
-- --session names in it, `misuse(message)` for a wrong call, and for a command that runs
-- code of the user's `is_interrupt(raised)` and `exit(status)`.

local arguments = require "authstate.arguments"
local report = require "authstate.report"
local store = require "authstate.store"
local suggest = require "authstate.suggest"
local version = require "authstate.version"

local command = {}

local DONE, FAILED, USAGE = 0, 1, 2

-- Code of the user's sees another one.
local exit_process = os.exit

local NAMES = {
  "import", "export", "sessions", "get", "inspect", "delete", "rotate-keys", "run",
  "check", "profile", "stats", "sim", "replay", "demo",
}

-- What every command understands that opens a store.
local STORE_OPTIONS = {
  { name = "redis", value = "URL",
    sentence = "the Redis server; without it the private one" },
  { name = "data-dir", value = "DIR", sentence = "directory of the private server" },
  { name = "layout", value = "LAYOUT",
    sentence = "how a session maps to keys: a name, or the path of a script" },
  { name = "profile", value = "PROFILE",
    sentence = "options below those given here: a name, or the path of a script" },
}

-- What every command understands.
local COMMON_OPTIONS = {
  { name = "prefix", value = "PREFIX", sentence = "first part of every key" },
  { name = "json", sentence = "JSON for programs" },
  { name = "help", sentence = "this text" },
}

local function load_command(name)
  return require("authstate.commands." .. name)
end

local function is_known(name)
  for _, known in ipairs(NAMES) do
    if known == name then return true end
  end
  return false
end

local function general_help()
  local lines = { "usage: authstate COMMAND [ARGUMENTS]", "" }
  for _, name in ipairs(NAMES) do
    lines[#lines + 1] = ("  %-11s %s"):format(name, load_command(name).summary)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] =
    "authstate COMMAND --help tells more; authstate --version the version."
  return table.concat(lines, "\n") .. "\n"
end

local function rows_of(chosen)
  local rows = {}
  local store_rows = chosen.has_no_store and {} or STORE_OPTIONS
  for _, some in ipairs { chosen.options or {}, store_rows, COMMON_OPTIONS } do
    for _, row in ipairs(some) do rows[#rows + 1] = row end
  end
  return rows
end

local function complain(name, message)
  io.stderr:write("authstate ", name, ": ", message, "\n")
end

local function usage_error(message)
  io.stderr:write("authstate: ", message, "\n")
  return USAGE
end

-- Opens the store that the options name. A wrong option is a wrong call; anything else
-- failed.
local function open_store(options, extra)
  local given = {
    redis = options.redis, data_dir = options["data-dir"], prefix = options.prefix,
    layout = options.layout, profile = options.profile,
  }
  for name, value in pairs(extra or {}) do given[name] = value end
  local is_right, opened, message = pcall(store.open, given)
  if not is_right then return nil, opened, USAGE end
  if not opened then return nil, message, FAILED end
  return opened
end

-- SIGINT, in luajit's words.
local function is_interrupt(raised)
  return type(raised) == "string" and raised:find "interrupted!$" ~= nil
end

local function explain(raised)
  if type(raised) == "table" then return raised end
  if is_interrupt(raised) then return { message = "interrupted", status = FAILED } end
  return { message = debug.traceback(tostring(raised)), status = FAILED }
end

-- Writes out what was printed. The status to end with.
local function flush_output(status)
  local is_written, reason = io.stdout:flush()
  if is_written or status ~= DONE then return status end
  io.stderr:write("authstate: standard output: ", reason, "\n")
  return FAILED
end

-- Whether a session can have this id. A store that is given a server does no I/O, so this
-- is known before a private one is started.
local function check_session_id(context, id)
  local is_open, somewhere = pcall(store.open, { redis = {} })
  if not is_open then context.misuse(somewhere) end
  local is_right, message = pcall(somewhere.session, somewhere, id)
  somewhere:close()
  if not is_right then context.misuse("--session: " .. message) end
end

local function new_context(name, parsed)
  local context = {
    options = parsed.options, arguments = parsed.positional,
    report = report.new(parsed.options.json), is_interrupt = is_interrupt,
  }
  local opened
  function context.misuse(message)
    error({ message = message, status = USAGE })
  end
  -- A store as the command's options say, for a program of the user's.
  function context.open_as_told(extra)
    local message, status
    opened, message, status = open_store(parsed.options, extra)
    if not opened then error({ message = message, status = status }) end
    return opened
  end
  -- A command reads a record once: a near cache would only cost it a connection.
  function context.open(extra)
    local given = { enable_cache = false }
    for option, value in pairs(extra or {}) do given[option] = value end
    return context.open_as_told(given)
  end
  function context.session()
    check_session_id(context, parsed.options.session)
    return context.open():session(parsed.options.session)
  end
  -- Closes the store: true, or nil and a sentence.
  function context.close()
    if not opened then return true end
    return opened:close()
  end
  -- What os.exit is to code of the user's.
  function context.exit(status, ...)
    local is_closed, message = context.close()
    if not is_closed then complain(name, message) end
    if status == nil or status == true then status = DONE end
    if status == DONE and not is_closed then status = FAILED end
    exit_process(flush_output(status), ...)
  end
  return context
end

-- Runs the command; its store is closed whatever happens. The status, and a sentence when
-- it failed.
local function run(name, chosen, parsed)
  local context = new_context(name, parsed)
  local is_whole, result, message = xpcall(function() return chosen.run(context) end,
    explain)
  local is_closed, close_message = context.close()
  -- Out of memory: LuaJIT hands over its words without asking `explain`.
  if not is_whole and type(result) ~= "table" then return FAILED, tostring(result) end
  if not is_whole then return result.status, result.message end
  if not result then return FAILED, message end
  if not is_closed then return FAILED, close_message end
  return DONE
end

--- Runs one call.
-- @param words list of strings
-- @return exit status
function command.call(words)
  local name = words[1]
  if name == nil or name == "--help" or name == "help" then
    local out = name and io.stdout or io.stderr
    out:write(general_help())
    return name and DONE or USAGE
  elseif name == "--version" then
    io.stdout:write("authstate ", version, "\n")
    return DONE
  elseif not is_known(name) then
    return usage_error(('unknown command "%s"%s; authstate --help lists them')
      :format(name, suggest.phrase(name, NAMES)))
  end
  local chosen = load_command(name)
  local rows = rows_of(chosen)
  local parsed, message = arguments.parse(rows, chosen.positional, words, 2)
  if not parsed then return usage_error(name .. ": " .. message) end
  if parsed.options.help then
    io.stdout:write(arguments.help(chosen, rows))
    return DONE
  end
  message = arguments.missing(rows, chosen.positional, parsed)
  if message then return usage_error(name .. ": " .. message) end
  local status
  status, message = run(name, chosen, parsed)
  if message then complain(name, message) end
  return status
end

--- The names of all commands, in the order of the help.
function command.names()
  return { unpack(NAMES) }
end

--- The options of a command, as rows (see arguments.lua).
function command.options_of(name)
  return rows_of(load_command(name))
end

local EBADF = 9
local closed_streams = {}

-- A standard stream that is closed gives its number to what is opened next, which may be
-- the socket: what is printed would go to Redis. So the number is taken, by something
-- that cannot be written either.
local function occupy_closed_streams()
  for _, stream in ipairs { io.stdin, io.stdout, io.stderr } do
    local _, _, code = stream:seek "cur"
    if code == EBADF then
      closed_streams[#closed_streams + 1] = assert(io.open("/dev/null", "r"))
    end
  end
end

--- Runs the call of this process and ends it.
function command.main(words)
  occupy_closed_streams()
  local is_whole, status = pcall(command.call, words)
  if not is_whole then
    complain("failed", tostring(status))
    status = FAILED
  end
  exit_process(flush_output(status))
end

return command
