-- SPDX-License-Identifier: MIT

-- A store with a near cache that is used before and after a fork. The child has neither
-- its parent's connections nor what was read over them: nobody would tell it of changes.

local program = require "spec.embedded.program"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local TEXT = [[
local ffi = require "ffi"
ffi.cdef "int fork(void); int waitpid(int, int *, int); void _exit(int);"
local url, layout, directory, place = unpack(arg)
local store = assert(authstate.open { redis = url, enable_cache = true, layout = layout })
local session = store:session "s"
local function get() return session.keys:get("pre-key", { "a" }).a end
local function hits() return store:stats().cache.hits end
local function get_and_count()
  local before = hits()
  return get(), hits() - before
end
local function keep()
  while select(2, get_and_count()) == 0 do authstate.sleep(1) end
end
-- Waits for a file, and until a task must look at what has come.
local function hear(name)
  await(directory .. "/" .. name)
  authstate.sleep(15)
end
local function main()
  assert(session.keys:set { ["pre-key"] = { a = "old" } })
  keep()
  local child = ffi.C.fork()
  if child == 0 then
    report("child begins", get_and_count())
    keep()
    report("child keeps", get_and_count())
    hear "first"
    report("child reads", get())
    ffi.C._exit(store:close() and 0 or 1)
  end
  report("parent goes on", get_and_count())
  hear "first"
  report("parent reads", get())
  local status = ffi.new "int[1]"
  ffi.C.waitpid(child, status, 0)
  keep()
  report("child ended", status[0])
  hear "second"
  report("parent reads again", get())
end
if place == "in a task" then authstate.run(main) else main() end
]]

local RECORDS = {
  typed = { "authstate:{s}:k:pre-key", "a" },
  ["hbinduni-hash"] = { "s:auth", "pre-key-a" },
}

describe("a near cache and a fork", function()
  for layout, record in pairs(RECORDS) do
    for _, place in ipairs { "outside of tasks", "in a task" } do
      it(("have nothing in common, %s, in %s"):format(place, layout), function()
        local server, directory = redis_server.start(), temporary.directory()
        local handle = program.start {
          server.url, layout, directory, place, text = TEXT,
        }
        local function write(value, signal)
          assert(server:command("HSET", record[1], record[2], '"' .. value .. '"'))
          server:command "PING" -- behind its answer all was told
          assert(io.open(directory .. "/" .. signal, "w")):close()
        end
        assert.same({ "child begins", "old", "0" }, program.await(handle, "child begins"))
        assert.same({ "child keeps", "old", "1" }, program.await(handle, "child keeps"))
        assert.same({ "parent goes on", "old", "1" },
          program.await(handle, "parent goes on"))
        local subscribers = server:command("PUBSUB", "NUMSUB", "__redis__:invalidate")[2]
        assert.equal(2, subscribers)
        write("new", "first")
        assert.same({ "child reads", "new" }, program.await(handle, "child reads"))
        assert.same({ "parent reads", "new" }, program.await(handle, "parent reads"))
        assert.same({ "child ended", "0" }, program.await(handle, "child ended"))
        write("newer", "second")
        assert.same({ "parent reads again", "newer" },
          program.await(handle, "parent reads again"))
        assert.equal(0, handle:wait())
        server:stop()
      end)
    end
  end
end)
