-- SPDX-License-Identifier: MIT

--- Small C programs for what Lua cannot reach: compiled with the core's own sources into
-- a temporary directory, under the sanitizers when the core is, and run.
-- @module spec.base.program

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local FLAGS = {
  release = { "-O1" },
  sanitize = {
    "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
  },
}

local ASAN_OPTIONS = "detect_leaks=1:allocator_may_return_null=1"

local program = {}

local function sources(folders)
  local command = { "sh", "-c", "ls " .. table.concat(folders, "/*.c ") .. "/*.c" }
  command.env = { LD_PRELOAD = false }
  local code, out, err = process.run(command)
  assert(code == 0, err)
  local list = {}
  for path in out:gmatch("%S+") do list[#list + 1] = path end
  return list
end

--- Compiles a program with all of some folders of the core and raises when it does not
-- compile.
-- @param path of its source
-- @param folders of the core, such as { "core/base" }
-- @param libraries such as { "-lhiredis" }
-- @return path of the program
function program.compile(path, folders, libraries)
  local binary = temporary.directory() .. "/program"
  local command = {
    os.getenv("CC") or "cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
    "-g", "-Icore", "-Ispec/base", "-o", binary, path,
    env = { LD_PRELOAD = false },
  }
  local function add(words)
    for _, word in ipairs(words) do command[#command + 1] = word end
  end
  add(FLAGS[os.getenv "AUTHSTATE_BUILD" or "release"])
  add(sources(folders))
  add(libraries or {})
  local code, _, err = process.run(command)
  assert(code == 0, err)
  return binary
end

--- Runs a program, which prints what failed, and raises when it did.
-- @param binary from `compile`
-- @param ... arguments
function program.run(binary, ...)
  local code, out, err = process.run {
    timeout_ms = 60000, env = { LD_PRELOAD = false, ASAN_OPTIONS = ASAN_OPTIONS },
    binary, ...,
  }
  if code ~= 0 then error(("exit code %d\n%s%s"):format(code, out, err), 0) end
  return out
end

return program
