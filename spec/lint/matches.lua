-- SPDX-License-Identifier: MIT
--- Whether a text matches one of some Lua patterns.
-- @module spec.lint.matches

return function(text, patterns)
  for _, pattern in ipairs(patterns) do
    if text:find(pattern) then return true end
  end
  return false
end
