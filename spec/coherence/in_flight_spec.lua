-- SPDX-License-Identifier: MIT

-- The rules of a coherent near cache, one by one, on a real server: a proxy holds back
-- what the server says until the moment at which it would do harm. Each case holds with
-- authstate as it is, and is broken by each bug that the rule is against.

local cases = require "spec.coherence.cases"
local planted = require "spec.coherence.planted"
local world = require "spec.coherence.world"

for _, layout in ipairs { "typed", "hbinduni-hash" } do
  describe("the near cache, in " .. layout .. ",", function()
    local place

    setup(function()
      place = world.start()
    end)

    teardown(function()
      place.proxy:stop()
      place.server:stop()
    end)

    local function try(case, plant)
      return planted.with(plant, function(authstate)
        local made = world.new(place, authstate, layout, case.options)
        if plant.damage then made.proxy:replace(plant.damage) end
        local is_fine, message
        if case.is_blocking then
          is_fine, message = pcall(case.run, made)
        else
          made:run(function() is_fine, message = pcall(case.run, made) end)
        end
        made:close()
        if not is_fine then error(message, 0) end
      end)
    end

    for _, case in ipairs(cases) do
      it(("keeps rule %s: %s"):format(case.rule, case.says), function()
        local is_kept, message = try(case, {})
        assert(is_kept, message)
      end)

      for _, plant in ipairs(case.plants) do
        it(("is seen to break it (%s) when %s"):format(case.says, plant.name), function()
          local is_kept, message = try(case, plant)
          assert.is_false(is_kept, "nothing was seen")
          assert.match("wanted .*, got ", message)
        end)
      end
    end
  end)
end
