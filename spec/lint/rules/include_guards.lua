-- SPDX-License-Identifier: MIT
-- core/engine/batch.h is guarded by AS_ENGINE_BATCH_H.

local rule = { why = "A header of the core is guarded by AS_<FOLDER>_<NAME>_H." }

function rule.check(where, complain)
  for _, path in ipairs(where:files("core", "%.h$")) do
    local guard = "AS_" .. path:match "^core/(.*)%.h$":gsub("/", "_"):upper() .. "_H"
    local text = where:read(path)
    if not text:find(("\n#ifndef %s\n#define %s\n"):format(guard, guard), 1, true) then
      complain(path, where:line_of(path, "#ifndef"), "the guard is not " .. guard)
    end
  end
end

return rule
