-- SPDX-License-Identifier: MIT
-- luacheck over all Lua but what runs inside Redis. The server's scripts: server_scripts.

local diagnostics = require "spec.lint.diagnostics"
local shell = require "spec.lint.shell"

local COMMAND = [[luacheck --config .luacheckrc --no-cache --formatter plain "$1"]]

local rule = { why = "Lua without unused, undefined or shadowed names, 90 columns." }

-- luacheck starts slowly: it is given folders, not files.
function rule.check(where, complain)
  local folders = {}
  for _, folder in ipairs { "lua", "spec", "doc", "bench", "bin", "rocks" } do
    if #where:files(folder, "%.lua$") > 0 then folders[#folders + 1] = folder end
  end
  diagnostics.report(where,
    shell.run_each(where.root, COMMAND, folders), complain)
end

return rule
