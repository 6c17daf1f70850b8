-- SPDX-License-Identifier: MIT
--- Quartiles of what the rounds of a benchmark gave, and when two of them differ.

local statistics = {}

--- A quantile of a list, interpolated between neighbours.
-- @param sorted numbers in ascending order, at least one
-- @param fraction 0 to 1
function statistics.quantile(sorted, fraction)
  local position = 1 + fraction * (#sorted - 1)
  local below = math.floor(position)
  local above = math.min(below + 1, #sorted)
  return sorted[below] + (position - below) * (sorted[above] - sorted[below])
end

--- Median and quartiles.
-- @param list numbers in any order, at least one
-- @return { q1, median, q3 }
function statistics.quartiles(list)
  local sorted = {}
  for i, value in ipairs(list) do sorted[i] = value end
  table.sort(sorted)
  return {
    q1 = statistics.quantile(sorted, 0.25),
    median = statistics.quantile(sorted, 0.5),
    q3 = statistics.quantile(sorted, 0.75),
  }
end

--- What one takes of another, round by round: only two times of one round are compared.
-- @param times one number a round
-- @param base as many, not 0
-- @return list of ratios
function statistics.ratios(times, base)
  assert(#times == #base, "the same rounds are compared")
  local ratios = {}
  for round, time in ipairs(times) do ratios[round] = time / base[round] end
  return ratios
end

--- How far the same program is from itself: the factor that both its quartiles and its
-- median lie within. 1 is no spread at all.
-- @param twin { q1, median, q3 } of the ratios of a program to itself
function statistics.spread(twin)
  return math.max(twin.q3, 1 / twin.q1, twin.median, 1 / twin.median)
end

--- Whether a median ratio tells a difference. One that lies within the spread, in either
-- direction, does not.
-- @return "no difference", "slower" or "faster" (than the base)
function statistics.verdict(median, spread)
  if median <= spread and median >= 1 / spread then return "no difference" end
  return median > 1 and "slower" or "faster"
end

return statistics
