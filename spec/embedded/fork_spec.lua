-- SPDX-License-Identifier: MIT

-- A store that is used before and after a fork: parent and child must not share a
-- connection, or each gets the other's answers.

local program = require "spec.embedded.program"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local HEAD = [[
local ffi = require "ffi"
ffi.cdef "int fork(void); int waitpid(int, int *, int); void _exit(int);"
local options = arg[2] == "redis" and { redis = arg[1] } or { data_dir = arg[1] }
local store = open(options)
local a, b = store:session "a", store:session "b"
assert(a:commit { creds = { me = "a" } })
assert(b:commit { creds = { me = "b" } })
local function read(session, me)
  for _ = 1, 100 do
    local creds, message = session:load_creds()
    local found = creds and creds.me
    if found ~= me then report("wrong", me, found, message) end
  end
end
local function write(session, name)
  for n = 1, 50 do assert(session.keys:set_json { t = { [name .. n] = "1" } }) end
end
local child = ffi.C.fork()
if child == 0 then
  read(b, "b")
  write(b, "child")
  write(a, "child")
  local is_closed = store:close()
  ffi.C._exit(is_closed and 0 or 1)
end
read(a, "a")
write(a, "parent")
local status = ffi.new "int[1]"
ffi.C.waitpid(child, status, 0)
report("child", status[0])
read(a, "a")
report("a", a.keys:count "t", a:load().version)
report("b", b.keys:count "t", b:load().version)
report("closed", store:close())
]]

describe("a store that was used before a fork", function()
  it("serves parent and child, each on a connection of its own", function()
    local server = redis_server.start()
    local status, words, err = program.run { server.url, "redis", text = HEAD }
    assert.equal("", err)
    assert.same({ 0, "closed", "true" }, { status, words[1], words[2] })
    assert.equal("101", server:command("HGET", "authstate:{a}:meta", "ver"))
    assert.equal("51", server:command("HGET", "authstate:{b}:meta", "ver"))
    server:stop()
  end)

  it("leaves the private server to the parent when the child closes", function()
    local directory = temporary.directory() .. "/state"
    local status, words, err = program.run { directory, "embedded", text = HEAD }
    assert.equal("", err)
    assert.same({ 0, "closed", "true" }, { status, words[1], words[2] })
  end)

  it("never gives one process what the other asked for", function()
    local server = redis_server.start()
    local text = HEAD .. 'report "end"'
    for _ = 1, 5 do
      server:command("FLUSHALL")
      local handle = program.start { server.url, "redis", text = text }
      assert.equal(0, handle:wait(20000))
      assert.falsy(handle:output():find("wrong", 1, true), handle:output())
      assert.matches("child\t0\n", handle:output(), 1, true)
      handle:kill()
    end
    server:stop()
  end)
end)
