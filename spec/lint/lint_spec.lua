-- SPDX-License-Identifier: MIT

local planted = require "spec.lint.planted"
local plants = require "spec.lint.plants"

local EVERYTHING = ".luacheckrc .editorconfig bin core doc lua spec Makefile *.md"
local SMALL_LUA = ".luacheckrc lua/authstate/url.lua spec/log_spec.lua"
local SMALL_CORE = ".clang-format .clang-tidy core/base core/*/*.h core/binding/core.c "
  .. "core/binding/ffi.c core/binding/cache.c core/binding/histogram.c "
  .. "core/binding/lookout.c "
  .. "spec/base/heap.c spec/base/check.h"

-- Rules that only read: fast enough to be run over our whole tree.
local READERS = {
  "layers", "system_headers", "lua_headers", "must_use", "include_guards", "nginx", "ffi",
  "random", "function_length", "error_codes", "options_doc", "version", "file_names",
  "spdx", "whitespace", "server_scripts",
}

local VERSION = assert(dofile "lua/authstate/version.lua":match "^%d+%.%d+%.%d+")

local function each_plant()
  local list = {}
  for _, tree in ipairs { plants.anywhere, plants.small_lua, plants.small_core } do
    for _, plant in ipairs(tree) do list[#list + 1] = plant end
  end
  return ipairs(list)
end

-- The version is not written into the plants: it would be repeated there.
local function fill_in(plant)
  local filled = {}
  for name, value in pairs(plant) do filled[name] = value end
  if type(plant.text) == "function" then filled.text = plant.text(VERSION) end
  return filled
end

-- The place that lint must name: path:line.
local function expected_place(tree, plant, planted_line)
  local path, line = plant.at or plant.file, plant.line or planted_line
  if type(line) == "string" then line = tree:line_of(path, line) end
  return ("%s:%d: "):format(path, line)
end

local function find_complaint(output, place, says)
  for line in output:gmatch "[^\n]+" do
    if line:sub(1, #place) == place and line:find(says, 1, true) then return line end
  end
end

-- Breaks the rule, sees lint fail with the place, and mends it.
local function check(tree, plant)
  plant = fill_in(plant)
  finally(function() tree:restore() end)
  local place = expected_place(tree, plant, tree:plant(plant))
  local code, output, err = tree:lint(plant.rule)
  assert.equal("", err)
  local complaint = find_complaint(output, place, plant.says)
  assert(complaint, ("no %s...%s in:\n%s"):format(place, plant.says, output))
  assert.matches("%[" .. plant.rule .. "%]$", complaint)
  assert.matches("\nlint: 1 rule, %d+ complaints?\n$", output)
  assert.equal(1, code)
end

local function describe_plants(patterns, list, describe_more)
  local tree

  setup(function()
    planted.make_ready()
    tree = planted.copy(patterns)
  end)

  local seen = {}
  for _, plant in ipairs(list) do
    if not seen[plant.rule] then
      seen[plant.rule] = true
      it(plant.rule .. " has no complaint about it as it is", function()
        local code, output, err = tree:lint(plant.rule)
        assert.same({ 0, "lint: 1 rule, no complaint\n", "" }, { code, output, err })
      end)
    end
    it(("%s finds %s"):format(plant.rule, plant[1]), function() check(tree, plant) end)
  end
  if describe_more then describe_more(function() return tree end) end
end

-- Lint has looked at the tree before.
local function describe_memory(get_tree)
  it("complains as often as it is asked, until it is mended", function()
    local tree = get_tree()
    finally(function() tree:restore() end)
    tree:plant { file = "core/base/error.c", text = "\nstatic int spare;\n" }
    for _ = 1, 2 do assert.equal(1, (tree:lint "gcc")) end
    tree:restore()
    -- The other one reads what gcc makes.
    local code, output = tree:lint("gcc", "mutable_globals")
    assert.equal("lint: 2 rules, no complaint\n", output)
    assert.equal(0, code)
  end)

  it("looks again when a tool has other settings", function()
    local tree = get_tree()
    finally(function() tree:restore() end)
    tree:write(".clang-tidy",
      "Checks: '-*,readability-braces-around-statements'\nWarningsAsErrors: '*'\n")
    assert.equal(1, (tree:lint "clang_tidy"))
  end)
end

describe("lint, in a copy of the tree,", function()
  describe_plants(EVERYTHING, plants.anywhere)
end)

describe("lint, among some modules,", function()
  describe_plants(SMALL_LUA, plants.small_lua)
end)

describe("lint, in a part of the core,", function()
  describe_plants(SMALL_CORE, plants.small_core, describe_memory)
end)

describe("lint", function()
  local tree

  setup(function() tree = planted.copy(EVERYTHING) end)

  for _, plant in ipairs(plants.harmless) do
    it(("%s lets pass %s"):format(plant.rule, plant[1]), function()
      plant = fill_in(plant)
      finally(function() tree:restore() end)
      tree:plant(plant)
      local code, output = tree:lint(plant.rule)
      assert.equal("lint: 1 rule, no complaint\n", output)
      assert.equal(0, code)
    end)
  end

  it("names all rules and the reason of each, and each is broken above", function()
    local code, output = planted.lint "--list"
    assert.equal(0, code)
    local broken, files = {}, 0
    for _, plant in each_plant() do broken[plant.rule] = true end
    for name, why in output:gmatch "([%w_]+) +([^\n]+)\n" do
      files = files + 1
      assert(broken[name], name .. " is never broken")
      assert.matches("^%S.*%.$", why)
    end
    local listing = assert(io.popen "ls spec/lint/rules/*.lua | wc -l")
    assert.equal(listing:read "*n", files)
    listing:close()
  end)

  it("has no complaint about the tree as it is", function()
    local code, output, err = planted.lint(unpack(READERS))
    assert.equal("", err)
    assert.equal(("lint: %d rules, no complaint\n"):format(#READERS), output)
    assert.equal(0, code)
  end)

  it("says what is accepted when it is called wrongly", function()
    local code, output, err = planted.lint "layer"
    assert.equal(2, code)
    assert.equal("", output)
    assert.matches("^lint: layer is no rule; accepted: luacheck ", err)
  end)

  it("counts the complaints of all rules", function()
    finally(function() tree:restore() end)
    tree:plant { file = "lua/util.lua", text = "return ngx\n" }
    local code, output = tree:lint("nginx", "file_names", "spdx")
    assert.equal(1, code)
    assert.matches("\nlint: 3 rules, 3 complaints\n$", output)
  end)
end)
