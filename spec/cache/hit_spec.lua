-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local script = require "authstate.script"
local temporary = require "spec.support.temporary"

-- What hit_program.lua prints: found, trace exits, traces begun, thousands of
-- instructions that were interpreted.
local function run(policy, ...)
  local code, out, err = process.run {
    os.getenv "LUAJIT" or "luajit", "spec/cache/hit_program.lua", policy, ...,
  }
  assert.equal(0, code, err)
  local numbers = {}
  for word in out:gmatch "%d+" do numbers[#numbers + 1] = tonumber(word) end
  return unpack(numbers)
end

describe("a hit of the near cache", function()
  for _, policy in ipairs(script.names "policies") do
    it("stays on the trace that LuaJIT made of it, under " .. policy, function()
      local found, exits, starts, interpreted = run(policy)
      assert.equal(200000, found)
      -- The loop's end is an exit, and a rare path may be one.
      assert.is_true(exits <= 20, exits)
      assert.is_true(starts <= 2, starts)
      assert.is_true(interpreted <= 5, interpreted)
    end)
  end

  it("would be seen in the interpreter", function()
    local _, _, _, interpreted = run("lru", "interpreted")
    assert.is_true(interpreted > 1000, interpreted)
  end)

  it("would be seen leaving its trace, as under a policy that makes a function each time",
    function()
      local _, exits, starts, interpreted = run(temporary.file([[
        return function(cache)
          local queue, policy = cache:queue(), {}
          function policy.insert(e) queue:push(e) end
          function policy.hit(e) return (function() queue:touch(e) end)() end
          function policy.evict() return queue.oldest end
          function policy.remove(e) queue:remove(e) end
          return policy
        end]], "closure.lua"))
      assert.is_true(exits > 20 or starts > 2 or interpreted > 5)
    end)
end)

describe("keys:get of a record that the near cache has", function()
  local server

  setup(function() server = redis_server.start() end)

  teardown(function() server:stop() end)

  -- What get_program.lua prints: found, trace exits, thousands of instructions that were
  -- interpreted.
  local function get(...)
    local code, out, err = process.run {
      os.getenv "LUAJIT" or "luajit", "spec/cache/get_program.lua", server.url, ...,
    }
    assert.equal(0, code, err)
    local found, exits, interpreted = out:match "(%d+)%s+(%d+)%s+(%d+)"
    return tonumber(found), tonumber(exits), tonumber(interpreted)
  end

  it("stays on the trace that LuaJIT made of it", function()
    local found, exits, interpreted = get()
    assert.equal(200000, found)
    -- Every few milliseconds what has come is looked at, which leaves it.
    assert.is_true(exits < found / 20, exits)
    assert.is_true(interpreted < 2000, interpreted)
  end)

  it("would be seen in the interpreter", function()
    local _, _, interpreted = get "interpreted"
    assert.is_true(interpreted > 10000, interpreted)
  end)
end)
