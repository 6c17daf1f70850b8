-- SPDX-License-Identifier: MIT

-- Near caches on a real server, amid faults: no read is older than is promised. That the
-- judge sees something is shown by bugs that it must see; each rule has a case and a bug
-- of its own in in_flight_spec.lua.

local judge = require "spec.coherence.judge"
local random = require "spec.support.random"
local storm = require "spec.coherence.storm"

-- For all layouts together.
local SECONDS = tonumber(os.getenv "COHERENCE_SECONDS" or 12)

local LAYOUTS = { "typed", "hbinduni-hash" }

local PLANTED_SECONDS, PLANTED_TRIES = 3, 6

-- Those that come to light within seconds, some amid one fault only.
local PLANTS = {
  { "no EXISTS in the script" },
  { "what others write is not heard of" },
  { "what is being written is served" },
  { "nobody looks at what has come before a hit" },
  { "a lost connection is not noted", { "connections cut" } },
  { "all is served while nobody answers",
    { "behind a proxy: a subscriber that hears nothing" } },
}

-- Each of them must have come often enough to prove something.
local function check_work(work, seconds)
  assert.is_true(work.hits > 100 * seconds, "hits: " .. work.hits)
  assert.is_true(work.writes > 20 * seconds, "writes: " .. work.writes)
  assert.is_true(#work.history.order > 10 * seconds, "changes: " .. #work.history.order)
  assert.is_true(#work.log >= seconds / 2, "faults: " .. #work.log)
end

describe("a near cache amid faults", function()
  for _, layout in ipairs(LAYOUTS) do
    it("gives nothing older than is promised, in " .. layout, function()
      local seconds, dice = SECONDS / #LAYOUTS, random.new()
      local work = storm.run { layout = layout, seconds = seconds, seed = dice:word() }
      local violations = judge.judge(work.history)
      assert.equal(0, #violations, ("%s\n%s"):format(table.concat(violations, "\n"),
        table.concat(work.log, "\n")))
      check_work(work, seconds)
    end)
  end

  for i, each in ipairs(PLANTS) do
    local plant, faults = each[1], each[2]
    it("is seen to when " .. plant, function()
      local layout, dice, violations = LAYOUTS[1 + i % #LAYOUTS], random.new(), {}
      for _ = 1, PLANTED_TRIES do
        if #violations > 0 then break end
        local work = storm.run {
          layout = layout, seconds = PLANTED_SECONDS, seed = dice:word(), plant = plant,
          faults = faults,
        }
        violations = judge.judge(work.history)
      end
      assert.is_true(#violations > 0, "nothing was seen")
      for _, said in ipairs(violations) do assert.match("when it had known", said) end
    end)
  end
end)
