-- SPDX-License-Identifier: MIT
-- The licence of a file is told by its first line; by its second behind a `#!`.

local LINE = "SPDX-License-Identifier: MIT"
local OPENERS = {
  c = "/* " .. LINE .. " */", h = "/* " .. LINE .. " */", lua = "-- " .. LINE,
  mjs = "// " .. LINE, js = "// " .. LINE, sh = "# " .. LINE, py = "# " .. LINE,
  Makefile = "# " .. LINE, program = "# " .. LINE,
}

local rule = { why = "Each source begins with its SPDX line." }

-- Programs without a suffix are known by their folder.
local function opener(path)
  local is_program = path:find "^bin/[^.]+$" or path:find "^%.ci/[^.]+$"
  return OPENERS[path:match "%.(%w+)$" or path:match "[^/]+$"]
    or is_program and OPENERS.program
end

function rule.check(where, complain)
  for _, path in ipairs(where:files("")) do
    local wanted = opener(path)
    if wanted then
      local first, second = where:read(path):match "^([^\n]*)\n?([^\n]*)"
      local line = first:sub(1, 2) == "#!" and second or first
      if line ~= wanted then
        complain(path, 1, ("it does not begin with %s"):format(wanted))
      end
    end
  end
end

return rule
