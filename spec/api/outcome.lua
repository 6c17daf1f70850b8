-- SPDX-License-Identifier: MIT

--- How a call ended, checked.
-- @module spec.api.outcome

local assert = require "luassert"

local outcome = {}

--- Checks that a call failed: `fails("conflict", session:commit(...))`.
-- @return message, details
function outcome.fails(expected, value, message, code, details)
  if value ~= nil or code ~= expected then
    error(("%s expected, got %s, %s, %s"):format(expected, tostring(value),
      tostring(message), tostring(code)), 2)
  end
  assert.is_string(message)
  assert.is_table(details)
  assert.is_boolean(details.sent)
  return message, details
end

--- Checks that a call says "there is none": nil and nothing else.
function outcome.is_absent(...)
  if select("#", ...) > 1 or ... ~= nil then
    error(("absent expected, got %s, %s, %s"):format(tostring((...)),
      tostring((select(2, ...))), tostring((select(3, ...)))), 2)
  end
end

--- Checks that a function of one line raises, and that the message names this line.
-- @return the message without the position
function outcome.raises(mistake)
  local is_fine, message = pcall(mistake)
  if is_fine then error("an error expected", 2) end
  assert.is_string(message)
  local info = debug.getinfo(mistake, "S")
  local position = ("%s:%d: "):format(info.short_src, info.linedefined)
  assert.equal(position, message:sub(1, #position), message)
  return message:sub(#position + 1)
end

--- The same, and checks that the message has these words.
function outcome.says(words, mistake)
  assert.match(words, outcome.raises(mistake), 1, true)
end

return outcome
