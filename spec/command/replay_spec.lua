-- SPDX-License-Identifier: MIT

local core = require "authstate.core"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

local TRACE = "spec/fixtures/small.trace.jsonl.gz"

-- Status, output and complaints of a call.
local function run(...)
  local result = tool.run { "replay", ... }
  return result.status, result.out, result.err
end

local function results(...)
  local status, out, err = run(TRACE, "--json", ...)
  assert.equal(0, status, err)
  return core.from_json(out).results
end

describe("authstate replay", function()
  it("compares all policies with the optimum, at a tenth of the keys", function()
    local status, out, err = run(TRACE)
    assert.equal(0, status, err)
    assert.match("\nreads    2842 ids, a cache of 56 entries; the optimum without "
      .. "preload is 0%.7%d+\n", out)
    for _, policy in ipairs { "fifo", "gdsf", "lfu", "lru", "s3fifo", "sieve",
      "tinylfu" } do
      assert.match("\n" .. policy .. " +hit ratio 0%.%d+, 0%.%d+ of it; %d+ round trips, "
        .. "%d+ evictions\n", out)
    end
  end)

  it("tells programs the same", function()
    local list = results("--policy", "lru,sieve")
    assert.equal(2, #list)
    for i, policy in ipairs { "lru", "sieve" } do
      local each = list[i]
      assert.same({ policy, core.null, 56 }, { each.policy, each.preload, each.entries })
      assert.equal(each.hit_ratio, each.demand_hit_ratio)
      assert.is_true(each.hit_ratio > 0.5 and each.hit_ratio < each.belady)
      assert.is_true(each.round_trips > 900 and each.evictions > 900)
    end
    assert.same(list, results("--policy", "lru,sieve"))
  end)

  it("replays with a preload rule, and with a policy and a rule of the user's", function()
    local plain = results("--policy", "tinylfu", "--entries", "100")[1]
    local each = results("--policy", "tinylfu", "--entries", "100", "--preload",
      "signal")[1]
    assert.same({ "signal", 100 }, { each.preload, each.entries })
    assert.is_true(each.hit_ratio > plain.hit_ratio)
    assert.is_true(each.demand_hit_ratio < each.hit_ratio)
    assert.is_true(each.round_trips < plain.round_trips)
    assert.equal(plain.belady, each.belady)
    local policy = temporary.file('return require "authstate.policies.lru"', "mine.lua")
    local rule = temporary.file("return function() return {} end", "rule.lua")
    local mine = results("--policy", policy .. ",lru", "--preload", rule)
    assert.equal(mine[1].hit_ratio, mine[2].hit_ratio)
    assert.equal(policy, mine[1].policy)
    assert.equal(results("--policy", "lru")[1].hit_ratio, mine[1].hit_ratio)
  end)

  it("has a cache of bytes, too", function()
    local each = results("--policy", "s3fifo", "--bytes", "50000")[1]
    assert.is_nil(each.entries)
    assert.equal(50000, each.bytes)
    assert.is_true(each.hit_ratio > 0.5 and each.hit_ratio < each.belady)
    local status, out = run(TRACE, "--policy", "s3fifo", "--bytes", "50000")
    assert.equal(0, status)
    assert.match("a cache of 50000 bytes; the optimum without preload is at most 0", out)
  end)

  it("plots hit ratios over the capacity", function()
    local path = temporary.directory() .. "/plot.svg"
    local status, _, err = run(TRACE, "--policy", "lru,fifo", "--plot", path)
    assert.equal(0, status, err)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    assert.match("^<svg xmlns=.*</svg>\n$", text)
    assert.equal(3, select(2, text:gsub("<polyline", "")))
    for _, name in ipairs { "optimum", "lru", "fifo", "small.trace.jsonl.gz" } do
      assert.match(">[^<]*" .. name:gsub("%p", "%%%0") .. "<", text)
    end
    status, _, err = run(TRACE, "--policy", "lru", "--plot", "/nowhere/plot.svg")
    assert.equal(1, status)
    assert.match("^authstate replay: /nowhere/plot.svg: ", err)
  end)

  it("names the line of a trace that is wrong", function()
    local path = temporary.file('["get","t",["1"]]\n["get","t"]\n', "trace")
    local status, out, err = run(path)
    assert.same({ 1, "" }, { status, out })
    assert.equal("authstate replay: " .. path .. ": line 2: a get has no list of ids\n",
      err)
    status, out, err = run "/nowhere/trace"
    assert.same({ 1, "" }, { status, out })
    assert.match("^authstate replay: /nowhere/trace: No such file", err)
  end)

  it("replays an empty trace", function()
    local status, out, err = run(temporary.file("", "trace"), "--json", "--policy", "lru")
    assert.equal(0, status, err)
    local each = core.from_json(out).results[1]
    assert.same({ 0, 0, 0, 1 }, { each.hit_ratio, each.round_trips, each.belady,
      each.entries })
  end)

  it("fails when a policy does", function()
    local path = temporary.file([[
      return function(cache)
        local lru = require "authstate.policies.lru" (cache)
        function lru.evict() error "no idea" end
        return lru
      end]], "bad.lua")
    local status, out, err = run(TRACE, "--policy", path)
    assert.same({ 1, "" }, { status, out })
    assert.match("^authstate replay: policy .*bad.lua\": evict: .*no idea", err)
  end)

  it("says what is wrong with a call", function()
    for _, case in ipairs {
      { { "--policy", "lur" }, 'there is no policy "lur"' },
      { { "--policy", "," }, "names no policy" },
      { { "--preload", "sgnal" }, 'there is no preload rule "sgnal", did you mean' },
      { { "--entries", "0" }, '"0"; accepted: a whole number from 1 to' },
      { { "--bytes", "1e3" }, '"1e3"; accepted: a whole number from 1 to' },
      { { "--entries", "1", "--bytes", "1" }, "give one of them" },
    } do
      local status, out, err = run("/nowhere/trace", unpack(case[1]))
      assert.same({ 2, "" }, { status, out })
      assert.is_not_nil(err:find(case[2], 1, true), err)
    end
  end)
end)
