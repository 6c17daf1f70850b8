-- SPDX-License-Identifier: MIT
--- The command line: finds the command, checks its arguments, runs it, and ends the
-- process with 0 when it is done, 1 when it failed, 2 when it was called wrongly.
--
-- A command is a file in commands/: { summary, usage, options = rows (see arguments.lua),
-- positional = { min, max }, run = function(context) -> true | nil, message }. The
-- context has `options`, `arguments` (the positional ones), `report` (see report.lua),
-- `open()` for a store that is closed at the end, `session()` for the session that
-- --session names in it, and `misuse(message)` for a wrong call.

local arguments = require "authstate.arguments"
local report = require "authstate.report"
local store = require "authstate.store"
local suggest = require "authstate.suggest"
local version = require "authstate.version"

local command = {}

local DONE, FAILED, USAGE = 0, 1, 2

local NAMES = { "import", "export", "sessions", "get", "delete", "demo" }

-- What every command understands.
local COMMON_OPTIONS = {
  { name = "redis", value = "URL",
    sentence = "the Redis server; without it the private one" },
  { name = "data-dir", value = "DIR", sentence = "directory of the private server" },
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
    lines[#lines + 1] = ("  %-10s %s"):format(name, load_command(name).summary)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] =
    "authstate COMMAND --help tells more; authstate --version the version."
  return table.concat(lines, "\n") .. "\n"
end

local function rows_of(chosen)
  local rows = {}
  for _, row in ipairs(chosen.options or {}) do rows[#rows + 1] = row end
  for _, row in ipairs(COMMON_OPTIONS) do rows[#rows + 1] = row end
  return rows
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
  }
  for name, value in pairs(extra or {}) do given[name] = value end
  local is_right, opened, message = pcall(store.open, given)
  if not is_right then return nil, opened, USAGE end
  if not opened then return nil, message, FAILED end
  return opened
end

-- Runs the command with a store that is closed whatever happens.
local function run(chosen, parsed)
  local context = {
    options = parsed.options, arguments = parsed.positional,
    report = report.new(parsed.options.json),
  }
  local opened
  function context.misuse(message)
    error({ message = message, status = USAGE })
  end
  function context.open(extra)
    local message, status
    opened, message, status = open_store(parsed.options, extra)
    if not opened then error({ message = message, status = status }) end
    return opened
  end
  function context.session()
    local is_right, session =
      pcall(context.open().session, opened, parsed.options.session)
    if not is_right then context.misuse("--session: " .. session) end
    return session
  end
  local is_whole, result, message = xpcall(function() return chosen.run(context) end,
    function(raised)
      if type(raised) == "table" then return raised end
      if tostring(raised):find "interrupted!$" then -- SIGINT, in luajit's words
        return { message = "interrupted", status = FAILED }
      end
      return { message = debug.traceback(tostring(raised)), status = FAILED }
    end)
  local is_closed, close_message = true, nil
  if opened then is_closed, close_message = opened:close() end
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
  status, message = run(chosen, parsed)
  if message then io.stderr:write("authstate ", name, ": ", message, "\n") end
  return status
end

--- Runs the call of this process and ends it.
function command.main(words)
  local status = command.call(words)
  local is_written, reason = io.stdout:flush()
  if not is_written and status == DONE then
    io.stderr:write("authstate: standard output: ", reason, "\n")
    status = FAILED
  end
  os.exit(status)
end

return command
