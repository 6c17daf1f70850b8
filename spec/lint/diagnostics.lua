-- SPDX-License-Identifier: MIT
--- What compilers and their like print, as complaints.
-- @module spec.lint.diagnostics

local diagnostics = {}

-- path:line:column: error: text, of gcc, clang and their tools; luacheck leaves out what
-- kind of diagnostic it is.
local FORMS = {
  "^([^:%s][^:]*):(%d+):%d+: error: (.+)$",
  "^([^:%s][^:]*):(%d+):%d+: fatal error: (.+)$",
  "^([^:%s][^:]*):(%d+):%d+: warning: (.+)$",
  "^([^:%s][^:]*):(%d+):%d+: (%(%u%d+%).+)$",
}

local function parse(line)
  for _, form in ipairs(FORMS) do
    local path, number, text = line:match(form)
    if path then return path, tonumber(number), text end
  end
end

-- Some tools print the whole path.
local function shorten(root, path)
  if path:sub(1, #root + 1) == root .. "/" then return path:sub(#root + 2) end
  return path
end

--- Complains about all that the runs of a tool have printed. A header is read with many
-- sources: what is said of it twice counts once. A run that failed and printed nothing of
-- this form is complained about with all that it printed.
-- @param where tree
-- @tparam {table,...} results of shell.run_each
-- @param complain see lint.lua
function diagnostics.report(where, results, complain)
  local _, root = where:run "pwd -P"
  root = root:gsub("%s+$", "")
  local seen = {}
  for _, result in ipairs(results) do
    local is_explained = result.status == 0
    for line in result.output:gmatch "[^\n]+" do
      local path, number, text = parse(line)
      is_explained = is_explained or path ~= nil
      if path and not seen[line] then
        seen[line] = true
        complain(shorten(root, path), number, text)
      end
    end
    if not is_explained then
      complain(result.file, 1, ("exit status %d: %s"):format(result.status,
        result.output:gsub("%s+$", "")))
    end
  end
end

return diagnostics
