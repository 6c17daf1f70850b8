-- SPDX-License-Identifier: MIT
-- clang-format 14 over all C, by .clang-format.

local diagnostics = require "spec.lint.diagnostics"
local shell = require "spec.lint.shell"

local rule = { why = "C is formatted as .clang-format says: clang-format -i FILE." }

function rule.check(where, complain)
  local files = {}
  for _, folder in ipairs { "core", "spec", "bench" } do
    for _, path in ipairs(where:files(folder, "%.[ch]$")) do files[#files + 1] = path end
  end
  local results = shell.run_each(where.root,
    [[clang-format --dry-run -Werror --style=file "$1"]], files)
  diagnostics.report(where, results, complain)
end

return rule
