-- SPDX-License-Identifier: MIT

local case = require "bench.harness.case"

local function names_in_folder()
  local names = {}
  for path in io.popen("ls bench/cases"):lines() do
    names[#names + 1] = path:match "^(.*)%.lua$"
  end
  return names
end

describe("the name of a benchmark", function()
  it("means one case, or several when it is a list's", function()
    assert.same({ "read_one" }, case.expand { "read_one" })
    local engine = case.expand { "engine" }
    assert.equal("engine_one", engine[1])
    assert.is_true(#engine > 1)
    local both = case.expand { "engine", "read_one" }
    assert.equal("read_one", both[#both])
    assert.equal(#engine + 1, #both)
  end)

  it("is needed for no case: every one runs by itself or within a list", function()
    local is_known = {}
    for _, name in ipairs(case.expand {}) do is_known[name] = true end
    local lists = { "engine", "codec", "cache", "nginx", "profile" }
    for _, name in ipairs(case.expand(lists)) do
      is_known[name] = true
    end
    for _, name in ipairs(names_in_folder()) do
      assert.is_true(is_known[name], name)
      is_known[name] = nil
    end
    assert.same({}, is_known)
  end)

  it("gives a case whose first peer is ours and whose peers have names of their own",
    function()
      for _, name in ipairs(names_in_folder()) do
        local loaded = assert(case.load(name))
        local peers, seen = loaded.peers or {}, {}
        assert.is_true(loaded.measure ~= nil or peers[1].program == "authstate", name)
        for _, entry in ipairs(peers) do
          assert.is_nil(seen[entry.name], entry.name)
          seen[entry.name] = true
          assert.is_true(#entry.name <= 24, entry.name)
        end
      end
    end)

  it("is refused when nothing has it, and those that there are are named", function()
    local loaded, message = case.load "engin"
    assert.is_nil(loaded)
    assert.matches('^CASE: there is no "engin"; there are: read_one, ', message)
    assert.matches(", engine, engine_one, ", message, 1, true)
    assert.matches(", codec, codec_size, ", message, 1, true)
  end)
end)
