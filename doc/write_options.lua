-- SPDX-License-Identifier: MIT
-- Prints doc/options.md, from the rows that check the options: `make options`.

local options = require "authstate.options"

local HEAD = [[
# Options

Written by `make options` from the rows in `lua/authstate/options.lua`, which check what
is given: change it there. What is wrong with a table of options is told at once, one line
for each thing, with the nearest name for one that is not known.
]]

local KINDS = { redis = "string or table", choice = "one of these" }

-- Larger units, the largest first, for a number that is hard to read.
local LARGER = {
  bytes = { { "GiB", 2 ^ 30 }, { "MiB", 2 ^ 20 }, { "KiB", 2 ^ 10 } },
  ms = {
    { "days", 24 * 3600 * 1000 }, { "h", 3600 * 1000 }, { "min", 60 * 1000 },
    { "s", 1000 },
  },
}

local function in_words(number, unit)
  for _, larger in ipairs(LARGER[unit] or {}) do
    local name, size = larger[1], larger[2]
    if number >= size and number % size == 0 then
      return ("%d %s"):format(number / size, name)
    end
  end
end

local function value_text(value, unit)
  if type(value) == "string" then return ('`"%s"`'):format(value) end
  if type(value) ~= "number" then return ("`%s`"):format(tostring(value)) end
  local words = in_words(value, unit)
  return ("`%.0f`%s"):format(value, words and (" (%s)"):format(words) or "")
end

local function list_text(values)
  local shown = {}
  for i, value in ipairs(values) do shown[i] = value_text(value) end
  return table.concat(shown, ", ")
end

local function accepted_text(row)
  local listed = row.values and list_text(row.values)
  if not row.min then return listed or "" end
  if listed then return ("%s, %d to %d"):format(listed, row.min, row.max) end
  return ("%s to %s"):format(value_text(row.min, row.unit), value_text(row.max, row.unit))
end

local function default_text(row)
  if row.default == nil then return "" end
  return value_text(row.default, row.unit)
end

local function kind_text(row)
  local kind = KINDS[row.kind] or row.kind
  return row.unit and ("%s, %s"):format(kind, row.unit) or kind
end

local function write_line(...)
  local cells = { ... }
  for i, cell in ipairs(cells) do cells[i] = cell:gsub("|", "\\|") end
  print(("| %s |"):format(table.concat(cells, " | ")))
end

local function write_table(rows, prefix)
  print "| Option | Type | Default | Accepted | Meaning |\n|---|---|---|---|---|"
  for _, row in ipairs(rows) do
    if not row.later then
      write_line(("`%s%s`"):format(prefix, row.name), kind_text(row), default_text(row),
        accepted_text(row), row.sentence)
    end
  end
end

local function write_later(lists)
  print "| Option | Accepted now | Meaning |\n|---|---|---|"
  for _, list in ipairs(lists) do
    for _, row in ipairs(list.rows) do
      if row.later then
        write_line(("`%s%s`"):format(list.prefix, row.name),
          row.already and list_text(row.already) or "", row.sentence)
      end
    end
  end
end

local LISTS = {
  { title = "authstate.open", prefix = "", rows = options.rows },
  { title = "redis, as a table", prefix = "redis.", rows = options.redis_rows },
  { title = "redis.socket", prefix = "redis.socket.", rows = options.socket_rows },
  { title = "redis.tls", prefix = "redis.tls.", rows = options.tls_rows },
  { title = "encryption", prefix = "encryption.", rows = options.encryption_rows },
}

io.write(HEAD)
for _, list in ipairs(LISTS) do
  print(("\n## %s\n"):format(list.title))
  write_table(list.rows, list.prefix)
end
print "\n## Not there yet\n"
print "Options of features to come. They are refused, except with a value that says what"
print "happens anyway.\n"
write_later(LISTS)
