-- SPDX-License-Identifier: MIT

-- How the engine lets the server watch what it reads, byte by byte.

local peer = require "spec.engine.peer"

local CHECK_MS = 1000
local CHANNEL = "__redis__:invalidate"
local DATA, SUBSCRIBER = 0, 1

local function push(keys)
  local list = "$-1\r\n"
  if keys then
    list = {}
    for i, key in ipairs(keys) do list[i] = peer.bulk(key) end
    list = peer.array(list)
  end
  return peer.array { peer.bulk "message", peer.bulk(CHANNEL), list }
end

local function info(redirect, flags)
  local list = {}
  for i, flag in ipairs(flags or { "on", "noloop" }) do list[i] = peer.bulk(flag) end
  return peer.array {
    peer.bulk "flags", peer.array(list),
    peer.bulk "redirect", (":%d\r\n"):format(redirect), peer.bulk "prefixes", "*0\r\n",
  }
end

-- A peer whose engine tracks, in front of a server that does so.
local function begin(p, config)
  local changes = { check_ms = CHECK_MS, probe_prefix = "probe:" }
  for name, value in pairs(config or {}) do changes[name] = value end
  p:start(changes)
  p.pool_size = p.engine:connections()
  p.lane = assert(p.engine:lane "meta")
  p.answers.SUBSCRIBE = peer.array { peer.bulk "subscribe", peer.bulk(CHANNEL), ":1\r\n" }
  p.answers.EXISTS = ":0\r\n"
  p.answers.PING = function(_, connection)
    if connection ~= p.pool_size - 1 then return "+PONG\r\n" end
    return peer.array { peer.bulk "pong", peer.bulk "" }
  end
  p.answers.HSET, p.answers.HDEL = "+QUEUED\r\n", "+QUEUED\r\n"
  p.answers.EXEC = function(_, connection)
    p:feed(push { "probe:" .. p.client_ids[connection] }, p.pool_size - 1)
    return peer.array { ":1\r\n", ":1\r\n" }
  end
  p.answers["CLIENT TRACKINGINFO"] = function()
    return info(p.client_ids[p.pool_size - 1])
  end
end

local function read(p)
  p:submit({ { "ECHO", "x" } }, { lane = p.lane })
  p:pump()
  return p:ended().code or "ok"
end

-- What was told since the last time, as words, and whether all is watched.
local function told(p)
  local out, words = {}, {}
  local count, is_live = p.engine:take_invalidations(out, p.now_ms)
  for i = 1, count do
    words[i] = out[2 * i - 1] .. " " .. tostring(out[2 * i]):gsub("%.0$", "")
  end
  return words, is_live
end

local function is_live(p)
  return (select(2, p.engine:take_invalidations({}, p.now_ms)))
end

