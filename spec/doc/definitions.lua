-- SPDX-License-Identifier: MIT

--- The definitions for editors, doc/luals/library/authstate.lua, as tables.
-- @module spec.doc.definitions

local PATH = "doc/luals/library/authstate.lua"

local definitions = {}

local function words_of(list)
  local words = {}
  for word in list:gmatch "[%w_]+" do words[#words + 1] = word end
  return words
end

-- Each kind of line, and what it adds to what is read.
local LINES = {
  { "^%-%-%-@class authstate%.?([%w_]*)", function(read, name)
    read.class = { name = name, fields = {} }
    read.classes[name], read.texts = read.class, {}
  end },
  { "^%-%-%-@field ([%w_]+)%??%s+(.+)$", function(read, name, rest)
    read.class.fields[name] = { type = rest, text = table.concat(read.texts, " ") }
    read.texts = {}
  end },
  { '^%-%-%-| "([%w_]+)" # (.*)$', function(read, code, sentence)
    read.codes[#read.codes + 1] = { code, sentence }
  end },
  { "^%-%-%-@param ([%w_]+)", function(read, name)
    read.params[#read.params + 1] = name
  end },
  { "^%-%-%-@return ", function(read)
    read.returns = read.returns + 1
  end },
  { "^%-%-%-([^@|].*)$", function(read, text)
    read.texts[#read.texts + 1] = text
  end },
  { "^function (%w+)[.:]([%w_]+)%((.*)%) end$", function(read, receiver, name, formals)
    local functions = read.functions[receiver] or {}
    read.functions[receiver] = functions
    functions[name] = {
      formals = words_of(formals), params = read.params, returns = read.returns,
    }
    read.params, read.returns, read.texts = {}, 0, {}
  end },
  { "^local [%w_]+ = {}$", function(read) read.texts = {} end },
}

local function read_line(read, line)
  for _, kind in ipairs(LINES) do
    local found = { line:match(kind[1]) }
    if found[1] ~= nil then return kind[2](read, unpack(found)) end
  end
end

--- Reads the file.
-- @treturn table `classes` by name after "authstate.", each with `fields` by name, which
-- have `type` and `text`; `functions` by receiver and name, each with `formals` (as
-- written), `params` (as annotated) and the number of `returns`; `codes`, pairs of code
-- and sentence
function definitions.read()
  local read = {
    classes = {}, functions = {}, codes = {}, texts = {}, params = {}, returns = 0,
  }
  for line in io.lines(PATH) do read_line(read, line) end
  return read
end

return definitions
