-- SPDX-License-Identifier: MIT
-- All C read by clang with the warnings of the Makefile, each an error. Its warnings do
-- not wait for the optimizer, as some of gcc's do: no code is made.

local diagnostics = require "spec.lint.diagnostics"
local objects = require "spec.lint.objects"
local shell = require "spec.lint.shell"

local rule = { why = "C compiles under clang without a warning." }

function rule.check(where, complain)
  local command = ([[clang %s -Werror -fsyntax-only "$1"]]):format(objects.flags())
  diagnostics.report(where,
    shell.run_each(where.root, command, objects.sources(where)), complain)
end

return rule
