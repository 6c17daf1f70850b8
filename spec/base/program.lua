-- SPDX-License-Identifier: MIT

--- Small C programs for what Lua cannot reach: linked with the core's objects, so under
-- the sanitizers or measured for coverage when the core is, and run, under valgrind when
-- PROGRAM_RUNNER says so.
-- @module spec.base.program

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local FLAVOUR = os.getenv "AUTHSTATE_BUILD" or "release"

local FLAGS = {
  release = { "-O1" },
  sanitize = {
    "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
  },
  coverage = { "-O0", "--coverage" },
}

local ASAN_OPTIONS = "detect_leaks=1:allocator_may_return_null=1"

-- Under valgrind a program takes twenty times as long.
local TIMEOUT_MS = 600000

local program = {
  --- The linker's option for programs with failing_heap.c.
  FAILING_HEAP = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc",
}

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

-- One object for every source: an object of a source that is gone may still lie there.
local function objects(folders)
  local command = { "sh", "-c", "ls " .. table.concat(folders, "/*.c ") .. "/*.c" }
  command.env = { LD_PRELOAD = false }
  local code, out, err = process.run(command)
  assert(code == 0, err)
  return words((out:gsub("(%S+)%.c", "build/" .. FLAVOUR .. "/%1.o")))
end

--- Compiles a program with all of some folders of the core and raises when it does not
-- compile.
-- @param sources its files, separated by spaces
-- @param folders of the core, such as { "core/base" }
-- @param options of the linker, such as { "-lhiredis" }
-- @return path of the program
function program.compile(sources, folders, options)
  local binary = temporary.directory() .. "/program"
  local command = {
    os.getenv "CC" or "cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
    "-g", "-Icore", "-Ispec/base", "-o", binary,
    env = { LD_PRELOAD = false },
  }
  local function add(list)
    for _, word in ipairs(list) do command[#command + 1] = word end
  end
  add(FLAGS[FLAVOUR])
  add(words(sources))
  add(objects(folders))
  add(options or {})
  local code, _, err = process.run(command)
  assert(code == 0, err)
  return binary
end

--- Runs a program, which prints what failed, and raises when it did.
-- @param binary from `compile`
-- @param ... arguments
function program.run(binary, ...)
  local command = words(os.getenv "PROGRAM_RUNNER" or "")
  for _, word in ipairs { binary, ... } do command[#command + 1] = word end
  command.timeout_ms = TIMEOUT_MS
  command.env = { LD_PRELOAD = false, ASAN_OPTIONS = ASAN_OPTIONS }
  local code, out, err = process.run(command)
  if code ~= 0 then error(("exit code %d\n%s%s"):format(code, out, err), 0) end
  return out
end

return program
