-- SPDX-License-Identifier: MIT

-- The pages that `make doc` writes.

local lfs = require "lfs"
local public_api = require "spec.doc.public_api"
local sim = require "authstate.sim"
local temporary = require "spec.support.temporary"
local visitor = require "spec.rock.visitor"

local ROOT = lfs.currentdir()

-- Which page a function is on, and its name there.
local PLACES = {
  authstate = { "authstate.values", "" },
  store = { "authstate.store", "Store:" },
  task = { "authstate.scheduler", "task:" },
  session = { "authstate.session", "Session:" },
  keys = { "authstate.keys", "Keys:" },
  bytes = { "authstate.values", "bytes:" },
}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- What the pages are made of, somewhere else.
local function copy_of_the_tree()
  local tree = temporary.directory()
  visitor.succeed { "cp", "-r", "Makefile", "config.ld", "README.md", "doc", "lua", tree,
    cwd = ROOT }
  return tree
end

local function make_doc(tree, pages)
  return visitor.run { "make", "-s", "doc", "DEPS=no", "DOC=" .. pages, cwd = tree }
end

-- What the module has besides what is in its parts.
local IN_THE_MODULE = { open = true, run = true, spawn = true, sleep = true }

describe("the pages of make doc", function()
  local pages

  setup(function()
    pages = temporary.directory() .. "/deep/pages"
    local outcome = make_doc(ROOT, pages)
    assert.same({ 0, "", "" }, { outcome.status, outcome.out, outcome.err })
  end)

  it("describe every function that users can call, and no other", function()
    local described, wanted = {}, { ["authstate.store#open"] = true }
    for page in lfs.dir(pages .. "/modules") do
      local module = page:match "^(.*)%.html$"
      for name in (module and read(pages .. "/modules/" .. page) or "")
        :gmatch '<a name = "([^"]+)"></a>%s*<strong>[^<]*%(' do
        described[module .. "#" .. name] = true
      end
    end
    for receiver, functions in pairs(public_api.functions()) do
      for name in pairs(functions) do
        local module, prefix = unpack(PLACES[receiver])
        if IN_THE_MODULE[name] and receiver == "authstate" then module = "authstate" end
        wanted[module .. "#" .. prefix .. name] = true
      end
    end
    for name, value in pairs(sim) do
      if type(value) == "function" then wanted["authstate.sim#" .. name] = true end
    end
    assert.same(wanted, described)
  end)

  it("describe what else is in the module", function()
    local text = read(pages .. "/modules/authstate.html")
      .. read(pages .. "/modules/authstate.values.html")
    for _, name in ipairs(public_api.fields()) do
      assert.truthy(text:find('<a name = "' .. name .. '"></a>', 1, true), name)
    end
  end)

  it("have the documents beside the functions", function()
    for name in lfs.dir(ROOT .. "/doc") do
      if name:find "%.md$" then
        assert.match("<h[12]", read(pages .. "/topics/" .. name .. ".html"))
      end
    end
    assert.match("authstate", read(pages .. "/topics/README.md.html"))
  end)
end)

describe("make doc", function()
  local function check_complaint(path, from, to, sentence)
    local tree = copy_of_the_tree()
    local text = read(tree .. "/" .. path)
    local first, last = text:find(from, 1, true)
    assert.is_number(first, from)
    local file = assert(io.open(tree .. "/" .. path, "wb"))
    file:write(text:sub(1, first - 1), to, text:sub(last + 1))
    file:close()
    local outcome = make_doc(tree, tree .. "/pages")
    assert.not_equal(0, outcome.status)
    assert.truthy(outcome.err:find(path, 1, true), outcome.err)
    assert.truthy(outcome.err:find(sentence, 1, true), outcome.err)
  end

  it("fails when a comment names another argument than the function has", function()
    check_complaint("lua/authstate/keys.lua", "-- @param ids list of ids",
      "-- @param names list of ids", "name mismatch")
  end)

  it("fails when a comment leaves an argument out", function()
    check_complaint("lua/authstate/store.lua", "-- @param id of the session\n", "",
      "id")
  end)

  it("fails when a comment has a tag that does not exist", function()
    check_complaint("lua/authstate/session.lua", "-- @param creds table\n",
      "-- @param creds table\n-- @returnn nothing\n", "unknown tag")
  end)
end)
