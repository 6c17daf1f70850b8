-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"
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
