-- SPDX-License-Identifier: MIT

-- What LuaJIT is told of the cache beside what the compiler knows.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local ffi = require "ffi"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

-- { struct, { field, ... } } of the text that is given to ffi.cdef.
local function list_structs()
  local structs = {}
  for name, body in core.cache_structs:gmatch "typedef struct ([%w_]+) (%b{})" do
    local fields = {}
    for field in body:gmatch "([%w_]+);" do fields[#fields + 1] = field end
    structs[#structs + 1] = { name, fields }
  end
  return structs
end

local function lines_in_lua(structs)
  local lines = {}
  for _, struct in ipairs(structs) do
    local name, fields = struct[1], struct[2]
    lines[#lines + 1] = ("%s %d"):format(name, ffi.sizeof(name))
    for _, field in ipairs(fields) do
      lines[#lines + 1] = ("%s %d"):format(field, ffi.offsetof(name, field))
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- A program that prints the same, with the functions declared once more.
local function program(structs, declarations)
  local prints = {}
  for _, struct in ipairs(structs) do
    local name, fields = struct[1], struct[2]
    prints[#prints + 1] = ('printf("%s %%zu\\n", sizeof(%s));'):format(name, name)
    for _, field in ipairs(fields) do
      prints[#prints + 1] = ('printf("%s %%zu\\n", offsetof(%s, %s));'):format(field,
        name, field)
    end
  end
  return ([[
#include <lua.h>
#include <stdio.h>
#include "binding/cache.h"
%s
int main(void) {
%s
return 0;
}
]]):format(declarations, table.concat(prints, "\n"))
end

local function run_program(text)
  local source = temporary.file(text)
  local binary = temporary.directory() .. "/program"
  local code, _, err = process.run {
    "sh", "-c", 'exec "${CC:-cc}" -std=c11 -Wall -Wextra -Werror -Icore '
      .. '$(pkg-config --cflags luajit) -o "$1" -x c "$2"', "sh", binary, source,
    env = { LD_PRELOAD = false },
  }
  if code ~= 0 then return nil, err end
  local _, out = process.run { binary, env = { LD_PRELOAD = false } }
  return out
end

describe("the cache's declarations for the FFI", function()
  it("are those that C compiles, each field in its place", function()
    local structs = list_structs()
    assert.equal(8, #structs)
    assert.is_true(#structs[1][2] >= 14)
    assert.equal(lines_in_lua(structs),
      assert(run_program(program(structs, core.cache_declarations))))
  end)

  it("would not compile when they were others", function()
    local other, count = core.cache_declarations:gsub("double now_ms", "float now_ms")
    assert.is_true(count > 0)
    local out, err = run_program(program(list_structs(), other))
    assert.is_nil(out)
    assert.match("conflicting types", err)
  end)

  it("name functions that the library has, each of them", function()
    local count = 0
    for name in core.cache_declarations:gmatch "(authstate_[%w_]+)%s*%(" do
      assert.is_true(core_ffi.library[name] ~= nil, name)
      count = count + 1
    end
    assert.is_true(count >= 30)
  end)

  it("may be given to LuaJIT again: a module that is loaded twice works", function()
    local loaded = package.loaded["authstate.core_ffi"]
    package.loaded["authstate.core_ffi"] = nil
    local again = require "authstate.core_ffi"
    package.loaded["authstate.core_ffi"] = loaded
    assert.not_equal(loaded, again)
    local object = assert(core.cache(1000, 0, 1))
    require "authstate.structures"
    assert.equal(0, again.cache(object:address()):queue().count)
    object:close()
  end)
end)

describe("core.cache", function()
  it("refuses what is no size", function()
    assert.has_error(function() core.cache(-1, 0) end)
    assert.has_error(function() core.cache(0 / 0, 0) end)
    assert.has_error(function() core.cache(1, 2 ^ 32) end)
    assert.has_error(function() core.cache(1) end)
  end)

  it("cannot be used once it is closed, but closed again", function()
    local object = assert(core.cache(1000, 0))
    object:close()
    object:close()
    assert.has_error(function() object:address() end)
    assert.has_error(function() object:validate() end)
  end)

  it("finds what it holds, by ids of all lengths, with a seed or without", function()
    local library = core_ffi.library
    for _, seed in ipairs { false, 7 } do
      local object = assert(core.cache(1e6, 0, seed or nil))
      local cache = core_ffi.cache(object:address())
      for i = 1, 500 do
        local id = ("x"):rep(i % 40) .. i
        local e = library.authstate_cache_insert(cache, i % 3, i % 5, id, #id, "", 0)
        assert.is_true(e > 0)
        assert.equal(e, library.authstate_cache_peek(cache, i % 3, i % 5, id, #id))
        assert.equal(0, library.authstate_cache_peek(cache, i % 3, 5, id, #id))
        assert.equal(0, library.authstate_cache_peek(cache, 3, i % 5, id, #id))
      end
      object:close()
    end
  end)
end)
