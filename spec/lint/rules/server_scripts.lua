-- SPDX-License-Identifier: MIT
-- What runs inside Redis, checked as it runs: most scripts behind the prelude, as
-- server_scripts.lua puts them together. What the prelude defines and one script leaves
-- unused is fine when another one uses it.

local FOLDER = "lua/authstate/server"
local PRELUDE = FOLDER .. "/prelude.lua"
local SENDER = "lua/authstate/server_scripts.lua"

local LUACHECK =
  "luacheck --config .luacheckrc --no-cache --std redis --formatter plain - <"

local rule = { why = "The scripts in Redis use only what Redis gives them." }

local function write_temporary(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
  return path
end

-- What luacheck says of a text: list of { line, text }.
local function luacheck(where, text)
  local path = write_temporary(text)
  local status, output = where:run(LUACHECK .. path)
  os.remove(path)
  local found = {}
  for line, words in output:gmatch "stdin:(%d+):%d+: ([^\n]+)" do
    found[#found + 1] = { line = tonumber(line), text = words }
  end
  assert(status == 0 or #found > 0, output)
  return found
end

-- The scripts, with what goes before each of them: list of { path, head }.
local function find_scripts(where)
  local sender, list = where:read(SENDER), {}
  for _, path in ipairs(where:files(FOLDER, "%.lua$")) do
    local name = path:match "([^/]+)%.lua$"
    local has_prelude =
      sender:find(('prelude .. read_source "%s"'):format(name), 1, true)
    if path ~= PRELUDE then
      list[#list + 1] = { path = path, head = has_prelude and where:read(PRELUDE) or "" }
    end
  end
  return list
end

-- Notes a complaint about the prelude, which many scripts may give rise to.
local function note(prelude, found)
  local key = found.line .. found.text
  prelude[key] = prelude[key] or { line = found.line, text = found.text, count = 0 }
  prelude[key].count = prelude[key].count + 1
end

function rule.check(where, complain)
  local prelude, with_prelude = {}, 0
  for _, script in ipairs(find_scripts(where)) do
    local _, offset = script.head:gsub("\n", "")
    if offset > 0 then with_prelude = with_prelude + 1 end
    for _, found in ipairs(luacheck(where, script.head .. where:read(script.path))) do
      if found.line > offset then
        complain(script.path, found.line - offset, found.text)
      else
        note(prelude, found)
      end
    end
  end
  for _, found in pairs(prelude) do
    local is_unused = found.text:find "^%(W2" ~= nil
    if not is_unused or found.count == with_prelude then
      complain(PRELUDE, found.line, found.text)
    end
  end
end

return rule
