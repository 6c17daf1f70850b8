-- SPDX-License-Identifier: MIT
--- Words of a command line to options and positional arguments. An option is a row: name,
-- value (what stands for it in the help; nil for a switch), values (the only ones
-- accepted), required, sentence. `--name value`, `--name=value`; `--` ends the options.
--
-- What a command takes besides is { min, max, names }, nil for nothing; with
-- `ends_options` the first positional argument ends the options too, so that all words
-- behind it are arguments as they stand, also those that begin with `-`.

local suggest = require "authstate.suggest"

local arguments = {}

local function names(rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = "--" .. row.name end
  return list
end

local function find(rows, name)
  for _, row in ipairs(rows) do
    if row.name == name then return row end
  end
end

local function check_value(row, value)
  if not row.values then return nil end
  for _, accepted in ipairs(row.values) do
    if accepted == value then return nil end
  end
  return ('--%s: "%s"%s; accepted: %s'):format(row.name, value,
    suggest.phrase(value, row.values), table.concat(row.values, ", "))
end

-- Reads the option at words[at]. The index of the next word, or nil and a sentence.
local function take_option(rows, words, at, options)
  local name, value = words[at]:match("^%-%-([^=]+)=?(.*)$")
  local has_value = words[at]:find("=", 1, true) ~= nil
  local row = name and find(rows, name)
  if not row then
    return nil, ('unknown option "%s"%s'):format(words[at],
      suggest.phrase(words[at], names(rows)))
  elseif options[name] ~= nil then
    return nil, ("--%s is given twice"):format(name)
  elseif not row.value then
    if has_value then return nil, ("--%s takes no value"):format(name) end
    options[name] = true
    return at + 1
  end
  if not has_value then
    at = at + 1
    value = words[at]
    if value == nil then
      return nil, ("--%s needs a value: %s"):format(name, row.value)
    end
  end
  local wrong = check_value(row, value)
  if wrong then return nil, wrong end
  options[name] = value
  return at + 1
end

--- Parses words[first..].
-- @return { options = { [name] = string | true }, positional = list }; or nil, sentence
function arguments.parse(rows, positional, words, first)
  local parsed = { options = {}, positional = {} }
  local at, only_positional = first, false
  while words[at] do
    local word = words[at]
    if not only_positional and word == "--" then
      only_positional, at = true, at + 1
    elseif not only_positional and word:sub(1, 1) == "-" and #word > 1 then
      local message
      at, message = take_option(rows, words, at, parsed.options)
      if not at then return nil, message end
    else
      parsed.positional[#parsed.positional + 1] = word
      at = at + 1
      only_positional = only_positional or positional and positional.ends_options
    end
  end
  local extra = positional and parsed.positional[positional.max + 1]
  if not positional then extra = parsed.positional[1] end
  if extra then return nil, ('unexpected argument "%s"'):format(extra) end
  return parsed
end

--- What is missing, or nil.
function arguments.missing(rows, positional, parsed)
  for _, row in ipairs(rows) do
    if row.required and parsed.options[row.name] == nil then
      return ("--%s %s is required"):format(row.name, row.value)
    end
  end
  if positional and #parsed.positional < positional.min then
    return ("%s is required"):format(positional.names)
  end
end

--- The help of a command.
function arguments.help(chosen, rows)
  local lines = { "usage: authstate " .. chosen.usage, "", chosen.summary, "" }
  for _, row in ipairs(rows) do
    local left = "--" .. row.name .. (row.value and " " .. row.value or "")
    lines[#lines + 1] = ("  %-18s %s"):format(left, row.sentence)
  end
  return table.concat(lines, "\n") .. "\n"
end

return arguments
