-- SPDX-License-Identifier: MIT
--- The absolute path of the tree that lint belongs to, with what was built there. The
-- tree that lint looks at may be another one.
-- @module spec.lint.home

local shell = require "spec.lint.shell"

local folder = arg[0]:match "^(.-)spec/lint/[^/]*$"
local _, path = shell.run(folder == "" and "." or folder, "pwd -P")

return (path:gsub("\n$", ""))
