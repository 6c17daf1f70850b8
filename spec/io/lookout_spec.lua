-- SPDX-License-Identifier: MIT

-- What can be read from sockets that somebody else holds, here LuaSocket.

local socket = require "socket"

local clock = require "spec.support.clock"
local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"

local QUIET, UNKNOWN = -1, -2

describe("a lookout", function()
  local lookout, near, far, fd

  local function look()
    return core_ffi.library.authstate_lookout_next(core_ffi.lookout(lookout:address()))
  end

  -- A descriptor that is told, sooner or later.
  local function await_event()
    local told
    assert.is_truthy(clock.wait_for(function()
      told = look()
      return told ~= QUIET
    end))
    return told
  end

  before_each(function()
    local listener = assert(socket.bind("127.0.0.1", 0))
    near = assert(socket.connect("127.0.0.1", (select(2, listener:getsockname()))))
    far = assert(listener:accept())
    listener:close()
    fd = near:getfd()
    lookout = assert(core.lookout())
  end)

  after_each(function()
    lookout:close()
    near:close()
    far:close()
  end)

  it("is quiet until bytes come, and again when they are read, by whomever", function()
    assert.is_true(lookout:add(fd, "bytes"))
    assert.equal(QUIET, look())
    far:send "abc"
    assert.equal(fd, await_event())
    assert.equal(fd, look())
    assert.equal("abc", lookout:receive(fd))
    assert.equal(QUIET, look())
    assert.equal("", lookout:receive(fd))
    far:send "d"
    assert.equal(fd, await_event())
    assert.equal("d", near:receive(1))
    assert.equal(QUIET, look())
  end)

  it("tells of the end of a stream", function()
    assert.is_true(lookout:add(fd, "bytes"))
    far:close()
    assert.equal(fd, await_event())
    assert.same({ nil, "the server closed the connection" }, { lookout:receive(fd) })
  end)

  it("tells only of the end where no more is asked for", function()
    assert.is_true(lookout:add(fd, "end"))
    far:send "abc"
    assert.is_truthy(socket.select({ near }, nil, 10)[near])
    assert.equal(QUIET, look())
    far:close()
    assert.equal(fd, await_event())
  end)

  it("tells which of several it is, and takes the last word for each", function()
    local others = {}
    for i = 1, 5 do
      local listener = assert(socket.bind("127.0.0.1", 0))
      others[i] = assert(socket.connect("127.0.0.1",
        (select(2, listener:getsockname()))))
      listener:close()
    end
    for _, each in ipairs(others) do
      assert.is_true(lookout:add(each:getfd(), "end"))
      lookout:remove(each:getfd())
    end
    assert.is_true(lookout:add(fd, "end"))
    assert.is_true(lookout:add(fd, "bytes"))
    far:send "x"
    assert.equal(fd, await_event())
    for _, each in ipairs(others) do each:close() end
  end)

  it("forgets what was removed, and what its holder has closed", function()
    assert.is_true(lookout:add(fd, "bytes"))
    far:send "x"
    assert.equal(fd, await_event())
    lookout:remove(fd)
    assert.equal(QUIET, look())
    lookout:remove(fd)
    assert.is_true(lookout:add(fd, "bytes"))
    near:close()
    assert.equal(QUIET, look())
  end)

  it("says that it does not know when it is closed, and of no descriptor", function()
    assert.same({ nil, "Bad file descriptor" }, { lookout:add(9999, "bytes") })
    assert.same({ nil, "Bad file descriptor" }, { lookout:receive(9999) })
    assert.error_matches(function() lookout:add(fd, "else") end, "invalid option")
    lookout:close()
    assert.equal(UNKNOWN, look())
    assert.is_nil((lookout:add(fd, "bytes")))
  end)
end)

describe("a marked socket", function()
  local function has(list, fd)
    for _, each in ipairs(list) do
      if each == fd then return true end
    end
    return false
  end

  it("is found among all descriptors, as long as it is", function()
    local one = assert(socket.tcp4())
    local fd = one:getfd()
    assert.is_false(core.is_marked(fd))
    assert.is_false(has(core.marked_sockets(), fd))
    one:setoption("reuseaddr", true)
    assert.is_true(core.is_marked(fd))
    assert.is_true(has(core.marked_sockets(), fd))
    one:setoption("reuseaddr", false)
    assert.is_false(core.is_marked(fd))
    one:close()
    assert.is_false(core.is_marked(fd))
    assert.is_false(core.is_marked(-1))
  end)
end)
