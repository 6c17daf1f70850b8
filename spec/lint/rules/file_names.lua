-- SPDX-License-Identifier: MIT
-- A file is named by its noun. What is in util.lua?

local NAMELESS = {
  util = true, utils = true, utility = true, common = true, helper = true,
  helpers = true, misc = true, stuff = true, lib = true,
}

local rule = { why = "Files and folders are named by their noun; copies have no place." }

local function fault(word)
  local stem = word:match "^([^.]+)" or word
  local bare = stem:gsub("_spec$", ""):lower()
  if NAMELESS[bare] then return "says nothing: name the noun" end
  if bare:find "[_-]v%d+$" or bare:find "[_-]old$" or bare:find "[_-]new$"
     or bare:find "[_-]copy$" or word:find "%.orig$" or word:find "%.bak$"
     or word:find "~$" then
    return "is a copy: keep one"
  end
end

function rule.check(where, complain)
  for _, path in ipairs(where:files("")) do
    for word in path:gmatch "[^/]+" do
      local wrong = fault(word)
      if wrong then complain(path, 1, ("the name %s %s"):format(word, wrong)) end
    end
  end
end

return rule
