-- SPDX-License-Identifier: MIT

-- authstate profile: what it tells of a profile, and that it measures two of them with
-- the calls of a trace. Who is faster is the benchmark's business.

local authstate = require "authstate"
local contest = require "authstate.profile_contest"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

local SHIPPED = { "high-compression", "high-throughput", "low-latency" }

local function run(...)
  local ended = tool.run { ... }
  return ended.status, ended.out, ended.err
end

-- The document of a call that is done.
local function document(...)
  local words = { ... }
  words[#words + 1] = "--json"
  local status, out, err = run(unpack(words))
  assert.same({ 0, "" }, { status, err })
  return authstate.from_json(out)
end

describe("authstate profile explain", function()
  for _, name in ipairs(SHIPPED) do
    it("tells each option of " .. name .. " with its reason", function()
      local told = document("profile", "explain", name)
      assert.equal(name, told.profile)
      assert.is_true(#told.options > 0)
      for _, option in ipairs(told.options) do
        assert.is_true(#option.why > 10, option.name)
        assert.is_not_nil(option.origin:find("/" .. name .. ".lua", 1, true))
      end
    end)
  end

  it("prints value, default and reason for a person", function()
    local status, out = run("profile", "explain", "low-latency")
    assert.equal(0, status)
    assert.match("\nbatch_window_ms = 1 %(default 10%)\n    [%w]", out)
    assert.match("\nredis%.socket%.command_timeout_ms = 1000 %(default 5000%)\n", out)
  end)

  it("tells which file an option is from that the profile extends", function()
    local path = temporary.file([[
      return { extends = "low-latency", options = { batch_size = 7 } }
    ]], "mine.lua")
    local _, out = run("profile", "explain", path)
    assert.match("batch_size = 7 %(default 256%)\n    no reason is given\n", out)
    assert.match("batch_window_ms = 1 [^\n]*\n[^\n]*\n    from [^\n]*low%-latency%.lua\n",
      out)
    assert.equal(3, #document("profile", "explain", path).chain)
  end)

  it("tells of none that sets no option", function()
    local _, out = run("profile", "explain", "default")
    assert.equal("default sets no option\n", out)
  end)

  it("does not show secrets", function()
    local path = temporary.file([[
      return { options = { redis = { password = "hidden7" },
        encryption = { keys = { [1] = ("77"):rep(32) }, primary = 1 } } }
    ]], "secret.lua")
    for _, word in ipairs { "--json", "--" } do
      local status, out, err = run("profile", "explain", path, word)
      assert.same({ 0, "" }, { status, err })
      assert.is_nil(out:find("hidden7", 1, true))
      assert.is_nil(out:find("7777", 1, true))
    end
  end)

  it("says what is wrong with a profile, or with the call", function()
    local cases = {
      { { "explain", "low-latancy" }, 'did you mean "low%-latency"' },
      { { "explain", "default", "default" }, "unexpected argument" },
      { { "explane", "default" }, "accepted: explain NAME, or compare A B" },
      { { "compare", "default" }, "two profiles are required" },
      { { "explain", "default", "--rounds", "3" }, "is for compare only" },
      { { "compare", "default", "default", "--rounds", "0" }, "whole number from 1" },
    }
    for _, case in ipairs(cases) do
      local status, out, err = run("profile", unpack(case[1]))
      assert.same({ 2, "" }, { status, out })
      assert.match(case[2], err)
    end
  end)
end)

describe("authstate profile compare", function()
  local server

  setup(function() server = redis_server.start {} end)
  teardown(function() server:stop() end)

  local function check_figures(told)
    assert.equal(#contest.FIGURES, #told.figures)
    local by_name = {}
    for i, figure in ipairs(told.figures) do
      assert.equal(contest.FIGURES[i].name, figure.name)
      assert.equal(2, #figure.values)
      for _, value in ipairs(figure.values) do assert.is_true(value >= 0) end
      local winner = figure.winner
      assert.is_true(winner == authstate.null or winner == told.profiles[1] or
        winner == told.profiles[2])
      by_name[figure.name] = figure
    end
    return by_name
  end

  it("measures both beside each other, and knows what is no matter of time", function()
    local told =
      document("profile", "compare", "high-compression", "low-latency", "--rounds", "1")
    assert.same({ "high-compression", "low-latency" }, told.profiles)
    local figures = check_figures(told)
    assert.equal("high-compression", figures.stored_bytes.winner)
    assert.is_true(figures.stored_bytes.values[1] < figures.stored_bytes.values[2])
    -- low-latency lets 2,000 of a storm wait, the other one all.
    assert.same({ 0, 8000 }, figures.storm_refused.values)
  end)

  it("takes a trace and a server, and leaves nothing there", function()
    local trace = temporary.file('["set",{"session":["7.0"],"own":["a"]}]\n'
      .. '["get","session",["7.0"]]\n["creds"]\n', "own.jsonl")
    server:command("SET", "other", "1")
    local told = document("profile", "compare", "default", "high-throughput", "--rounds",
      "1", "--redis", server.url, "--trace", trace)
    check_figures(told)
    assert.same({ 2, 1, 1 }, { told.records, told.reads, told.writes })
    local left = server:command("KEYS", "*")
    for _, key in ipairs(left) do
      -- Tombstones stay, as of every session that was deleted.
      assert.is_true(key == "other" or key:find ":meta$" ~= nil or
        key:find ":sessions" ~= nil, key)
    end
    assert.equal("0", tostring(select(2, table.concat(left, " "):gsub(":k:", ""))))
  end)

  it("measures profiles of another layout, and says what it does not keep", function()
    local path = temporary.file('return { options = { layout = "hbinduni-hash" } }',
      "other.lua")
    check_figures(document("profile", "compare", "default", path, "--rounds", "1"))
    local trace = temporary.file('["set",{"own":["a"]}]\n["get","own",["a"]]\n',
      "own.jsonl")
    local status, out, err = run("profile", "compare", "default", path, "--rounds", "1",
      "--trace", trace)
    assert.same({ 1, "" }, { status, out })
    assert.match("other%.lua: own \"a\" cannot be kept in this layout[^\n]*\n$", err)
  end)

  it("says which profile cannot do it", function()
    local path = temporary.file("return { options = { queue_max_operations = 100 } }",
      "tight.lua")
    local status, out, err = run("profile", "compare", "default", path, "--rounds", "1")
    assert.same({ 1, "" }, { status, out })
    assert.match("tight%.lua: the queue is full", err)
  end)

  it("says which line of a trace is wrong", function()
    local trace = temporary.file('["get","t",["a"]]\n{', "bad.jsonl")
    local status, out, err =
      run("profile", "compare", "default", "default", "--trace", trace)
    assert.same({ 1, "" }, { status, out })
    assert.match("bad.jsonl: line 2", err)
  end)

  it("fails when there is no server", function()
    local status, _, err = run("profile", "compare", "default", "default", "--redis",
      "unix:///nowhere/redis.sock")
    assert.equal(1, status)
    assert.match("nowhere", err)
  end)
end)

describe("a contest", function()
  local function rounds_of(name, pairs_of_values)
    local rounds = {}
    for i, values in ipairs(pairs_of_values) do
      rounds[i] = { {}, {} }
      for _, figure in ipairs(contest.FIGURES) do
        rounds[i][1][figure.name], rounds[i][2][figure.name] = 1, 1
      end
      rounds[i][1][name], rounds[i][2][name] = values[1], values[2]
    end
    return rounds
  end

  local function winner(name, values)
    for _, figure in ipairs(contest.judge(rounds_of(name, values))) do
      if figure.name == name then return figure.winner end
    end
  end

  it("is won only beyond the spread of the rounds", function()
    assert.equal(2, winner("reads_per_s", { { 10, 12 }, { 10, 11 }, { 10, 15 } }))
    assert.equal(1, winner("storm_p99_ms", { { 10, 12 }, { 10, 11 }, { 10, 15 } }))
    assert.is_nil(winner("reads_per_s", { { 10, 12 }, { 10, 9 }, { 10, 15 } }))
    assert.is_nil(winner("stored_bytes", { { 10, 10 } }))
    assert.is_nil(winner("storm_refused", { { 0, 8 } }))
  end)
end)
