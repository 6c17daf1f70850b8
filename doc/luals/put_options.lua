-- SPDX-License-Identifier: MIT
-- Puts the options of lua/authstate/options.lua into the definitions for editors, as the
-- fields of their classes: luajit doc/luals/put_options.lua DEFINITIONS

local options = require "authstate.options"

local WIDTH = 90

local CLASSES = {
  { "authstate.socket", options.socket_rows },
  { "authstate.tls", options.tls_rows },
  { "authstate.redis", options.redis_rows },
  { "authstate.encryption", options.encryption_rows },
  { "authstate.options", options.rows },
}

local TYPES = {
  string = "string", number = "integer", boolean = "boolean",
  ["number per type"] = "integer|table<string, integer>",
  redis = "string|authstate.redis", socket = "authstate.socket",
  tls = "authstate.tls", encryption = "authstate.encryption",
  keys = "table<integer, authstate.bytes|string|{ file: string }>",
  log = "fun(level: authstate.log_level, message: string, fields: table)",
  log_level = "authstate.log_level",
  on_operation = "fun(operation: authstate.operation)",
}

local function type_of(row)
  if TYPES[row.name] then return TYPES[row.name] end
  if not row.values then return assert(TYPES[row.kind], row.name) end
  local quoted = {}
  for i, value in ipairs(row.values) do
    quoted[i] = type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  if row.min then quoted[#quoted + 1] = "integer" end
  return table.concat(quoted, "|")
end

-- The sentence as comment lines.
local function wrap(sentence)
  local lines, line = {}, "---"
  for word in sentence:gmatch "%S+" do
    if #line + 1 + #word > WIDTH then
      lines[#lines + 1], line = line, "---"
    end
    line = line .. (line == "---" and "" or " ") .. word
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

local function fields_of(rows)
  local lines = {}
  for _, row in ipairs(rows) do
    if not row.later then
      lines[#lines + 1] = wrap(row.sentence)
      lines[#lines + 1] = ("---@field %s? %s\n"):format(row.name, type_of(row))
    end
  end
  return table.concat(lines, "\n"):gsub("\n\n", "\n")
end

local path = arg[1]
local file = assert(io.open(path, "rb"))
local text = file:read "*a"
file:close()
for _, class in ipairs(CLASSES) do
  local name, rows = unpack(class)
  local head = "---@class " .. name .. "\n"
  local _, first = text:find(head, 1, true)
  local last = text:find("\n\n", first, true)
  text = text:sub(1, first) .. fields_of(rows) .. text:sub(last + 1)
end
file = assert(io.open(path, "wb"))
assert(file:write(text))
assert(file:close())
