-- SPDX-License-Identifier: MIT
-- base <- engine, codec, cache <- io <- binding: layer_table.lua has who may include
-- whom.

local c_source = require "spec.lint.c_source"
local layers = require("spec.lint.layer_table").layers

local rule = { why = "Dependencies of the core point down only." }

local function may_include(layer, name)
  local folder = name:match "^([^/]+)/"
  if folder == layer then return true end
  for _, below in ipairs(layers[layer].below) do
    if below == folder or below == name then return true end
  end
  return false
end

local function phrase(layer)
  local below = layers[layer].below
  return #below == 0 and "nothing" or table.concat(below, ", ")
end

function rule.check(where, complain)
  for _, path in ipairs(c_source.files(where)) do
    local layer = c_source.layer(path)
    if not layers[layer] then
      complain(path, 1, ("core/%s is no layer"):format(layer or ""))
    else
      for _, include in c_source.includes(where, path) do
        if include.is_ours and not may_include(layer, include.name) then
          complain(path, include.line, ("%s may not include %s; below it: %s"):format(
            layer, include.name, phrase(layer)))
        end
      end
    end
  end
end

return rule
