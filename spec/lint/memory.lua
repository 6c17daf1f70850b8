-- SPDX-License-Identifier: MIT
--- Which files a slow tool has found nothing in: it need not look at them again.
--
-- What it says depends on what it reads of a source, headers, macros and comments
-- included, on how it is called, on its version and on its settings. Of all these the
-- hash lies in build/lint-<tool>/<file>.clean once there was nothing to complain about.
-- @module spec.lint.memory

local shell = require "spec.lint.shell"

-- Placeholders: the tool's name, what it depends on, preprocessor, flags, command.
local UNLESS_CLEAN = [[stamp="build/lint-%s/$1.clean"
hash=$({ printf '%%s\n' %s; %s %s -E -C "$1" 2>&1; } | sha256sum)
[ "$hash" = "$(cat "$stamp" 2>/dev/null)" ] || {
rm -f "$stamp"
%s
} && {
mkdir -p "$(dirname "$stamp")"
printf '%%s\n' "$hash" >"$stamp"
}]]

local memory = {}

--- The command for `shell.run_each` that looks at a source only when it is not as it was
-- when the tool found nothing in it.
-- @param where tree
-- @tparam table tool `name`, `preprocessor` (gcc or clang), `flags` (words of a shell
--   command), `settings` (path of the tool's settings, if it has any), `command` in which
--   `"$1"` stands for the file
-- @treturn string
function memory.unless_clean(where, tool)
  local _, version = where:run(tool.name .. " --version")
  local depends = { tool.command, version, tool.settings and where:read(tool.settings) }
  return UNLESS_CLEAN:format(tool.name, shell.words(depends), tool.preprocessor,
    tool.flags, tool.command)
end

return memory
