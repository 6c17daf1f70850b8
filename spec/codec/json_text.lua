-- SPDX-License-Identifier: MIT

--- Random JSON texts: as JSON.stringify writes them, written otherwise, and damaged.
-- @module spec.codec.json_text

local NUMBERS = {
  "0", "1", "-1", "23", "24", "-25", "256", "65536", "4294967296", "1700000000000",
  "9007199254740992", "-9007199254740992", "9007199254740994", "0.1", "-1.5", "1e+21",
  "1.5e-7", "123456789012345680000", "5e-324", "1.7976931348623157e+308", "0.000001",
}

local INEXACT_NUMBERS = { "-0", "1.0", "1E5", "0.10", "1e400", "9007199254740993", "1e1" }

local CHARACTERS = {
  "a", "Z", "0", " ", "/", "'", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
  '\\"', "\\\\",
  "\\n", "\\t", "\\u0000", "\\u001f", "\\b", "\127",
}

local INEXACT_CHARACTERS = { "\\/", "\\u0041", "\\u00E9", "\\ud83d\\ude00", "\\u000a" }

-- Between two of these a letter keeps them apart, so that they do not pair.
local SURROGATES = { "\\ud83da", "\\ude00", "\\udfffb" }

local SPACES = { "", "", " ", "\n", "\t ", "\r\n" }

local json_text = {}

local function string_text(dice, style)
  local parts = {}
  for i = 1, dice:integer(0, 12) do
    local characters = CHARACTERS
    if dice:chance(0.03) then characters = SURROGATES end
    if style.is_inexact and dice:chance(0.1) then characters = INEXACT_CHARACTERS end
    parts[i] = dice:pick(characters)
  end
  return '"' .. table.concat(parts) .. '"'
end

local function buffer_text(dice)
  local core = require "authstate.core"
  local content = core.bytes(dice:bytes(dice:integer(0, 40)))
  return '{"type":"Buffer","data":"' .. content:base64() .. '"}'
end

local function space(dice, style)
  return style.is_inexact and dice:pick(SPACES) or ""
end

local value_text

local function array_text(dice, style, levels)
  local parts = {}
  for i = 1, dice:integer(0, dice:pick { 2, 5, 40 }) do
    parts[i] = value_text(dice, style, levels - 1)
  end
  local comma = "," .. space(dice, style)
  return "[" .. table.concat(parts, comma) .. space(dice, style) .. "]"
end

local function object_text(dice, style, levels)
  local parts, seen = {}, {}
  for _ = 1, dice:integer(0, dice:pick { 2, 5, 40 }) do
    local key = string_text(dice, style)
    if not seen[key] or style.is_inexact then
      seen[key] = true
      parts[#parts + 1] = key .. space(dice, style) .. ":" .. space(dice, style)
        .. value_text(dice, style, levels - 1)
    end
  end
  return "{" .. space(dice, style) .. table.concat(parts, ",") .. "}"
end

local function scalar_text(dice, style)
  local kind = dice:integer(1, 6)
  if kind <= 2 then return string_text(dice, style) end
  if kind == 3 then return buffer_text(dice) end
  if kind == 4 then return dice:pick { "true", "false", "null" } end
  if style.is_inexact and dice:chance(0.3) then return dice:pick(INEXACT_NUMBERS) end
  return dice:pick(NUMBERS)
end

function value_text(dice, style, levels)
  local kind = dice:integer(1, 4)
  if levels == 0 or kind > 2 then return scalar_text(dice, style) end
  if kind == 1 then return array_text(dice, style, levels) end
  return object_text(dice, style, levels)
end

--- A text that JSON.stringify could have written.
-- @param dice a generator of spec.support.random
-- @treturn string
function json_text.canonical(dice)
  return value_text(dice, {}, 4)
end

--- A valid text, most likely one that JSON.stringify never writes.
-- @param dice a generator of spec.support.random
-- @treturn string
function json_text.mangled(dice)
  local style = { is_inexact = true }
  return space(dice, style) .. value_text(dice, style, 4) .. space(dice, style)
end

--- A text in which some bytes were changed, left out or doubled.
-- @param dice a generator of spec.support.random
-- @treturn string
function json_text.damaged(dice)
  local text = json_text.canonical(dice)
  for _ = 1, dice:integer(1, 3) do
    local at = dice:integer(1, #text)
    local sign = dice:pick { '"', "\\", "{", "]", ",", "0" }
    local instead = dice:pick { "", dice:bytes(1), sign }
    text = text:sub(1, at - 1) .. instead .. text:sub(at + 1)
    if text == "" then text = "1" end
  end
  return text
end

return json_text
