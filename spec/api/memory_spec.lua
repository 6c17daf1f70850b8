-- SPDX-License-Identifier: MIT

-- What a process needs does not grow with what it has done: printed, and bounded.

local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local FIRST, LATER, MOST_KIB = 200000, 1800000, 1024

-- Reads and plain writes of 1,000 tasks; reports what it holds after each part.
local PROGRAM = [[
local authstate = require "authstate"
local store = assert(authstate.open { redis = arg[1], writes = "plain" })
local session = store:session "memory"
local record = { public = authstate.bytes(("p"):rep(32)), number = 7 }
assert(session.keys:set { ["pre-key"] = { ["1"] = record } })

local function work(first, count)
  local number = first
  for _ = 1, count do
    number = (number * 1103515245 + 12345) % 2147483648
    local id = tostring(number % 800)
    if number % 10 == 0 then
      assert(session.keys:set { ["pre-key"] = { [id] = record } })
    else
      assert(session.keys:get("pre-key", { id }))
    end
  end
end

local function go_on(operations)
  authstate.run(function()
    for first = 1, 1000 do authstate.spawn(work, first, operations / 1000) end
  end)
  collectgarbage()
  collectgarbage()
  local file = assert(io.open "/proc/self/status")
  local rss_kib = file:read("*a"):match "VmRSS:%s+(%d+)"
  file:close()
  print(rss_kib, store:stats().memory_bytes)
end

for i = 2, #arg do go_on(tonumber(arg[i])) end
assert(store:close())
]]

describe("a process that does 2,000,000 operations", function()
  it("holds what it held after 200,000", function()
    local server = redis_server.start()
    local status, out, err = process.run {
      os.getenv "LUAJIT" or "luajit", temporary.file(PROGRAM, "memory.lua"), server.url,
      tostring(FIRST), tostring(LATER), timeout_ms = 300000,
    }
    server:stop()
    assert.same({ 0, "" }, { status, err })
    local before_kib, before_bytes, after_kib, after_bytes =
      out:match "^(%d+)\t(%d+)\n(%d+)\t(%d+)\n$"
    print(("memory: RSS %s KiB after %d operations, %s after %d; the core %s and %s B")
      :format(before_kib, FIRST, after_kib, FIRST + LATER, before_bytes, after_bytes))
    assert.equal(before_bytes, after_bytes)
    -- The sanitizer keeps what was freed.
    if os.getenv "AUTHSTATE_BUILD" ~= "sanitize" then
      assert.is_true(after_kib - before_kib <= MOST_KIB)
    end
  end)
end)
