-- SPDX-License-Identifier: MIT

--- The command line tool, run as a user runs it: `bin/authstate` in a process of its own.
-- @module spec.command.tool

local assert = require "luassert"
local lfs = require "lfs"
local process = require "spec.support.process"

local tool = {}

--- The project's root.
tool.ROOT = lfs.currentdir()

--- The path of the program.
tool.PROGRAM = tool.ROOT .. "/bin/authstate"

-- What a private server of the user's must never be touched by: no home.
local function environment(given)
  local env = { HOME = "/nowhere", XDG_STATE_HOME = false }
  for name, value in pairs(given or {}) do env[name] = value end
  return env
end

local function command_of(words)
  local command = { tool.PROGRAM }
  for i, word in ipairs(words) do command[i + 1] = word end
  for name, value in pairs(words) do
    if type(name) == "string" then command[name] = value end
  end
  command.env = environment(words.env)
  return command
end

--- Runs it to its end.
-- @param words its arguments; besides what `process.run` takes
-- @treturn table `{ status, out, err }`
function tool.run(words)
  local status, out, err = process.run(command_of(words))
  return { status = status, out = out, err = err }
end

--- The same with a line of shell around it: "$@" is the program with its arguments.
function tool.run_in_shell(line, words)
  local command = command_of(words)
  for i, word in ipairs { "sh", "-c", line, "sh" } do table.insert(command, i, word) end
  local status, out, err = process.run(command)
  return { status = status, out = out, err = err }
end

--- Starts it in the background, see `process.start`.
function tool.start(words)
  return process.start(command_of(words))
end

--- Runs it, and raises unless it succeeds without a word on stderr.
-- @treturn string what it wrote to stdout
function tool.succeed(words)
  local outcome = tool.run(words)
  if outcome.status ~= 0 or outcome.err ~= "" then
    error(("status %d: %s"):format(outcome.status, outcome.err), 2)
  end
  return outcome.out
end

--- Checks that it failed decently: the status, words that stand in stderr, one sentence
-- and no traceback, nothing on stdout.
function tool.check_failure(outcome, status, words)
  assert.equal(status, outcome.status, outcome.err)
  assert.equal("", outcome.out)
  assert.match("^authstate[^\n]*: [^\n]+\n$", outcome.err)
  for _, word in ipairs(words) do
    if not outcome.err:find(word, 1, true) then
      error(("%q expected in: %s"):format(word, outcome.err), 2)
    end
  end
  assert.falsy(outcome.err:find("traceback", 1, true), outcome.err)
  assert.falsy(outcome.err:find(".lua:", 1, true), outcome.err)
end

return tool
