-- SPDX-License-Identifier: MIT
--- What a case is meant to reach: a list of { session, what, value, limit, bound,
-- is_reached, each }. `bound` is "at most" or "at least". A value that could not be
-- measured is missing, and so is whether it reaches its goal. Where several things have
-- the same goal, `each` has their values by name, and `value` is the one that is furthest
-- from it.

local figures = require "bench.harness.figures"

local goals = {}

local function new(session, what, value, limit, bound)
  local is_reached
  if value and bound == "at most" then is_reached = value <= limit end
  if value and bound == "at least" then is_reached = value >= limit end
  return { session = session, what = what, value = value, limit = limit, bound = bound,
    is_reached = is_reached }
end

--- A goal for what is to be small.
function goals.at_most(session, what, value, limit)
  return new(session, what, value, limit, "at most")
end

--- A goal for what is to be large.
function goals.at_least(session, what, value, limit)
  return new(session, what, value, limit, "at least")
end

--- One goal for several things that are each to be large.
-- @param values { [name] = value }
function goals.each_at_least(session, what, values, limit)
  local least
  for _, value in pairs(values) do least = math.min(least or value, value) end
  local goal = new(session, what, least, limit, "at least")
  goal.each = values
  return goal
end

-- Which of several things miss their goal, in words.
local function list_missed(goal)
  local names = {}
  for name, value in pairs(goal.each or {}) do
    if value < goal.limit then names[#names + 1] = ("%s %.3f"):format(name, value) end
  end
  table.sort(names)
  return #names > 0 and (" (%s)"):format(table.concat(names, ", ")) or ""
end

--- A goal in words.
function goals.line(goal)
  local verdict = "not measured"
  if goal.value then
    verdict = ("%.3f: %s%s"):format(goal.value, figures.reached(goal.is_reached),
      list_missed(goal))
  end
  return ("%s: %s, goal %s %.2f: %s"):format(goal.session, goal.what, goal.bound,
    goal.limit, verdict)
end

return goals
