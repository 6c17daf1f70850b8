-- SPDX-License-Identifier: MIT
--- The rules of the house, checked: luajit spec/lint/lint.lua [--root DIR] [RULE ...]
--
-- A rule is a file in rules/: { why = sentence, check = function(tree, complain) }. It
-- calls complain(path, line, text) for each thing wrong. What is wrong is printed as
-- `path:line: text [rule]`; the last line counts. Exit status 0 when nothing is wrong, 1
-- when something is, 2 for a wrong call. `--list` prints the rules.
-- @script lint

package.path = arg[0]:match "^(.-)spec/lint/[^/]*$" .. "?.lua;" .. package.path

local tree = require "spec.lint.tree"

-- The tools first, then the rules of our own, from the layers of the core to the texts.
local RULES = {
  "luacheck", "server_scripts", "clang_format", "gcc", "clang", "clang_tidy",
  "layers", "system_headers", "system_calls", "lua_headers", "mutable_globals",
  "symbol_names", "exported_symbols", "must_use", "include_guards",
  "nginx", "ffi", "random", "function_length",
  "error_codes", "options_doc", "version", "file_names", "spdx", "whitespace",
}

local function wrong_call(message)
  io.stderr:write("lint: ", message, "\n")
  os.exit(2)
end

local function contains(list, name)
  for _, each in ipairs(list) do
    if each == name then return true end
  end
  return false
end

local function read_arguments(words)
  local given = { root = ".", rules = {} }
  local i = 1
  while words[i] do
    if words[i] == "--root" and words[i + 1] then
      given.root, i = words[i + 1], i + 1
    elseif words[i] == "--list" then
      given.is_list = true
    elseif contains(RULES, words[i]) then
      table.insert(given.rules, words[i])
    else
      wrong_call(("%s is no rule; accepted: %s"):format(words[i],
        table.concat(RULES, " ")))
    end
    i = i + 1
  end
  if #given.rules == 0 then given.rules = RULES end
  return given
end

-- Runs a rule and prints what it complains about. How often it did.
local function apply(name, where)
  local rule, count = require("spec.lint.rules." .. name), 0
  local function complain(path, line, text)
    count = count + 1
    print(("%s:%d: %s [%s]"):format(path, line, text, name))
  end
  local is_done, reason = pcall(rule.check, where, complain)
  if not is_done then complain("spec/lint/rules/" .. name .. ".lua", 1, reason) end
  if count > 0 then print(("%s: %s"):format(name, rule.why)) end
  return count
end

local given = read_arguments(arg)
if given.is_list then
  for _, name in ipairs(given.rules) do
    print(("%-17s %s"):format(name, require("spec.lint.rules." .. name).why))
  end
  os.exit(0)
end

local complaints = 0
local where = tree.open(given.root)
for _, name in ipairs(given.rules) do complaints = complaints + apply(name, where) end
print(("lint: %d rule%s, %s"):format(#given.rules, #given.rules == 1 and "" or "s",
  complaints == 0 and "no complaint" or complaints == 1 and "1 complaint"
    or complaints .. " complaints"))
os.exit(complaints == 0 and 0 or 1)