describe("tracking", function()
  it("is asked for on each connection, and probed, before anything counts as watched",
    function()
      local result = peer.each_cut(function(p)
        begin(p)
        local before = p.lane:stream()
        read(p)
        return {
          before = before, after = p.lane:stream(), live = is_live(p),
          data = p.carried[DATA], subscriber = p.carried[SUBSCRIBER],
          ids = p.client_ids,
        }
      end)
      assert.equal(0, result.before)
      assert.equal(1, result.after)
      assert.is_true(result.live)
      local own, redirect = result.ids[DATA], result.ids[SUBSCRIBER]
      assert.same({ "CLIENT ID", "INFO server", "SUBSCRIBE " .. CHANNEL },
        result.subscriber)
      assert.same({
        "CLIENT ID", "INFO server", "ECHO x",
        ("CLIENT TRACKING ON REDIRECT %d"):format(redirect),
        "EXISTS probe:" .. own, "MULTI", ("HSET probe:%d probe 1"):format(own),
        ("HDEL probe:%d probe"):format(own), "EXEC",
        ("CLIENT TRACKING ON REDIRECT %d NOLOOP"):format(redirect),
      }, result.data)
    end)

  it("counts once the probe was told and all of it was answered, in whatever order",
    function()
      for _, is_told_first in ipairs { true, false } do
        local result = peer.each_cut(function(p)
          begin(p)
          local probe
          p.answers.EXEC = function(_, connection)
            probe = push { "probe:" .. p.client_ids[connection] }
            if is_told_first then p:feed(probe, SUBSCRIBER) end
            return peer.array { ":1\r\n", ":1\r\n" }
          end
          local last, streams = "CLIENT TRACKING ON REDIRECT %d NOLOOP", {}
          p.answers[last:format(2)] = function()
            streams.told_or_not = p.lane:stream()
            return "+OK\r\n"
          end
          read(p)
          streams.answered = p.lane:stream()
          if not is_told_first then p:feed(probe, SUBSCRIBER) end
          streams.both = p.lane:stream()
          return streams
        end)
        assert.same({ told_or_not = 0, answered = is_told_first and 1 or 0, both = 1 },
          result)
      end
    end)

  it("is not there without check_ms", function()
    local p = peer.new()
    p:start {}
    p.lane = p.engine:lane "meta"
    assert.equal(1, p.engine:connections())
    read(p)
    assert.equal(0, p.lane:stream())
    assert.same({ {}, false }, { told(p) })
    assert.same({ "CLIENT ID", "INFO server", "ECHO x" }, p.commands)
  end)

  it("tells what others have changed, in order, and nothing of the probe", function()
    local result = peer.each_cut(function(p)
      begin(p)
      read(p)
      p:feed(push { "a", "b\r\n" } .. push { "probe:77" } .. push() .. push { "c" },
        SUBSCRIBER)
      return { told = { told(p) }, again = told(p) }
    end)
    assert.same({ { "key a", "key b\r\n", "flush flushed", "key c" }, true }, result.told)
    assert.same({}, result.again)
  end)

  it("keeps a bound on what nobody takes: one flush stands for all", function()
    local p = peer.new()
    begin(p)
    read(p)
    local keys = {}
    for i = 1, 70000 do keys[i] = "k" .. i end
    p:feed(push(keys), SUBSCRIBER)
    local words = told(p)
    assert.is_true(#words < 65536)
    assert.equal("flush overflow", words[#words])
  end)

  it("ends for what was read over a connection that is lost", function()
    local result = peer.each_cut(function(p)
      begin(p)
      read(p)
      p:closed("reset", DATA)
      local lost = { told(p) }
      local between = p.lane:stream()
      read(p)
      return { lost = lost, between = between, after = p.lane:stream() }
    end)
    assert.same({ lost = { { "lost 1" }, true }, between = 0, after = 2 }, result)
  end)

  it("begins anew everywhere when the subscriber is lost", function()
    local result = peer.each_cut(function(p)
      begin(p, { pool_size = 2 })
      local second = p.engine:lane "second"
      p:submit({ { "ECHO", "x" } }, { lane = p.lane })
      p:submit({ { "ECHO", "x" } }, { lane = second })
      p:pump()
      p:ends()
      local before = { p.lane:stream(), second:stream() }
      p:closed("reset", 2)
      local lost, between = { told(p) }, { p.lane:stream(), second:stream() }
      p:pump()
      return {
        before = before, lost = lost, between = between, live = is_live(p),
        after = { p.lane:stream(), second:stream() },
        again = p.carried[0][#p.carried[0]]:match "REDIRECT (%d+) NOLOOP",
        id = tostring(p.client_ids[2]),
      }
    end)
    assert.same({ 1, 2 }, result.before)
    assert.same({ { "flush subscriber" }, false }, result.lost)
    assert.same({ 0, 0 }, result.between)
    assert.same({ 3, 4 }, result.after)
    assert.is_true(result.live)
    assert.equal(result.id, result.again)
  end)

  it("is not live while a PING is not answered, and gives a silent subscriber up",
    function()
      local result = peer.each_cut(function(p)
        begin(p)
        read(p)
        p:pass(CHECK_MS - 1)
        local early = is_live(p)
        p:pass(1)
        local asked = is_live(p)
        p:pump()
        local answered = is_live(p)
        p:pass(CHECK_MS)
        p:write(nil, SUBSCRIBER)
        p:pass(3 * CHECK_MS)
        local action, connection = p:action()
        return {
          early = early, asked = asked, answered = answered, told = told(p),
          action = action, connection = connection, stream = p.lane:stream(),
        }
      end)
      assert.same({
        early = true, asked = false, answered = true, told = { "flush silence" },
        action = "close", connection = SUBSCRIBER, stream = 0,
      }, result)
    end)

  it("is looked after with TRACKINGINFO, and ends when that is not as it was", function()
    local wrong = {
      { 99, { "on", "noloop" } }, { nil, { "on", "noloop", "broken_redirect" } },
      { nil, { "off" } },
    }
    for _, case in ipairs(wrong) do
      local result = peer.each_cut(function(p)
        begin(p)
        read(p)
        p:pass(CHECK_MS)
        p:pump()
        local right = told(p)
        local right_answer = p.answers["CLIENT TRACKINGINFO"]
        p.answers["CLIENT TRACKINGINFO"] = function()
          p.answers["CLIENT TRACKINGINFO"] = right_answer
          return info(case[1] or p.client_ids[SUBSCRIBER], case[2])
        end
        p:pass(CHECK_MS)
        p:pump()
        return { right = right, wrong = told(p), after = p.lane:stream() }
      end)
      assert.same({ right = {}, wrong = { "lost 1" }, after = 2 }, result)
    end
  end)

  it("is not live when a connection does not answer whether it is tracked", function()
    local p = peer.new()
    begin(p)
    read(p)
    p:pass(CHECK_MS)
    p:write(nil, DATA)
    p:write(nil, SUBSCRIBER)
    p:feed(peer.array { peer.bulk "pong", peer.bulk "" }, SUBSCRIBER)
    assert.is_true(is_live(p))
    p:pass(CHECK_MS)
    p:write(nil, SUBSCRIBER)
    p:feed(peer.array { peer.bulk "pong", peer.bulk "" }, SUBSCRIBER)
    p.now_ms = p.now_ms + 1
    assert.is_false(is_live(p))
  end)

  for _, refused in ipairs { "SUBSCRIBE", "CLIENT TRACKING", "HSET", "EXISTS" } do
    it("that is refused (" .. refused .. ") is told, and asked for again after a minute",
      function()
        local result = peer.each_cut(function(p)
          begin(p)
          local right = p.answers[refused]
          p.answers[refused] = "-NOPERM no permissions\r\n"
          local code = read(p)
          local words, live = told(p)
          p:pass(59000)
          p:pump()
          local later = told(p)
          p.answers[refused] = right
          p:pass(1001)
          p:pump()
          return { code = code, words = words, live = live, later = later,
            stream = p.lane:stream() > 0 }
        end)
        assert.equal("ok", result.code)
        assert.equal("refused NOPERM no permissions", result.words[1])
        assert.is_false(result.live)
        assert.same({}, result.later)
        assert.is_true(result.stream)
      end)
  end

  -- A server that is full, or a replica for a moment, had the cache off for a minute.
  for _, words in ipairs {
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica.",
    "MISCONF Errors writing to the AOF file: No space left on device",
  } do
    it("that cannot be for now (" .. words:match "%u+" .. ") is asked for again soon; "
      .. "somebody is told the fifth time", function()
      local result = peer.each_cut(function(p)
        begin(p)
        local right = p.answers.EXEC
        p.answers.HSET = "-" .. words .. "\r\n"
        p.answers.EXEC = "-EXECABORT Transaction discarded\r\n"
        local code, said = read(p), {}
        for round = 1, 6 do
          said[round] = told(p)
          p:pass(CHECK_MS)
          p:pump()
        end
        local before = p.lane:stream()
        p.answers.HSET, p.answers.EXEC = "+QUEUED\r\n", right
        p:pass(CHECK_MS)
        p:pump()
        return { code = code, said = said, before = before, after = p.lane:stream() }
      end)
      assert.same({
        code = "ok", before = 0, after = 1,
        said = { {}, {}, {}, {}, { "refused " .. words }, {} },
      }, result)
    end)
  end

  it("pauses on a connection when it is told to, and begins anew", function()
    local result = peer.each_cut(function(p)
      begin(p)
      read(p)
      p:forget_commands()
      p.lane:pause_tracking(p.now_ms)
      local paused = { told(p) }
      read(p)
      local stream = p.lane:stream()
      p:pass(CHECK_MS)
      p:pump()
      return {
        paused = paused, stream = stream, after = p.lane:stream(),
        first = p.commands[1], second = p.commands[2],
        again = p.carried[DATA][#p.carried[DATA]]:match "TRACKING ON .*NOLOOP$" ~= nil,
      }
    end)
    assert.same({
      paused = { { "lost 1" }, true }, stream = 0, after = 2, again = true,
      first = "CLIENT TRACKING OFF", second = "ECHO x",
    }, result)
  end)

  it("has nothing to pause where nothing is watched", function()
    local p = peer.new()
    p:start {}
    p.lane = p.engine:lane "meta"
    p.lane:pause_tracking(p.now_ms)
    read(p)
    assert.same({ "CLIENT ID", "INFO server", "ECHO x" }, p.commands)
  end)

  it("is refused by a server that does not name its clients or its run", function()
    for _, command in ipairs { "CLIENT ID", "INFO server" } do
      local p = peer.new()
      begin(p)
      p.answers[command] = "-NOPERM no permissions\r\n"
      assert.equal("ok", read(p))
      assert.same({ "refused CLIENT ID or INFO is not allowed" }, (told(p)))
      assert.equal(0, p.lane:stream())
    end
  end)

  it("does not take a subscriber of another run of the server for its own", function()
    local p = peer.new()
    begin(p)
    p:submit({ { "ECHO", "x" } }, { lane = p.lane })
    p:greet()
    p.run_id = peer.run_id "b" -- which the subscriber will see
    p:pump()
    p:ends()
    assert.equal(0, p.lane:stream())
    for _, command in ipairs(p.carried[DATA]) do assert.not_match("TRACKING", command) end
  end)

  it("does not count as watched while the probe is not told", function()
    local p = peer.new()
    begin(p)
    p.answers.EXEC = peer.array { ":1\r\n", ":1\r\n" }
    read(p)
    for _ = 1, 6 do
      assert.equal(0, p.lane:stream())
      p:pass(CHECK_MS)
      p:pump()
    end
    local words = told(p)
    assert.equal(1, #words)
    assert.match("^refused the server does not tell us", words[1])
  end)

  it("is dropped by a message that is none", function()
    local result = peer.each_cut(function(p)
      begin(p)
      read(p)
      p:feed(peer.array { peer.bulk "what", peer.bulk "is", peer.bulk "this" },
        SUBSCRIBER)
      local action, connection = p:action()
      return { told = told(p), action = action, connection = connection }
    end)
    assert.same({ told = { "flush subscriber" }, action = "close",
      connection = SUBSCRIBER }, result)
  end)
end)
