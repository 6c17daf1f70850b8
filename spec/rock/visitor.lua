-- SPDX-License-Identifier: MIT

--- Somebody who has just logged in: no variable of ours is set, the home is empty, and
-- the current directory is not the clone.
-- @module spec.rock.visitor

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
local TIMEOUT_MS = 120000

local visitor = {}

--- Runs a program.
-- @param words it and its arguments; besides `cwd`, `env`, `stdin` as for `process.run`,
--   and `path`, a directory to look for programs in first
-- @treturn table `{ status, out, err }`
function visitor.run(words)
  local env = { HOME = temporary.directory() }
  for name, value in pairs(words.env or {}) do env[name] = value end
  local command = {
    "env", "-i", "PATH=" .. (words.path and words.path .. ":" or "") .. PATH,
    cwd = words.cwd or temporary.directory(), timeout_ms = TIMEOUT_MS,
    stdin = words.stdin,
  }
  for name, value in pairs(env) do command[#command + 1] = name .. "=" .. value end
  for _, word in ipairs(words) do command[#command + 1] = word end
  local status, out, err = process.run(command)
  return { status = status, out = out, err = err }
end

--- Runs a program, and raises unless it succeeds.
-- @treturn string what it wrote to stdout
function visitor.succeed(words)
  local outcome = visitor.run(words)
  if outcome.status ~= 0 then
    error(("%s: status %d\n%s%s"):format(words[1], outcome.status, outcome.out,
      outcome.err), 2)
  end
  return outcome.out
end

return visitor
