-- SPDX-License-Identifier: MIT
-- What .editorconfig asks of an editor.

local TEXTS = {
  c = true, h = true, lua = true, md = true, mjs = true, js = true, sh = true, py = true,
  Makefile = true, rockspec = true, ld = true,
}
local TABS = { Makefile = true }
-- Written by npm, or by Node as data.
local FOREIGN = "^spec/fixtures/[^/]+$"

local rule = { why = "No tab to indent, no trailing blank, one line end at the end." }

local function fault(line, may_have_tabs)
  if line:find "\r" then return "a carriage return" end
  if line:find "[ \t]$" then return "a blank at the end of the line" end
  if not may_have_tabs and line:find "^ *\t" then return "a tab in the indentation" end
end

function rule.check(where, complain)
  for _, path in ipairs(where:files("")) do
    local kind = path:match "%.(%w+)$" or path:match "[^/]+$"
    if TEXTS[kind] and not path:find(FOREIGN) or path:find "^bin/[^.]+$" then
      for number, line in where:lines(path) do
        local wrong = fault(line, TABS[kind])
        if wrong then complain(path, number, wrong) end
      end
      local text = where:read(path)
      if text ~= "" and (text:sub(-1) ~= "\n" or text:sub(-2) == "\n\n") then
        local lines = select(2, text:gsub("\n", ""))
        complain(path, lines, "the file does not end with one line end")
      end
    end
  end
end

return rule
