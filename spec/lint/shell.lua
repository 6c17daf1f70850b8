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
  local pipe = assert(io.popen(("{ cd %s && { %s\n}; } 2>&1; printf '\\n%%d\\n' $?")
    :format(shell.quote(directory), command)))
  local output = pipe:read "*a"
  pipe:close()
  local text, status = output:match("^(.-)\n(%d+)\n$")
  return tonumber(status), text
end

-- $0: the logs' folder, $1: the file. A log ends with the exit status.
local ONE = [[mkdir -p "$(dirname "$0/$1")"; { %s
} >"$0/$1.log" 2>&1; echo $? >>"$0/$1.log"]]

local EACH = [[printf '%%s\n' %s | xargs -r -d '\n' -P "$(nproc)" -n 1 sh -c %s %s]]

local function read_log(path)
  local log = assert(io.open(path, "rb"))
  local text = log:read "*a"
  log:close()
  local output, status = text:match "^(.-)(%d+)\n$"
  return assert(tonumber(status), path .. " has no end"), output
end

--- Runs a command for each of some files, as many at a time as there are processors.
-- @tparam string directory where to
-- @tparam string command in which `"$1"` stands for the file
-- @tparam {string,...} files
-- @treturn {table,...} for each file { file, status, output }
function shell.run_each(directory, command, files)
  local _, logs = shell.run(".", "mktemp -d")
  logs = logs:gsub("%s+$", "")
  local status, output = shell.run(directory, EACH:format(
    shell.quote(table.concat(files, "\n")), shell.quote(ONE:format(command)),
    shell.quote(logs)))
  assert(status == 0, output)
  local results = {}
  for i, file in ipairs(files) do
    local code, printed = read_log(("%s/%s.log"):format(logs, file))
    results[i] = { file = file, status = code, output = printed }
  end
  shell.run(".", "rm -rf " .. shell.quote(logs))
  return results
end

return shell
