-- SPDX-License-Identifier: MIT

-- One real session through the whole core, short enough for valgrind: `make valgrind`.
-- Uses a private server in the directory given as argument.

local authstate = require "authstate"

local function read_fixture(name)
  local pipe = assert(io.popen("gzip -dc spec/fixtures/" .. name))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local store = assert(authstate.open { data_dir = assert(arg[1], "directory expected") })
local session = store:session "valgrind"
assert(select(2, session:load_creds()) == nil, "the directory has been used before")
assert(session:commit_json(read_fixture "small.json.gz"))
local whole = assert(session:load())
local records = 0
for kind, loaded in pairs(whole.keys) do
  local ids = {}
  for id in pairs(loaded) do ids[#ids + 1] = id end
  assert(session.keys:get(kind, ids))
  assert(session.keys:get_json(kind, ids))
  assert(session.keys:set { [kind] = loaded })
  records = records + #ids
end
assert(records > 400)
assert(session:save_creds(whole.creds))
assert(store:session_info "valgrind")
assert(#assert(store:sessions()) == 1)
assert(not pcall(session.keys.set, session.keys, { x = { y = { z = 0 / 0 } } }))
assert(not authstate.from_json '{"a":')
assert(session:delete())
assert(store:close())
print(records .. " records")
