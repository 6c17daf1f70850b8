-- SPDX-License-Identifier: MIT
-- The compiler tells who drops the status of a function whose header says AS_MUST_USE.

local c_source = require "spec.lint.c_source"

local rule = { why = "What returns as_status is AS_MUST_USE in its header." }

function rule.check(where, complain)
  for _, path in ipairs(where:files("core", "%.h$")) do
    local code = c_source.code(where:read(path))
    local number = 0
    for line in (code .. "\n"):gmatch "([^\n]*)\n" do
      number = number + 1
      local name = line:match "^as_status%s+([%w_]+)%("
        or line:match "^static inline as_status%s+([%w_]+)%("
      if name then complain(path, number, name .. " is not AS_MUST_USE") end
    end
  end
end

return rule
