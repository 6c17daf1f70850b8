-- SPDX-License-Identifier: MIT

-- A lane stops when the server did not carry out one of its requests and may do so later:
-- nothing of the session overtakes what was refused.

local hashes = require "spec.engine.hashes"
local peer = require "spec.engine.peer"

local WORDS = {
  LOADING = "LOADING Redis is loading the dataset in memory",
  BUSY = "BUSY Redis is busy running a script. You can only call SCRIPT KILL.",
  TRYAGAIN = "TRYAGAIN Multiple keys request during rehashing of slot",
}

-- What a server answers also while it loads or is busy.
local ALWAYS = { MULTI = true, EXEC = true, CLIENT = true, INFO = true, SCRIPT = true }

-- While p.refusal is set, the server refuses what works on data with these words, like
-- Redis also each command of a transaction. p.refuses(words): of these only.
local function refuse_at_will(p)
  local class_answer, is_open, is_aborted = p.answer, {}, {}
  function p:answer(words, connection)
    local name = words[1]
    if name == "MULTI" then is_open[connection], is_aborted[connection] = true, false end
    if name == "EXEC" then
      is_open[connection] = false
      if is_aborted[connection] then
        return "-EXECABORT Transaction discarded because of previous errors.\r\n"
      end
    end
    local is_refused = self.refusal and not ALWAYS[name]
      and (not self.refuses or self.refuses(words))
    if not is_refused then return class_answer(self, words, connection) end
    is_aborted[connection] = is_open[connection]
    return "-" .. self.refusal .. "\r\n"
  end
end

