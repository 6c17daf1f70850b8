-- SPDX-License-Identifier: MIT
--- Finds the name that a misspelt one was probably meant to be.

local suggest = {}

-- "poolSize", "pool-size" and "pool_size" are the same word.
local function normalize(name)
  return (name:lower():gsub("[_%-%s]", ""))
end

-- Levenshtein distance, one row at a time.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
      diagonal, row[j] = row[j], best
    end
  end
  return row[#b]
end

--- The candidate nearest to a name.
-- @param name string, at most its first 64 bytes are looked at
-- @param candidates list of strings
-- @return string, or nil when none is near (more than a third of its letters differ)
function suggest.nearest(name, candidates)
  local wanted = normalize(name:sub(1, 64))
  local best, best_distance
  for _, candidate in ipairs(candidates) do
    local found = distance(wanted, normalize(candidate))
    if not best or found < best_distance then best, best_distance = candidate, found end
  end
  if best and best_distance <= math.max(1, math.floor(#wanted / 3)) then return best end
end

--- `, did you mean "x"?`, or nothing.
function suggest.phrase(name, candidates)
  local nearest = suggest.nearest(name, candidates)
  return nearest and string.format(", did you mean %q?", nearest) or ""
end

return suggest
