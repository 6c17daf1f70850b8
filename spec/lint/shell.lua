-- SPDX-License-Identifier: MIT
--- Runs the tools that lint asks. Needs nothing but LuaJIT and a POSIX shell.
-- @module spec.lint.shell

local shell = {}

--- Quotes one word.
function shell.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Quotes the words of a list, separated by blanks.
function shell.words(list)
  local quoted = {}
  for i, word in ipairs(list) do quoted[i] = shell.quote(word) end
  return table.concat(quoted, " ")
end

--- Runs a command in a directory.
-- @treturn number exit status
-- @treturn string what it printed, errors too
function shell.run(directory, command)
  local pipe = assert(io.popen(("{ cd %s && { %s\n}; } 2>&1; echo; echo $?")
    :format(shell.quote(directory), command)))
  local output = pipe:read "*a"
  pipe:close()
  local text, status = output:match("^(.-)\n(%d+)\n$")
  return tonumber(status), text
end

-- $0: the log's folder, $1: the file. The log ends with the exit status.
local ONE = [[mkdir -p "$(dirname "$0/$1")"; { %s
} >"$0/$1.log" 2>&1; echo $? >>"$0/$1.log"]]

--- Runs a command for each of some files, as many at a time as there are processors.
-- @tparam string directory where to
-- @tparam string command in which `"$1"` stands for the file
-- @tparam {string,...} files
-- @tparam string logs a folder for what is printed, relative to `directory`
-- @treturn {table,...} for each file { file, status, output }
function shell.run_each(directory, command, files, logs)
  local list = table.concat(files, "\n")
  local status, output = shell.run(directory, ([[printf '%%s\n' %s |
    xargs -r -d '\n' -P "$(nproc)" -n 1 sh -c %s %s]]):format(shell.quote(list),
    shell.quote(ONE:format(command)), shell.quote(logs)))
  assert(status == 0, output)
  local results = {}
  for i, file in ipairs(files) do
    local log = assert(io.open(("%s/%s/%s.log"):format(directory, logs, file), "rb"))
    local printed, code = log:read("*a"):match("^(.-)(%d+)\n$")
    log:close()
    results[i] = { file = file, status = tonumber(code), output = printed }
  end
  return results
end

return shell