-- A ready peer whose server has hashes and refuses at will; a lane.
local function begin(p, config, stored)
  config = config or {}
  if config.retries == nil then config.retries = true end
  p:start(config)
  p:ready()
  p:forget_commands()
  p.answers = hashes.answers(stored or {})
  p.answers.EVALSHA = function(words) return peer.bulk(words[#words]) end
  refuse_at_will(p)
  return p, p.engine:lane "meta"
end

local function ready(config, stored)
  return begin(peer.new(), config, stored)
end

-- Submits a write of commands.
local function write(p, lane, commands, options)
  options = options or {}
  return assert(p.engine:submit(p.now_ms, options.deadline_ms or math.huge,
    options.atomic or false, commands, lane, true))
end

local function echo(p, lane, text, options)
  options = options or {}
  options.lane = lane
  return p:submit({ { "ECHO", text } }, options)
end

-- The wait until the engine does something by itself.
local function wait_ms(p)
  return p.engine:deadline_ms() - p.now_ms
end

-- Lets the pause of the only stopped lane pass, and answers all.
local function go_on(p)
  p:pass(wait_ms(p))
  p:pump()
end

-- What one is told: the code, the version, or the first value of the first reply.
local function told_by(ended)
  local told = ended.code or ended.replies
  while type(told) == "table" do told = told[1] end
  return told
end

-- The same by the names given to slots.
local function results(p, names)
  local found = {}
  for _, ended in ipairs(p:ends()) do
    local name = assert(names[ended.slot], "a slot that is none of these, or told twice")
    names[ended.slot] = nil
    found[name] = told_by(ended)
  end
  return found
end

local function ends_in_order(p)
  local list = {}
  for i, ended in ipairs(p:ends()) do list[i] = told_by(ended) end
  return list
end

-- What can be refused: how it is submitted, and what it puts on the wire.
local KINDS = {
  ["a read"] = {
    submit = function(p, lane) echo(p, lane, "x") end,
    wire = { "ECHO x" }, told = { "x" },
  },
  ["a write script"] = {
    submit = function(p, lane) write(p, lane, { { "EVALSHA", "sha", "x" } }) end,
    wire = { "EVALSHA sha x" }, told = { "x" },
  },
  ["a transaction"] = {
    submit = function(p, lane)
      write(p, lane, { { "HSET", "k", "f", "1" }, { "HGET", "k", "f" } },
        { atomic = true })
    end,
    wire = { "MULTI", "HSET k f 1", "HGET k f", "EXEC" }, told = { 1 },
  },
  ["a joined read"] = {
    submit = function(p, lane)
      p:read(lane, "j", { "a" })
      p:read(lane, "l", { "b", "c" }, { generation = 0 })
    end,
    wire = { "HMGET j a", "HMGET l b c", "HGET meta gen" }, told = { "A", "B" },
  },
  ["a plain write"] = {
    submit = function(p, lane)
      p:change(lane, { "k", "a", "1" })
      p:change(lane, { "k", "b", "2" })
    end,
    wire = { "MULTI", "HSET k a 1 b 2", "HINCRBY meta ver 2", "EXISTS k meta", "EXEC" },
    told = { 1, 2 },
  },
}

-- What the joined reads find. Made anew for each run, since writes change it.
local function stored()
  return { j = { a = "A" }, l = { b = "B" } }
end

describe("a lane whose server says later", function()
  for name, kind in pairs(KINDS) do
    for word, words in pairs(WORDS) do
      it(("sends %s again, and what is behind it: %s"):format(name, word), function()
        local result = peer.each_cut(function(p)
          local _, lane = begin(p, {}, stored())
          p.refusal = words
          kind.submit(p, lane)
          echo(p, lane, "behind")
          p:pump()
          local told_early, first_wait = #p:ends(), wait_ms(p)
          echo(p, lane, "meanwhile")
          p:pump()
          p:pass(first_wait - 1)
          p:pump()
          local carried, sent_early = p.commands, #p.commands
          p:pass(1)
          p:pump()
          local second_wait = wait_ms(p)
          p.refusal = nil
          go_on(p)
          local attempts, ended = {}, p:ends()
          for i, each in ipairs(ended) do
            attempts[i], ended[i] = each.attempts, told_by(each)
          end
          return { told_early, first_wait, sent_early, second_wait, carried, ended,
            attempts, p.engine:statistics().queued_operations,
            p.engine:statistics().queued_bytes }
        end)
        local told_early, first_wait, sent_early, second_wait = unpack(result, 1, 4)
        local carried, ended, attempts, operations, bytes = unpack(result, 5)
        assert.same({ 0, 10, 20 }, { told_early, first_wait, second_wait })
        assert.equal(#kind.wire + 1, sent_early)
        local expected = {}
        for round = 1, 3 do
          for _, command in ipairs(kind.wire) do expected[#expected + 1] = command end
          expected[#expected + 1] = "ECHO behind"
          if round > 1 then expected[#expected + 1] = "ECHO meanwhile" end
        end
        assert.same(expected, carried)
        local told = { unpack(kind.told) }
        told[#told + 1], told[#told + 2] = "behind", "meanwhile"
        assert.same(told, ended)
        for _, number in ipairs(attempts) do assert.equal(1, number) end
        assert.same({ 0, 0 }, { operations, bytes })
      end)
    end
  end

  -- Redis 7 refuses EXEC itself when a script began after the commands were queued.
  it("sends a transaction again of which EXEC alone was refused", function()
    local aborted = ("-EXECABORT Transaction discarded because of: %s\r\n")
      :format(WORDS.BUSY)
    local result = peer.each_cut(function(p)
      local _, lane = begin(p)
      local serve = p.answers.EXEC
      p.answers.EXEC = aborted
      p:change(lane, { "k", "a", "1" })
      p:pump()
      local told_early = #p:ends()
      p.answers.EXEC = serve
      go_on(p)
      return { told_early, ends_in_order(p) }
    end)
    assert.same({ 0, { 1 } }, result)
  end)

  it("waits 10, 20, 40, ... 1000 ms, however many were refused; then 10 again", function()
    local p, lane = ready()
    p.refusal = WORDS.LOADING
    for i = 1, 5 do echo(p, lane, tostring(i)) end
    p:pump()
    local waits = {}
    for i = 1, 9 do
      waits[i] = wait_ms(p)
      go_on(p)
    end
    assert.same({ 10, 20, 40, 80, 160, 320, 640, 1000, 1000 }, waits)
    p.refusal = nil
    go_on(p)
    assert.same({ "1", "2", "3", "4", "5" }, ends_in_order(p))
    p.refusal = WORDS.BUSY
    echo(p, lane, "again")
    p:pump()
    assert.equal(10, wait_ms(p))
  end)

  it("sends nothing before its time, and nothing while replies are owed", function()
    local p, lane = ready()
    echo(p, lane, "1")
    echo(p, lane, "2")
    p:flush()
    p:write()
    p:feed("-" .. WORDS.LOADING .. "\r\n")
    -- The second one has not been answered: how long that takes, nobody knows.
    assert.equal(10000, wait_ms(p)) -- the health of the connection
    p:pass(500)
    assert.equal("", p.engine:next_write(0))
    p:feed "$1\r\n2\r\n"
    assert.equal(peer.encode { "ECHO", "1" } .. peer.encode { "ECHO", "2" },
      p.engine:next_write(0))
  end)

  it("does not hold up other lanes, nor what belongs to none", function()
    local result = peer.each_cut(function(p)
      local _, lane = begin(p)
      local other = p.engine:lane "other"
      p.refusal = WORDS.LOADING
      p.refuses = function(words) return words[2] == "mine" end
      local names = {}
      names[echo(p, lane, "mine")] = "mine"
      names[echo(p, other, "1")] = "other"
      names[p:change(other, { "k", "a", "1" })] = "change"
      names[p:submit { { "ECHO", "2" } }] = "nobody's"
      p:pump()
      names[echo(p, other, "3")] = "later"
      p:pump()
      local found = results(p, names)
      p.refusal = nil
      go_on(p)
      return { found, results(p, names) }
    end)
    assert.same({ { other = "1", change = 1, ["nobody's"] = "2", later = "3" },
      { mine = "mine" } }, result)
  end)

  -- Other kinds of error are the answer.
  it("gives every other error at once", function()
    for _, words in ipairs { "OOM x", "ERR LOADING x", "LOADINGx", "READONLY x",
      "MASTERDOWN x" } do
      local p, lane = ready()
      p.refusal = words
      echo(p, lane, "1")
      p:pump()
      local ended = p:ended()
      assert.equal(words, ended.message)
      assert.equal(1, ended.attempts)
    end
  end)

  it("gives its error at once when nothing is to be done again", function()
    for name, kind in pairs(KINDS) do
      local p, lane = ready({ retries = false }, stored())
      p.refusal = WORDS.LOADING
      kind.submit(p, lane)
      echo(p, lane, "behind")
      p:pump()
      for _, ended in ipairs(p:ends()) do
        assert.same({ "loading", WORDS.LOADING, 1 },
          { ended.code, ended.message, ended.attempts }, name)
      end
      assert.equal(0, p.engine:statistics().queued_operations)
    end
  end)
end)

describe("what was sent behind a request that is refused", function()
  -- It was sent again, and of two plain writes the older value was there in the end.
  it("is complete when it is a write that took effect; what it overtook is not done",
    function()
      local result = peer.each_cut(function(p)
        local found = { k = { a = "0" } }
        local _, lane = begin(p, {}, found)
        p.refusal = WORDS.BUSY
        p.refuses = function(words) return words[2] == "first" end
        local names = {}
        names[write(p, lane, { { "EVALSHA", "first", "1" } })] = "first"
        names[echo(p, lane, "taken back")] = "taken back"
        names[write(p, lane, { { "EVALSHA", "second", "2" } })] = "second"
        p:flush()
        names[p:change(lane, { "k", "a", "1" })] = "change"
        names[p:read(lane, "k", { "a" })] = "read"
        p:pump()
        names[echo(p, lane, "meanwhile")] = "meanwhile"
        local early, told = {}, {}
        for _, ended in ipairs(p:ends()) do
          local name = names[ended.slot]
          early[#early + 1] = name
          told[name] = { told_by(ended), ended.message, ended.attempts }
          names[ended.slot] = nil
        end
        p.refusal = nil
        go_on(p)
        return { early, told, results(p, names), p.commands, found.k }
      end)
      assert.same({ "first", "taken back", "second", "change" }, result[1])
      assert.same({
        first = { "server", WORDS.BUSY, 0 }, ["taken back"] = { "server", WORDS.BUSY, 1 },
        second = { "2", nil, 1 }, change = { 1, nil, 1 },
      }, result[2])
      assert.same({ read = "1", meanwhile = "meanwhile" }, result[3])
      assert.same({ a = "1" }, result[5])
      local counts = {}
      for _, command in ipairs(result[4]) do
        counts[command] = (counts[command] or 0) + 1
      end
      assert.same({ 1, 1, 1, 2 }, { counts["EVALSHA first 1"], counts["EVALSHA second 2"],
        counts["HSET k a 1"], counts["HMGET k a"] })
    end)

  it("overtakes also when nobody waits for it, and its words are not known", function()
    local p, lane = ready()
    write(p, lane, { { "EVALSHA", "a", "1" } })
    local slot = write(p, lane, { { "EVALSHA", "b", "2" } })
    p:flush()
    p:write()
    p.engine:cancel(slot, p.now_ms)
    p:ends()
    p:feed("-" .. WORDS.BUSY .. "\r\n")
    assert.same({}, p:codes())
    p:feed ":1\r\n"
    assert.same({ "server" }, p:codes())
    assert.equal(0, p.engine:statistics().queued_operations)
  end)

  -- What was submitted while replies were owed was put before what was taken back later:
  -- the older value of a field was written last.
  it("comes before what is submitted meanwhile, whenever its reply comes", function()
    local refused = "+OK\r\n" .. ("-" .. WORDS.BUSY .. "\r\n"):rep(3)
      .. "-EXECABORT Transaction discarded because of previous errors.\r\n"
    for at = 1, 3 do
      local found = {}
      local p, lane = ready({}, found)
      for i = 1, 3 do
        p:change(lane, { "k", "f", tostring(i) })
        p:flush()
      end
      p:write()
      p.received[0] = ""
      for i = 1, 3 do
        p:feed(refused)
        if i == at then
          p:change(lane, { "k", "f", "new" })
          p:read(lane, "k", { "f" })
          p:flush()
        end
      end
      go_on(p)
      assert.same({ 1, 2, 3, 4, "new" }, ends_in_order(p))
      assert.equal("new", found.k.f)
    end
  end)

  it("and was not sent yet goes out, is refused or taken back, and comes again in order",
    function()
      local bytes = #peer.encode { "ECHO", "1" }
      for written = bytes, 4 * bytes do
        local p, lane = ready()
        for i = 1, 4 do echo(p, lane, tostring(i)) end
        p:flush()
        p:write(written)
        p:take_command()
        p:feed("-" .. WORDS.LOADING .. "\r\n")
        echo(p, lane, "5")
        p:pump()
        go_on(p)
        assert.same({ "1", "2", "3", "4", "5" }, ends_in_order(p))
        assert.same({ "ECHO 1", "ECHO 2", "ECHO 3", "ECHO 4", "ECHO 1", "ECHO 2",
          "ECHO 3", "ECHO 4", "ECHO 5" }, p.commands)
      end
    end)
end)

describe("a request that waits in a stopped lane", function()
  -- Stops the lane with one request of each kind, and what stands behind it.
  local function stop(kind, deadline_ms)
    local p, lane = ready({}, stored())
    p.refusal = WORDS.LOADING
    if kind == "a joined read" then
      p:read(lane, "j", { "a" }, { generation = 0, deadline_ms = deadline_ms })
    elseif kind == "a plain write" then
      p:change(lane, { "k", "a", "1" }, { deadline_ms = deadline_ms })
    elseif kind == "a transaction" then
      write(p, lane, { { "HSET", "k", "f", "1" }, { "HGET", "k", "f" } },
        { atomic = true, deadline_ms = deadline_ms })
    elseif kind == "two commands" then
      p:submit({ { "HGET", "k", "a" }, { "HGET", "k", "b" } },
        { lane = lane, deadline_ms = deadline_ms })
    else
      write(p, lane, { { "EVALSHA", "sha", "x" } }, { deadline_ms = deadline_ms })
    end
    p:pump()
    return p, lane
  end

  for _, kind in ipairs { "a joined read", "a plain write", "a transaction",
    "two commands", "a write script" } do
    it("ends at its deadline with what the server said, as not carried out: " .. kind,
      function()
        local p, lane = stop(kind, 1005)
        echo(p, lane, "meanwhile", { deadline_ms = 1006 })
        p:pass(4)
        assert.same({}, p:codes())
        p:pass(1)
        local ended = p:ended()
        assert.same({ "loading", WORDS.LOADING, 0, 5 },
          { ended.code, ended.message, ended.attempts, ended.elapsed_ms })
        p:pass(1)
        ended = p:ended()
        assert.same({ "loading", 0 }, { ended.code, ended.attempts })
        p:forget_commands()
        p.refusal = nil
        go_on(p)
        -- Nobody waits: it is not sent again.
        assert.same({}, p.commands)
        assert.equal(0, p.engine:statistics().queued_operations)
        assert.equal(0, p.engine:statistics().queued_bytes)
      end)

    it("is not sent again once it is cancelled: " .. kind, function()
      local p, lane = stop(kind, math.huge)
      p.engine:cancel(0, p.now_ms)
      local ended = p:ended()
      assert.same({ "cancelled", 0 }, { ended.code, ended.attempts })
      echo(p, lane, "after")
      p:forget_commands()
      p.refusal = nil
      go_on(p)
      assert.same({ "after" }, ends_in_order(p))
      assert.same({ "ECHO after" }, p.commands)
    end)
  end

  it("and was carried out in part, or sent before on a lost stream, is a timeout",
    function()
      local p, lane = ready()
      p.refusal = WORDS.LOADING
      p.refuses = function(words) return words[2] == "l" end
      p.answers.INCR = ":1\r\n"
      write(p, lane, { { "INCR", "k" }, { "INCR", "l" } }, { deadline_ms = 1005 })
      p:pump()
      p:pass(5)
      assert.same({ "timeout" }, p:codes())
      p.refuses = nil
      write(p, lane, { { "EVALSHA", "sha", "x" } }, { deadline_ms = p.now_ms + 500 })
      p.refusal = nil
      p:pass(wait_ms(p))
      p:flush()
      p:write(1)
      p:closed()
      p.refusal = WORDS.LOADING
      p:pump()
      p:pass(500)
      local ended = p:ended()
      assert.same({ "timeout", 1 }, { ended.code, ended.attempts })
    end)

  it("in part goes on for the others when one of those joined gives up", function()
    local p, lane = ready()
    p.refusal = WORDS.BUSY
    local slots = {}
    for i = 1, 3 do
      slots[i] = p:change(lane, { "k", "f" .. i, "1" },
        { deadline_ms = i == 3 and 1005 or nil })
    end
    p:pump()
    p.engine:cancel(slots[1], p.now_ms)
    p:pass(5)
    -- They go along with the second one, so they may take effect.
    local told = p:ends()
    assert.same({ "cancelled", 1 }, { told[1].code, told[1].attempts })
    assert.same({ "timeout", 1 }, { told[2].code, told[2].attempts })
    p.refusal = nil
    go_on(p)
    assert.same({ 2 }, ends_in_order(p))
  end)

  it("counts in the bounds, of operations and of bytes", function()
    local p, lane = ready { max_operations = 5 }
    p.refusal = WORDS.LOADING
    for i = 1, 3 do echo(p, lane, tostring(i)) end
    p:pump()
    for i = 4, 5 do echo(p, lane, tostring(i)) end
    assert.equal(5, p.engine:statistics().queued_operations)
    local _, _, code =
      p.engine:submit(p.now_ms, math.huge, false, { { "ECHO", "6" } }, lane)
    assert.equal("overloaded", code)
    p.engine:cancel(0, p.now_ms)
    _, _, code = p.engine:submit(p.now_ms, math.huge, false, { { "ECHO", "6" } }, lane)
    assert.equal("overloaded", code)

    p, lane = ready { max_queued_bytes = 400 }
    p.refusal = WORDS.LOADING
    echo(p, lane, ("x"):rep(200))
    p:pump()
    assert.is_true(p.engine:statistics().queued_bytes > 200)
    local function submit(length)
      return (select(3, p.engine:submit(p.now_ms, math.huge, false,
        { { "ECHO", ("y"):rep(length) } }, lane)))
    end
    assert.equal("overloaded", submit(200))
    assert.is_nil(submit(100)) -- waits, too
    assert.equal("overloaded", submit(100))
    assert.equal("overloaded", (select(3, p.engine:write(lane,
      { "k", "f", ("z"):rep(200) }, math.huge, p.now_ms))))
    p.refusal = nil
    go_on(p)
    assert.equal(0, p.engine:statistics().queued_bytes)
    assert.equal(2, #p:ends())
  end)

  it("is still sent when its lane is closed; a session that is opened again waits for it",
    function()
      local result = peer.each_cut(function(p)
        local _, lane = begin(p)
        p.refusal = WORDS.LOADING
        echo(p, lane, "1")
        p:pump()
        echo(p, lane, "2")
        lane:close()
        local lanes = p.engine:statistics().lanes
        local again = p.engine:lane "meta"
        echo(p, again, "3")
        again:close()
        p.refusal = nil
        p:forget_commands()
        p:pump()
        local early = #p.commands
        go_on(p)
        return { lanes, early, ends_in_order(p), p.engine:statistics().lanes }
      end)
      assert.same({ 1, 0, { "1", "2", "3" }, 0 }, result)
    end)

  it("goes with its engine", function()
    for _, is_closed in ipairs { false, true } do
      local p, lane = ready()
      p.refusal = WORDS.LOADING
      echo(p, lane, "1")
      p:change(lane, { "k", "f", "1" })
      p:pump()
      p:change(lane, { "k", "g", "1" })
      p:flush()
      echo(p, lane, "2")
      p.engine:cancel(0, p.now_ms)
      if is_closed then lane:close() end
      p.engine:close()
    end
  end)
end)

describe("a stream that is lost under a stopped lane", function()
  it("while all waits costs nothing: no kill, the same order, its time as before",
    function()
      local p, lane = ready()
      p.refusal = WORDS.LOADING
      echo(p, lane, "1")
      echo(p, lane, "2")
      p:pump()
      p:closed()
      assert.is_nil(p:action())
      assert.equal(10, wait_ms(p))
      echo(p, lane, "3")
      p.refusal = nil
      go_on(p)
      assert.same({ "1", "2", "3" }, ends_in_order(p))
      assert.same({ "ECHO 1", "ECHO 2", "ECHO 3" }, p:operations())
    end)

  it("at any byte of the replies behind: kills, then sends in order", function()
    local refusal, effect = "-" .. WORDS.BUSY .. "\r\n", peer.bulk "2"
    local replies = refusal .. effect .. peer.bulk "3" .. refusal
    local order = { "EVALSHA a 1", "EVALSHA b 2", "ECHO 3", "EVALSHA c 4", "ECHO 5" }
    for length = #refusal, #replies - 1 do
      local p, lane = ready()
      local names = {}
      names[write(p, lane, { { "EVALSHA", "a", "1" } })] = 1
      names[write(p, lane, { { "EVALSHA", "b", "2" } })] = 2
      names[echo(p, lane, "3")] = 3
      names[write(p, lane, { { "EVALSHA", "c", "4" } })] = 4
      p:flush()
      p:write()
      p:feed(replies:sub(1, length))
      names[echo(p, lane, "5")] = 5
      p:flush()
      p:closed()
      p.received[0] = ""
      local expected, told = {}, { "1", "2", "3", "4", "5" }
      local is_told = length >= #refusal + #effect
      local early = results(p, names)
      -- The second one took effect, so the first one is not done any more.
      assert.same(is_told and { "server", "2" } or {}, early)
      if is_told then told[1], told[2] = nil, nil end
      for i, command in ipairs(order) do
        if not (i <= 2 and is_told) then expected[#expected + 1] = command end
      end
      p:pump() -- who else wants something may connect now
      p:pass(10)
      p:pump()
      assert.same(told, results(p, names))
      local carried = p:operations()
      assert.equal("CLIENT KILL ID 1", table.remove(carried, 1))
      assert.same(expected, carried)
      assert.equal(0, p.engine:statistics().queued_operations)
    end
  end)
end)

describe("the scripts that a server forgot", function()
  local NOSCRIPT = "NOSCRIPT No matching script. Please use EVAL."
  local LOAD = "SCRIPT LOAD return 1"

  -- The server has the scripts again once they were loaded `loads` times.
  local function forget(p, loads)
    p.refusal, p.loads = NOSCRIPT, 0
    p.refuses = function(words) return words[1] == "EVALSHA" end
    p.answers["SCRIPT LOAD"] = function()
      p.loads = p.loads + 1
      if p.loads >= loads then p.refusal = nil end
      return peer.bulk(("0"):rep(40))
    end
  end

  it("are loaded once for many requests of many lanes, at once", function()
    local result = peer.each_cut(function(p)
      local _, lane = begin(p, { scripts = { "return 1" } })
      local other = p.engine:lane "other"
      forget(p, 1)
      local names = {}
      for i = 1, 3 do
        names[write(p, lane, { { "EVALSHA", "sha", "a" .. i } })] = "a" .. i
        names[write(p, other, { { "EVALSHA", "sha", "b" .. i } })] = "b" .. i
      end
      names[echo(p, lane, "a4")] = "a4"
      p:pump()
      return { p.loads, results(p, names), p.commands }
    end)
    assert.equal(1, result[1])
    assert.same({ a1 = "a1", a2 = "a2", a3 = "a3", a4 = "a4", b1 = "b1", b2 = "b2",
      b3 = "b3" }, result[2])
    local seen, order = false, { a = {}, b = {} }
    for _, command in ipairs(result[3]) do
      seen = seen or command == LOAD
      local lane, number = command:match "([ab])(%d)$"
      if seen and lane then table.insert(order[lane], number) end
    end
    assert.same({ a = { "1", "2", "3", "4" }, b = { "1", "2", "3" } }, order)
  end)

  it("are loaded three times for a request and no more, then its error stands", function()
    for loads = 1, 5 do
      local p, lane = ready { scripts = { "return 1" } }
      forget(p, loads)
      write(p, lane, { { "EVALSHA", "sha", "x" } })
      echo(p, lane, "behind")
      p:pump()
      local told = ends_in_order(p)
      assert.same(loads <= 3 and { "x", "behind" } or { "server", "behind" }, told)
      assert.equal(math.min(loads, 3), p.loads)
      assert.equal(0, p.engine:statistics().queued_operations)
    end
  end)

  -- The pause that LOADING had asked for was over at once.
  it("do not shorten the pause of a server that is loading or busy", function()
    local p, lane = ready { scripts = { "return 1" } }
    p.answers.EVALSHA = "-" .. NOSCRIPT .. "\r\n"
    p.refusal = WORDS.LOADING
    p.refuses = function(words) return words[1] == "ECHO" end
    echo(p, lane, "1", { deadline_ms = 1005 })
    write(p, lane, { { "EVALSHA", "sha", "x" } })
    p:pump()
    assert.equal(5, wait_ms(p)) -- the deadline
    p:pass(5)
    assert.equal(WORDS.LOADING, p:ended().message)
    assert.equal(5, wait_ms(p))
  end)

  it("wait for the pause of a server that is loading behind that", function()
    local p, lane = ready { scripts = { "return 1" } }
    p.answers.EVALSHA = "-" .. NOSCRIPT .. "\r\n"
    p.refusal = WORDS.LOADING
    p.refuses = function(words) return words[1] == "ECHO" end
    write(p, lane, { { "EVALSHA", "sha", "x" } })
    echo(p, lane, "1")
    p:pump()
    assert.equal(10, wait_ms(p))
  end)
end)

describe("connections that cannot be made again", function()
  -- The first dice of a pool differed in low bits only: all waited alike.
  it("are not tried all at the same moment", function()
    local p = ready { pool_size = 3, seed = 7 }
    for _ = 1, 3 do p:submit { { "ECHO", "x" } } end
    p:flush()
    for connection = 0, 2 do
      p:write(nil, connection)
      p:closed(nil, connection)
      assert.equal("connect", p:action())
      p:closed("Connection refused", connection)
    end
    local waits, from_ms = {}, p.now_ms
    while #waits < 3 do
      p:pass(wait_ms(p))
      while p:action() do waits[#waits + 1] = p.now_ms - from_ms end
    end
    for i, wait in ipairs(waits) do
      assert.is_true(wait >= 5 and wait <= 10)
      assert.is_true(i == 1 or wait - waits[i - 1] > 0.01, wait)
    end
  end)
end)
