-- SPDX-License-Identifier: MIT
-- All C compiled by gcc with the warnings of the Makefile, each an error.

local diagnostics = require "spec.lint.diagnostics"
local objects = require "spec.lint.objects"

local rule = { why = "C compiles under gcc without a warning." }

function rule.check(where, complain)
  diagnostics.report(where, objects.compile(where), complain)
end

return rule
