-- SPDX-License-Identifier: MIT
-- clang-tidy over the core; .clang-tidy has the checks and why. Not cppcheck: of what it
-- says of this core nearly all is wrong (it neither sees the includes nor follows paths),
-- while the analyzer in clang-tidy sees what the compiler sees.

local diagnostics = require "spec.lint.diagnostics"
local memory = require "spec.lint.memory"
local objects = require "spec.lint.objects"
local shell = require "spec.lint.shell"

local rule = { why = "The core without the mistakes that clang-tidy finds." }

function rule.check(where, complain)
  local flags = objects.flags()
  local command = memory.unless_clean(where, {
    name = "clang-tidy", preprocessor = "clang", flags = flags, settings = ".clang-tidy",
    command = ([[clang-tidy --quiet "$1" -- %s]]):format(flags),
  })
  local results = shell.run_each(where.root, command, where:files("core", "%.c$"))
  diagnostics.report(where, results, complain)
end

return rule
