-- SPDX-License-Identifier: MIT

-- The definitions for editors say what the modules say.

local authstate = require "authstate"
local definitions = require "spec.doc.definitions"
local options = require "authstate.options"
local public_api = require "spec.doc.public_api"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function names_of(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- How many arguments a function takes, `self` not counted; nil for one in C.
local function arity(method, receiver)
  local facts = debug.getinfo(method, "uS")
  if facts.what == "C" then return nil end
  return facts.nparams - (receiver == "authstate" and 0 or 1)
end

local TYPES = {
  string = "string", number = "integer", boolean = "boolean",
  redis = "string|authstate.redis",
}

-- The type of a row of the options, as the definitions write it.
local function type_of(row)
  if row.name == "on_operation" then
    return "fun(operation: authstate.operation)"
  elseif row.kind == "function" then
    return "fun(level: authstate.log_level, message: string, fields: table)"
  elseif row.values then
    local quoted = {}
    for i, value in ipairs(row.values) do
      quoted[i] = value and ("%q"):format(value) or "false"
    end
    if row.kind == "choice" then quoted[#quoted + 1] = "integer" end
    return table.concat(quoted, "|")
  end
  if row.kind == "number per type" then return "integer|table<string, integer>" end
  if row.kind == "table" then return "authstate." .. row.name end
  return TYPES[row.kind]
end

describe("the definitions for editors", function()
  local defined = definitions.read()
  local real = public_api.functions()

  for _, receiver in ipairs(public_api.RECEIVERS) do
    it("have every function of " .. receiver .. " and no other", function()
      assert.same(names_of(real[receiver]), names_of(defined.functions[receiver]))
    end)

    it("give the functions of " .. receiver .. " their arguments and results", function()
      for name, definition in pairs(defined.functions[receiver]) do
        assert.same(definition.formals, definition.params, name)
        assert.is_true(definition.returns > 0, name)
        local count = arity(real[receiver][name], receiver)
        if count then assert.equal(count, #definition.formals, name) end
      end
    end)
  end

  it("have the module's other fields", function()
    assert.same(public_api.fields(), names_of(defined.classes[""].fields))
  end)

  -- What does not fit is put right by `make luals`.
  local function check_rows(class, rows)
    local wanted = {}
    for _, row in ipairs(rows) do
      if not row.later then
        wanted[row.name] = { type = type_of(row), text = row.sentence }
      end
    end
    -- A type that has a name is written by it.
    local levels = read("doc/luals/library/authstate.lua")
      :match '%-%-%-@alias authstate.log_level ([^\n]+)'
    for _, field in pairs(defined.classes[class].fields) do
      if field.type == "authstate.log_level" then field.type = levels end
    end
    assert.same(wanted, defined.classes[class].fields)
  end

  for class, rows in pairs {
    options = options.rows, redis = options.redis_rows, socket = options.socket_rows,
    tls = options.tls_rows,
  } do
    it("have each of the " .. class .. " that is there, as the table says", function()
      check_rows(class, rows)
    end)
  end

  it("have every error code with its sentence", function()
    local rows = {}
    for code, sentence in read("core/base/error.h")
      :gmatch 'X%([A-Z_]+, %-%d+, "([%w_]+)", "([^"]*)"%)' do
      rows[#rows + 1] = { code, sentence }
    end
    assert.is_true(#rows > 20)
    assert.same(rows, defined.codes)
  end)

  it("have every field of an error's details", function()
    local store = assert(authstate.open { redis = { port = 1 } })
    local _, _, _, details = store:session("any"):load_creds()
    store:close()
    for _, name in ipairs { "attempts", "reply", "element" } do details[name] = nil end
    for name in pairs(details) do
      assert.truthy(defined.classes.details.fields[name], name)
    end
    assert.equal("no", details.applied)
  end)

  it("are Lua that every editor can read", function()
    assert.truthy(loadfile "doc/luals/library/authstate.lua")
    assert.match("%-%-%-@meta authstate\n", read "doc/luals/library/authstate.lua")
  end)
end)
