-- SPDX-License-Identifier: MIT
--- In which order the peers take their turns: another one is first in every round, and
-- each follows each other one as often. Who comes behind a program that still cleans up
-- after itself would else be the same peer every time. Williams, "Experimental designs
-- balanced for the estimation of residual effects of treatments" (1949).

local order = {}

--- The order of one round. `count` rounds are balanced when `count` is even, twice as
-- many when it is odd.
-- @param count of peers
-- @param round any whole number
-- @return list of the numbers 1 to count
function order.of_round(count, round)
  local list = {}
  for i = 0, count - 1 do
    -- 0, 1, -1, 2, -2, ...: neighbours differ by another step each time.
    local step = i % 2 == 1 and (i + 1) / 2 or -i / 2
    list[i + 1] = (step + round) % count + 1
  end
  if math.floor(round / count) % 2 == 0 then return list end
  local reversed = {}
  for i, number in ipairs(list) do reversed[count + 1 - i] = number end
  return reversed
end

return order
