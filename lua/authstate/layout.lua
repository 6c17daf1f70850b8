-- SPDX-License-Identifier: MIT
--- Finds a layout by name and makes it with the store's options.

local suggest = require "authstate.suggest"

local layout = {}

local SHIPPED = { "typed" }

--- @param name one of the shipped layouts
-- @param options { prefix = string }
-- @return the layout; or nil and a sentence
function layout.load(name, options)
  for _, shipped in ipairs(SHIPPED) do
    if shipped == name then return require("authstate.layouts." .. name)(options) end
  end
  return nil, ('option "layout": there is no layout "%s"%s; accepted: %s'):format(name,
    suggest.phrase(name, SHIPPED), table.concat(SHIPPED, ", "))
end

return layout
