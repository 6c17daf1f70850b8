-- SPDX-License-Identifier: MIT

--- Committed data: the files in `spec/fixtures`.
-- @module spec.support.fixture

local process = require "spec.support.process"

local DIRECTORY = "spec/fixtures/"

local fixture = {}

--- The path of a fixture, from the project's root.
-- @tparam string name such as `session.json.gz`
-- @treturn string
function fixture.path(name)
  return DIRECTORY .. name
end

--- The whole content of a fixture, unpacked when its name ends in `.gz`.
-- @tparam string name
-- @treturn string bytes
function fixture.read(name)
  local path = fixture.path(name)
  if name:find("%.gz$") then
    local code, text, message = process.run {
      "gzip", "-dc", path, env = { LD_PRELOAD = false },
    }
    assert(code == 0, message)
    return text
  end
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- The lines of a fixture, without their line feeds.
-- @tparam string name
-- @treturn {string,...}
function fixture.lines(name)
  local text = fixture.read(name)
  if text:sub(-1) ~= "\n" and text ~= "" then
    text = text .. "\n"
  end
  local lines = {}
  for line in text:gmatch("([^\n]*)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

return fixture
