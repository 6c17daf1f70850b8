-- SPDX-License-Identifier: MIT

--- The command line tool, run as a user runs it: `bin/authstate` in a process of its own.
-- @module spec.command.tool

local assert = require "luassert"
local clock = require "spec.support.clock"
local lfs = require "lfs"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

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

--- Whether there is a program that makes terminals: `script` of util-linux.
function tool.has_terminal()
  local status, out = process.run { "script", "--version" }
  return status == 0 and out:find("util-linux", 1, true) ~= nil
end

-- The words of `script` around a line of shell, in which "$@" is the program with its
-- arguments.
local function terminal_command(line, words)
  local command = command_of(words)
  local quoted = {}
  for i, word in ipairs(command) do quoted[i] = process.quote(word) end
  line = "set -- " .. table.concat(quoted, " ") .. "; " .. line
  return {
    "script", "-qec", line, "/dev/null", stdin = words.stdin, env = command.env,
  }
end

--- Runs it at a terminal of its own, its stdin, stdout and stderr, with a line of shell
-- around it: "$@" is the program with its arguments.
-- @param words besides its arguments `stdin`, what is typed; then the input ends
-- @treturn table `{ status, out }`: what stood on the terminal, line ends as \n
function tool.run_at_terminal(line, words)
  local status, out = process.run(terminal_command(line, words))
  return { status = status, out = (out:gsub("\r\n", "\n")) }
end

local Typist = { __name = "typist" }
Typist.__index = Typist

--- Starts it at a terminal in the background, with somebody who can type.
function tool.start_at_terminal(words)
  local directory = temporary.directory()
  local command = terminal_command('"$@"', words)
  -- What is typed comes from the files `1`, `2`, ... as soon as they are there.
  local feeder = ("i=1; while :; do while ! [ -e %s/$i ]; do sleep 0.01; done; "
    .. "cat %s/$i; i=$((i+1)); done"):format(directory, directory)
  local quoted = {}
  for i, word in ipairs(command) do quoted[i] = process.quote(word) end
  return setmetatable({
    directory = directory, typed = 0,
    process = process.start {
      "sh", "-c", ("{ %s; } | { %s; echo $? >%s/status; kill 0; }"):format(feeder,
        table.concat(quoted, " "), directory), env = command.env,
    },
  }, Typist)
end

--- Types.
function Typist:type(text)
  self.typed = self.typed + 1
  local path = ("%s/%d"):format(self.directory, self.typed)
  local file = assert(io.open(path .. ".new", "wb"))
  assert(file:write(text))
  file:close()
  assert(os.rename(path .. ".new", path))
end

--- Waits until the terminal shows a text; raises when it does not.
function Typist:await(text)
  local is_there = clock.wait_for(function()
    return self.process:output():find(text, 1, true) or not self.process:alive()
  end)
  if not is_there or not self.process:output():find(text, 1, true) then
    error(("%q expected on the terminal: %s"):format(text, self.process:output()), 2)
  end
end

--- Waits for its end, see `tool.run_at_terminal`.
function Typist:finish()
  self.process:wait()
  self.process:kill()
  local file = assert(io.open(self.directory .. "/status"))
  local status = tonumber(file:read "*a")
  file:close()
  return { status = status, out = (self.process:output():gsub("\r\n", "\n")) }
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
  assert.falsy(outcome.err:find("stack traceback", 1, true), outcome.err)
  assert.falsy(outcome.err:find(".lua:", 1, true), outcome.err)
end

return tool
