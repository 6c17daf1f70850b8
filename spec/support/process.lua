-- SPDX-License-Identifier: MIT

--- Other programs: run one to its end, or start one that cannot outlive the specs.
--
-- A started program is the child of a small shell, its guard, in a session of its own.
-- The guard reads from a pipe whose write end this process holds, and kills the child
-- and what is left of its process group when the pipe closes, that is, when this process
-- ends in whatever way. The guard also writes down the child's pid and exit status, which
-- LuaJIT's io.popen does not tell.
-- @module spec.support.process

local clock = require "spec.support.clock"
local temporary = require "spec.support.temporary"

local STOP_TIMEOUT_MS = 5000
local KILLED = 128 + 9

-- Placeholders: command, stdout, stderr, directory (for the files `pid` and `status`).
local GUARD = [[
exec 3<&0 >/dev/null 2>&1
setsid %s </dev/null >%s 2>%s 3<&- &
child=$!
cd %s
trap "" HUP INT TERM
{
  while read -r line; do :; done <&3
  [ -e status ] || kill -s KILL $child
  kill -s KILL -- -$child
} &
exec 3<&-
echo $child >pid.new && mv pid.new pid
wait $child
echo $? >status.new && mv status.new status
wait
]]

local started = {}

local Process = { __name = "process" }
Process.__index = Process

local process = {}

--- Quotes one argument for a POSIX shell.
-- @tparam string|number text without NUL
-- @treturn string
function process.quote(text)
  text = tostring(text)
  assert(not text:find("\0", 1, true), "an argument cannot hold a NUL")
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- The shell words for `env -C cwd NAME=value program arguments`. All of these replace
-- themselves by the next, so the pid of the first is the pid of the program.
local function command_line(command)
  assert(command[1] and table.maxn(command) == #command, "a nil among the arguments")
  -- luasocket ignores SIGPIPE in this process, which a child would inherit.
  local words = { "env", "--default-signal=PIPE" }
  local function add(...)
    for _, word in ipairs { ... } do
      words[#words + 1] = process.quote(word)
    end
  end
  if command.cwd then
    add("-C", command.cwd)
  end
  for name, value in pairs(command.env or {}) do
    if value == false then
      add("-u", name)
    end
  end
  add("--")
  for name, value in pairs(command.env or {}) do
    if value ~= false then
      add(name .. "=" .. tostring(value))
    end
  end
  if command.timeout_ms then
    add("timeout", "-k", "1", ("%.3f"):format(command.timeout_ms / 1000))
  end
  add(unpack(command))
  return table.concat(words, " ")
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local text = file:read("*a")
  file:close()
  return text
end

--- system() returns what wait() gave: the exit code is in the second byte.
local function exit_code(wait_status)
  local signal = wait_status % 128
  if signal ~= 0 then
    return 128 + signal
  end
  return math.floor(wait_status / 256)
end

--- Runs a program to its end.
-- @tparam table command list of program and arguments; besides `env` (name to value, or
-- to false for unset), `cwd`, `stdin` (text, default empty) and `timeout_ms` (then the
-- program is ended with TERM and the exit code is 124)
-- @treturn number exit code; 128 + n after signal n, 127 for no such program
-- @treturn string what it wrote to stdout
-- @treturn string what it wrote to stderr
function process.run(command)
  local directory = temporary.directory()
  local input = command.stdin and temporary.file(command.stdin) or "/dev/null"
  local wait_status = os.execute(("%s <%s >%s/out 2>%s/err"):format(
    command_line(command), process.quote(input),
    process.quote(directory), process.quote(directory)))
  local out, err = read_file(directory .. "/out"), read_file(directory .. "/err")
  return exit_code(wait_status), out, err
end

--- Starts a program in the background. It is killed when this process ends.
-- @tparam table command as for `run`, without `stdin` (its stdin is empty); besides
-- `stdout` and `stderr`, paths of files to write to (default: files that `output` and
-- `errors` read)
-- @treturn Process
function process.start(command)
  local directory = temporary.directory()
  local self = setmetatable({ directory = directory }, Process)
  self.stdout = command.stdout or directory .. "/out"
  self.stderr = command.stderr or directory .. "/err"
  -- "e": see temporary.lua.
  self.guard = assert(io.popen(GUARD:format(command_line(command),
    process.quote(self.stdout), process.quote(self.stderr),
    process.quote(directory)), "we"))
  started[self] = true
  self.child = assert(clock.wait_for(function()
    return tonumber(read_file(directory .. "/pid") or "")
  end), "the guard did not start " .. tostring(command[1]))
  return self
end

--- Kills everything that was started.
function process.stop_all()
  for handle in pairs(started) do
    handle:kill()
  end
end

--- @treturn number the program's process id
function Process:pid()
  return self.child
end

--- The exit status, as `run` gives it, once the program has ended.
-- @treturn ?number
function Process:status()
  if not self.ended then
    self.ended = tonumber(read_file(self.directory .. "/status") or "")
  end
  return self.ended
end

--- @treturn boolean whether the program still runs (or is paused)
function Process:alive()
  return self:status() == nil
end

--- Waits for the program's end.
-- @tparam[opt=60000] number timeout_ms
-- @treturn ?number exit status, or nil when the time is over
function Process:wait(timeout_ms)
  return clock.wait_for(function() return self:status() end, timeout_ms)
end

--- Sends a signal to the program; none when it has ended.
-- @tparam string name `KILL`, `TERM`, `STOP`, `CONT`, ...
function Process:signal(name)
  if self:alive() then
    os.execute(("kill -s %s %d 2>/dev/null"):format(name, self.child))
  end
end

--- What the program has written to stdout so far.
function Process:output()
  return read_file(self.stdout) or ""
end

--- What the program has written to stderr so far.
function Process:errors()
  return read_file(self.stderr) or ""
end

--- Ends the program politely (TERM, also when paused), after five seconds with KILL.
-- @treturn number exit status
function Process:stop()
  self:signal("TERM")
  self:signal("CONT")
  self:wait(STOP_TIMEOUT_MS)
  return self:kill()
end

--- Kills the program and its process group, and waits until it is gone.
-- @treturn number exit status
function Process:kill()
  if started[self] then
    started[self] = nil
    -- The guard does it when the pipe closes; close returns when the guard has ended.
    self.guard:close()
    self.ended = self:status() or KILLED
  end
  return self.ended
end

return process
