-- SPDX-License-Identifier: MIT
--- Figures for people: times, ratios, and a case of a results document as lines for a
-- terminal.

local figures = {}

--- A time, given in microseconds, in a unit that suits it.
function figures.time(us)
  if us < 10 then return ("%.2f us"):format(us) end
  if us < 1000 then return ("%.1f us"):format(us) end
  if us < 1e6 then return ("%.2f ms"):format(us / 1e3) end
  return ("%.2f s"):format(us / 1e6)
end

--- A ratio with three digits that count.
function figures.ratio(ratio)
  if ratio < 10 then return ("%.2f"):format(ratio) end
  return ("%.1f"):format(ratio)
end

--- A ratio with its quartiles.
function figures.quartiles(ratio)
  return ("%s [%s .. %s]"):format(figures.ratio(ratio.median), figures.ratio(ratio.q1),
    figures.ratio(ratio.q3))
end

--- Whether a goal is reached, in words.
function figures.reached(is_reached)
  return is_reached and "reached" or "not reached"
end

local function judge_goal(what, goal, is_reached)
  return ("%s %s: %s"):format(what, goal, figures.reached(is_reached))
end

--- What a peer's figures mean, in words.
-- @param is_ours whether it is the one that the others are divided by
function figures.remark(peer, is_ours)
  if peer.is_twin then return "the same program: the spread" end
  local words = { is_ours and "ours" or nil }
  if peer.is_floor then words[#words + 1] = "floor" end
  if peer.wall.verdict == "no difference" then words[#words + 1] = "no difference" end
  if peer.cpu.verdict == "no difference" then
    words[#words + 1] = "CPU: no difference"
  end
  if peer.goal then
    words[#words + 1] = judge_goal("goal", ("%.3g"):format(peer.goal),
      peer.wall.ratio.median >= peer.goal)
  end
  if peer.cpu_goal_us then
    words[#words + 1] = judge_goal("CPU goal", ("%g us"):format(peer.cpu_goal_us),
      peer.cpu.operation_us.median <= peer.cpu_goal_us)
  end
  return table.concat(words, "; ")
end

local PROCESSORS = {
  one = "server and peers on one processor",
  two = "the server on a processor of its own",
  free = "processors as the scheduler likes",
}

local FORMAT = "%-24s %10s %10s  %-23s %-23s %s"

--- Where the server and the peers of a case ran, in words.
function figures.processors(case)
  return PROCESSORS[case.processors]
end

--- The lines of one case.
-- @return list of strings
function figures.lines(case, knobs)
  local lines = {
    ("%s: %s"):format(case.name, case.sentence),
    ("%s session%s; %d operations a round, %d rounds after %d; %s; ratios are medians "
      .. "[quartiles]"):format(knobs.SESSION or knobs.FIXTURE or "large",
      knobs.TYPE and ", " .. knobs.TYPE or "", case.operations, knobs.ROUNDS,
      knobs.WARMUP, figures.processors(case)),
    "",
    FORMAT:format("", "wall", "CPU", "wall time", "client CPU", ""),
    FORMAT:format("", "/operation", "/operation", "of ours", "of ours", ""),
  }
  for i, peer in ipairs(case.peers) do
    local is_ours = i == 1
    local line = FORMAT:format(peer.name, figures.time(peer.wall.operation_us.median),
      figures.time(peer.cpu.operation_us.median),
      is_ours and "1" or figures.quartiles(peer.wall.ratio),
      is_ours and "1" or figures.quartiles(peer.cpu.ratio),
      figures.remark(peer, is_ours))
    lines[#lines + 1] = line:gsub("%s+$", "")
  end
  lines[#lines + 1] = ("spread: a ratio between %.2f and %.2f (CPU %.2f and %.2f) tells "
    .. "no difference"):format(1 / case.spread.wall, case.spread.wall,
    1 / case.spread.cpu, case.spread.cpu)
  for _, sentence in ipairs(case.sentences) do lines[#lines + 1] = sentence end
  return lines
end

return figures
