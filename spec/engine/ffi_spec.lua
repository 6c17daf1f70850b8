-- SPDX-License-Identifier: MIT

-- What Lua calls through LuaJIT's FFI: once for each key, so nothing is checked there and
-- all must be as declared.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local ffi = require "ffi"
local hashes = require "spec.engine.hashes"
local peer = require "spec.engine.peer"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local library = core_ffi.library

-- What LuaJIT is told beside what the compiler knows: a declaration of another kind does
-- not compile.
local PROGRAM = [[
#include <stdio.h>
#include "binding/ffi.h"
%s
int main(void) {
  printf("%%zu %%zu\n", sizeof(int32_t), sizeof(size_t));
  return 0;
}
]]

local function compile(declarations)
  local source = temporary.file(PROGRAM:format(declarations))
  local binary = temporary.directory() .. "/program"
  local code, _, err = process.run {
    os.getenv "CC" or "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Icore",
    "-o", binary, "-x", "c", source, env = { LD_PRELOAD = false },
  }
  if code ~= 0 then return nil, err end
  local _, out = process.run { binary, env = { LD_PRELOAD = false } }
  return out
end

describe("the declarations for the FFI", function()
  it("are those of the header that C compiles, with types of the same size", function()
    assert.equal(("%d %d\n"):format(ffi.sizeof "int32_t", ffi.sizeof "size_t"),
      assert(compile(core.declarations)))
  end)

  it("would not compile when they were others", function()
    local other, changes = core.declarations:gsub("double timeout_ms", "int timeout_ms")
    assert.is_true(changes > 0)
    local program, err = compile(other)
    assert.is_nil(program)
    assert.match("conflicting types", err)
  end)

  it("name functions that the library has, each of them", function()
    local count = 0
    for name in core.declarations:gmatch "(authstate_[%w_]+)%s*%(" do
      assert.is_true(library[name] ~= nil, name)
      count = count + 1
    end
    assert.is_true(count >= 3)
    assert.has_error(function() return library.authstate_none end)
  end)

  it("may be given to LuaJIT again: a module that is loaded twice works", function()
    local loaded = package.loaded["authstate.core_ffi"]
    package.loaded["authstate.core_ffi"] = nil
    local again = require "authstate.core_ffi"
    package.loaded["authstate.core_ffi"] = loaded
    assert.not_equal(loaded, again)
    -- The same instance of the library.
    assert.equal(ffi.cast("void *", library.authstate_now_ms),
      ffi.cast("void *", again.library.authstate_now_ms))
    local p, lane = hashes.ready({}, { k = { a = "1" } })
    local slot = again.library.authstate_read(again.engine(p.engine:address()),
      again.hash(lane:hash "k"), "a", 1, -1, core.shapes.raw, 1000)
    p:pump()
    local out = {}
    assert.equal(1, p.engine:drain(out))
    assert.same({ slot, "1" }, out)
  end)

  it("read the same clock", function()
    local before_ms = core.now_ms()
    local now_ms = library.authstate_now_ms()
    assert.is_true(before_ms <= now_ms and now_ms <= core.now_ms())
  end)
end)

describe("authstate_read", function()
  local p, lane, engine

  -- The slot, or a status below 0.
  local function read(key, field, generation, shape)
    return library.authstate_read(engine, core_ffi.hash(lane:hash(key)), field, #field,
      generation or -1, core.shapes[shape or "raw"], 60000)
  end

  local function drain()
    local out, results = {}, {}
    p:pump()
    for i = 1, p.engine:drain(out) do results[out[2 * i - 1]] = out[2 * i] end
    return results
  end

  before_each(function()
    p, lane = hashes.ready({ max_operations = 10 }, {
      k = { a = "1", ["\0"] = "zero", json = '{"x":[1,null]}', broken = "{" },
      bad = "string", meta = { gen = "7" },
    })
    engine = core_ffi.engine(p.engine:address())
  end)

  it("is joined with other reads; drain gives the values and the slots back", function()
    local slots = {
      read("k", "a"), read("k", "\0"), read("k", "none"), read("k", "a", 7),
      read("k", "json", -1, "value"), read("k", "json", -1, "json"),
    }
    local results = drain()
    assert.equal("1", results[slots[1]])
    assert.equal("zero", results[slots[2]])
    assert.is_nil(results[slots[3]])
    assert.equal("1", results[slots[4]])
    assert.equal(1, results[slots[5]].x[1])
    assert.is_userdata(results[slots[5]].x[2])
    assert.equal('{"x":[1,null]}', results[slots[6]])
    assert.same({ "HMGET k a \0 none json", "HGET meta gen" }, p.commands)
    assert.equal(0, p.engine:statistics().queued_operations)
  end)

  it("that fails is told by the engine's address: then its outcome is asked", function()
    local wrong, fenced = read("bad", "a"), read("k", "a", 8)
    local results = drain()
    for slot, code in pairs { [wrong] = "wrong_type", [fenced] = "fenced" } do
      assert.equal(p.engine:address(), results[slot])
      assert.equal(code, (p.engine:outcome(slot)))
      p.engine:release(slot)
    end
    assert.equal(0, p.engine:statistics().queued_operations)
  end)

  it("of a value that cannot be opened is no absence: take says why", function()
    local slot = read("k", "broken", -1, "value")
    assert.equal(p.engine:address(), drain()[slot])
    assert.is_nil((p.engine:outcome(slot)))
    local value, message = p.engine:take(slot)
    assert.is_nil(value)
    assert.is_string(message)
    assert.equal(0, p.engine:statistics().queued_operations)
  end)

  it("is refused when a bound is reached, and on a closed engine", function()
    for _ = 1, 10 do assert.is_true(read("k", "a") >= 0) end
    local hash = core_ffi.hash(lane:hash "k")
    local overloaded = read("k", "a")
    assert.is_true(overloaded < 0)
    p.engine:close()
    local closed = library.authstate_read(engine, hash, "a", 1, -1, 0, 60000)
    assert.is_true(closed < 0)
    assert.not_equal(overloaded, closed)
  end)
end)

