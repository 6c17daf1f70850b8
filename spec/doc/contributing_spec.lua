-- SPDX-License-Identifier: MIT

-- What CONTRIBUTING.md names is there.

local lfs = require "lfs"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

describe("CONTRIBUTING", function()
  local text = read "CONTRIBUTING.md"

  it("names only targets that make has", function()
    local makefile, count = read "Makefile", 0
    local function check(names)
      for name in names:gmatch "%l[%l-]*" do
        count = count + 1
        assert.truthy(makefile:find("\n" .. name .. ":", 1, true), name)
      end
    end
    for names in text:gmatch "`make ([%l -]+)`" do check(names) end
    for name in text:gmatch "\n    make (%l+)" do check(name) end
    assert.is_true(count >= 8)
  end)

  it("names only files and folders that there are", function()
    local count = 0
    for name in text:gmatch "`([%w_./-]+)`" do
      local is_path = name:find("/", 1, true) or name:find "^%.%l%l%l"
      if is_path then
        count = count + 1
        assert.truthy(lfs.attributes(name), name)
      end
    end
    assert.is_true(count >= 15)
  end)
end)
