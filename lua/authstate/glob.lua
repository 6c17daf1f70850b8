-- SPDX-License-Identifier: MIT
--- Glob-style patterns as Redis matches them. Source: redis 7.0, src/util.c,
-- stringmatchlen.

local glob = {}

local SPECIAL = "[%*%?%[%]\\%^%-]"

--- A pattern that matches a text and nothing else.
function glob.escape(text)
  return (text:gsub(SPECIAL, "\\%0"))
end

-- Matches one character against the class that begins at pattern[at], behind its "[".
-- Whether it is in the class, and where the pattern goes on.
local function match_class(pattern, at, byte)
  local is_inverted = pattern:sub(at, at) == "^"
  if is_inverted then at = at + 1 end
  local is_in = false
  while at <= #pattern and pattern:sub(at, at) ~= "]" do
    if pattern:sub(at, at) == "\\" and at < #pattern then
      at = at + 1
      is_in = is_in or pattern:byte(at) == byte
    elseif pattern:sub(at + 1, at + 1) == "-" and at + 2 <= #pattern then
      local first, last = pattern:byte(at), pattern:byte(at + 2)
      if first > last then first, last = last, first end
      is_in = is_in or byte >= first and byte <= last
      at = at + 2
    else
      is_in = is_in or pattern:byte(at) == byte
    end
    at = at + 1
  end
  return is_in ~= is_inverted, at + 1
end

-- Whether text[from..] matches pattern[at..], up to the next "*" of the pattern. Where
-- both go on; nil when not.
local function match_part(pattern, at, text, from)
  while at <= #pattern do
    local char = pattern:sub(at, at)
    if char == "*" then return at, from end
    if from > #text then return nil end
    local is_fine, next_at = true, at + 1
    if char == "[" then
      is_fine, next_at = match_class(pattern, at + 1, text:byte(from))
    elseif char == "\\" and at < #pattern then
      is_fine, next_at = pattern:byte(at + 1) == text:byte(from), at + 2
    elseif char ~= "?" then
      is_fine = char == text:sub(from, from)
    end
    if not is_fine then return nil end
    at, from = next_at, from + 1
  end
  return at, from
end

--- Whether a text matches a pattern.
function glob.matches(pattern, text)
  -- Redis looks at no pattern when the text is empty, but for the one that means all.
  if text == "" then return pattern == "" or pattern == "*" end
  local at, from = match_part(pattern, 1, text, 1)
  if not at then return false end
  while at <= #pattern do
    while pattern:sub(at, at) == "*" do at = at + 1 end
    if at > #pattern then return true end
    -- The part behind a star begins wherever it first fits; only the last must end with
    -- the text.
    local next_at, next_from
    for start = from, #text + 1 do
      next_at, next_from = match_part(pattern, at, text, start)
      if next_at and (next_at <= #pattern or next_from > #text) then break end
      next_at = nil
    end
    if not next_at then return false end
    at, from = next_at, next_from
  end
  return from > #text
end

return glob