describe("authstate_set", function()
  it("is joined with other plain writes; drain gives the versions", function()
    local p, lane, stored = hashes.ready({ max_operations = 5 }, { bad = "string" })
    local engine = core_ffi.engine(p.engine:address())
    local function set(key, field, value)
      return library.authstate_set(engine, core_ffi.hash(lane:hash(key)), field, #field,
        value, #value, 60000)
    end
    local slots = { set("k", "a", "1"), set("k", "", "\0\r\n"), set("bad", "a", "1") }
    slots[4] = p:change(lane, { "k", "a", "2" })
    assert.is_true(set("k", "a", "3") >= 0)
    assert.is_true(set("k", "a", "4") < 0)
    p:pump()
    local out, results = {}, {}
    for i = 1, p.engine:drain(out) do results[out[2 * i - 1]] = out[2 * i] end
    assert.same({ 1, 2, p.engine:address(), p.engine:address() }, {
      results[slots[1]], results[slots[2]], results[slots[3]], results[slots[4]],
    })
    assert.equal("wrong_type", (p.engine:outcome(slots[3])))
    assert.equal(4, p.engine:take(slots[4]))
    assert.same({ a = "3", [""] = "\0\r\n" }, stored.k)
    assert.same("HSET k a 1  \0\r\n a 2 a 3", p.commands[2])
    p.engine:close()
    assert.is_true(library.authstate_set(engine, nil, "a", 1, "1", 1, 60000) < 0)
  end)
end)

describe("drain", function()
  -- Reads whose values do not all fit into the memory of the process.
  local HUNGRY = [[
    local core = require "authstate.core"
    local core_ffi = require "authstate.core_ffi"
    local hashes = require "spec.engine.hashes"
    local p, lane = hashes.ready({}, { k = { a = "[" .. ("1,"):rep(200000) .. "2]" } })
    local engine, waits = core_ffi.engine(p.engine:address()), {}
    for _ = 1, 200 do
      local slot = core_ffi.library.authstate_read(engine, core_ffi.hash(lane:hash "k"),
        "a", 1, -1, core.shapes.value, 60000)
      waits[slot] = true
    end
    p:pump()
    local out, raised, asked, last = {}, 0, 0, nil
    for i = 1, 512 do out[i] = false end
    repeat
      local is_whole, count = pcall(p.engine.drain, p.engine, out)
      if not is_whole then
        raised, count, last = raised + 1, p.engine:drained(), count
      end
      for i = 1, count do
        local slot, value = out[2 * i - 1], out[2 * i]
        out[2 * i] = false
        assert(waits[slot], "told twice")
        waits[slot] = nil
        if value == p.engine:address() then
          collectgarbage()
          asked, value = asked + 1, p.engine:take(slot)[1][1]
        end
        assert(#value == 200001 and value[200001] == 2)
      end
      for i = 1, 512 do out[i] = false end
      collectgarbage()
    until is_whole and count == 0
    assert(next(waits) == nil, "not told")
    assert(raised > 0 and asked == raised, raised .. " " .. asked)
    assert(last == "not enough memory", last)
    assert(p.engine:statistics().queued_operations == 0)
  ]]

  -- Who waited for what had been drained before, or was being, waited for ever.
  it("loses nothing when there is no memory for a value", function()
    -- The sanitizers reserve more than a limit may be.
    if os.getenv "AUTHSTATE_BUILD" == "sanitize" then return end
    local program = temporary.file(HUNGRY, ".lua")
    local status, _, err = process.run {
      "sh", "-c", 'ulimit -v 300000; exec luajit "$0"', program,
    }
    assert.equal(0, status, err)
  end)

  it("gives at most 256 at once, and raises for what is no table", function()
    local p = peer.new()
    p:start {}
    p:ready()
    for _ = 1, 300 do p:submit { { "PING" } } end
    p:pump()
    local out, count = {}, 0
    for _, expected in ipairs { 256, 44, 0 } do
      assert.equal(expected, p.engine:drain(out))
      for i = 1, expected do
        assert.equal(p.engine:address(), out[2 * i])
        p.engine:take(out[2 * i - 1])
        count = count + 1
      end
    end
    assert.equal(300, count)
    assert.equal(0, p.engine:statistics().queued_operations)
    assert.has_error(function() p.engine:drain() end)
  end)
end)
