-- SPDX-License-Identifier: MIT

-- The model of Redis answers as Redis does: the same random requests, our own scripts
-- among them, to a real server and to the model, every reply compared.

local core = require "authstate.core"
local clock = require "spec.support.clock"
local model_server = require "authstate.sim.server"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local resp = require "authstate.sim.resp"
local server_scripts = require "authstate.server_scripts"

local REQUESTS = 10000

-- ---- both -----------------------------------------------------------------------------

-- A reply as resp_client gives it: a status is its text, no list is nil.
local function plain(reply)
  if type(reply) ~= "table" then return reply end
  if reply == resp.NIL_LIST then return false end
  if reply.ok then return reply.ok end
  if reply.err then return { err = reply.err } end
  local list = {}
  for i = 1, #reply do list[i] = plain(reply[i]) end
  return list
end

local function text(reply)
  if type(reply) ~= "table" then return tostring(reply) end
  if reply.err then return "-" .. reply.err end
  local parts = {}
  for i = 1, #reply do parts[i] = text(reply[i]) end
  return "[" .. table.concat(parts, " ") .. "]"
end

-- What must be alike in two replies to a request.
local comparable = {}

local function first_word(reply)
  if type(reply) == "table" and reply.err then return "-" .. reply.err:match "^%S+" end
  return text(reply)
end

local function is_error(reply)
  return type(reply) == "table" and reply.err ~= nil
end

local function sorted(step)
  return function(reply)
    if type(reply) ~= "table" or reply.err then return text(reply) end
    local parts = {}
    for i = 1, #reply, step do
      -- What Redis says of memory, the model can only guess.
      local is_guess = step == 2 and reply[i] == "bytes"
      parts[#parts + 1] = reply[i] .. "=" ..
        (step == 2 and not is_guess and reply[i + 1] or "")
    end
    table.sort(parts)
    return table.concat(parts, " ")
  end
end

comparable.hgetall = sorted(2)
comparable.hkeys, comparable.hvals = sorted(1), sorted(1)
comparable.eval, comparable.evalsha = first_word, first_word

function comparable.time(reply)
  return is_error(reply) and text(reply) or #reply
end

local function sign(reply)
  return type(reply) == "number" and math.min(reply, 0) or text(reply)
end

function comparable.pttl(reply) return sign(reply) end
function comparable.ttl(reply) return sign(reply) end
function comparable.memory(reply)
  return type(reply) == "number" and "a number" or text(reply)
end
function comparable.client(reply)
  return type(reply) == "number" and reply > 0 and "an id" or text(reply)
end
function comparable.info(reply)
  if is_error(reply) then return text(reply) end
  return reply:match "run_id:%x+" and reply:match "redis_version:%d" or "?"
end

-- The verdict of our own scripts; a delete tells of memory.
local function verdict_text(reply)
  if reply.err then return first_word(reply) end
  local parts = {}
  for i = 1, #reply do
    local is_guess = reply[1] == "ok" and #reply == 6 and i == 5 or
      reply[1] == "again" and i == 5
    parts[i] = is_guess and "_" or text(reply[i])
  end
  return table.concat(parts, " ")
end

describe("the model of Redis", function()
  local server, real, model, client, now_ms, dice, count

  setup(function() server = redis_server.start() end)
  teardown(function() server:stop() end)

  before_each(function()
    server:command("FLUSHALL")
    real = server:connect()
    now_ms, count = clock.now_ms() + 1.79e12, 0
    model = model_server.new {
      now_ms = function() return now_ms end,
      random = function(length) return ("r"):rep(length) end,
    }
    client = model:accept()
    dice = random.new()
  end)

  after_each(function()
    server:command("CONFIG", "SET", "maxmemory", "0")
    server:command("REPLICAOF", "NO", "ONE")
    real:close()
  end)

  local function ask_real(request)
    local reply, message = real:command(unpack(request))
    if reply == nil then return { err = message } end
    return reply
  end

  local function ask_model(request)
    return plain(model:request(client, request))
  end

  local function compare(request, form)
    count = count + 1
    form = form or comparable[request[1]:lower()] or text
    local of_real, of_model = ask_real(request), ask_model(request)
    assert.equal(form(of_real), form(of_model), table.concat(request, " "))
    return of_real
  end

  -- ---- random requests ----------------------------------------------------------------

  local KEYS = { "a", "b", "c", "d", "e" }
  local FIELDS = { "f", "g", "h", "1", "" }
  local VALUES = {
    "x", "", "17", "-3", "9e9", " 1", "\r\n$-1\r\n", "\0\255", ("v"):rep(70),
  }
  local NUMBERS = { "0", "1", "-1", "17", "x", "1.5", "", "1000000" }
  local SCORES = { "1", "2", "-7", "1790001000123456", "2.5", "inf", "-inf", "x", "1e3" }
  local BOUNDS = { "-inf", "+inf", "1", "(1", "2", "(2.5", "x", "1790001000123456" }

  local function key() return dice:pick(KEYS) end
  local function field() return dice:pick(FIELDS) end
  local function value() return dice:pick(VALUES) end

  local function several(make, most)
    local list = {}
    for i = 1, dice:integer(1, most) do list[i] = make() end
    return unpack(list)
  end

  local function pair() return field(), value() end
  local function pairs_of(most)
    local list = {}
    for _ = 1, dice:integer(1, most) do
      local first, second = pair()
      list[#list + 1] = first
      list[#list + 1] = second
    end
    return unpack(list)
  end

  local makers = {
    function() return { "HSET", key(), pairs_of(4) } end,
    function() return { "HSET", key(), pairs_of(4) } end,
    function() return { "HDEL", key(), several(field, 3) } end,
    function() return { "HGET", key(), field() } end,
    function() return { "HMGET", key(), several(field, 4) } end,
    function() return { "HGETALL", key() } end,
    function() return { "HKEYS", key() } end,
    function() return { "HVALS", key() } end,
    function() return { "HLEN", key() } end,
    function() return { "HEXISTS", key(), field() } end,
    function() return { "HINCRBY", key(), field(), dice:pick(NUMBERS) } end,
    function() return { "SET", key(), value() } end,
    function() return { "GET", key() } end,
    function() return { "DEL", several(key, 2) } end,
    function() return { "UNLINK", several(key, 2) } end,
    function() return { "EXISTS", several(key, 3) } end,
    function() return { "TYPE", key() } end,
    function() return { "PERSIST", key() } end,
    function() return { "PEXPIRE", key(), dice:pick { "1000000", "-1", "0", "x" } } end,
    function() return { "PTTL", key() } end,
    function() return { "ZADD", key(), dice:pick(SCORES), field() } end,
    function() return { "ZADD", key(), "GT", dice:pick(SCORES), field() } end,
    function()
      return { "ZADD", key(), "GT", "CH", dice:pick(SCORES), field(), "3", "m" }
    end,
    function() return { "ZREM", key(), several(field, 2) } end,
    function() return { "ZSCORE", key(), field() } end,
    function() return { "ZCARD", key() } end,
    function()
      return { "ZRANGE", key(), dice:pick(BOUNDS), dice:pick(BOUNDS), "BYSCORE" }
    end,
    function()
      return {
        "ZRANGE", key(), dice:pick(BOUNDS), "+inf", "BYSCORE", "LIMIT",
        dice:pick { "0", "1", "x" }, dice:pick { "2", "-1", "0" }, "WITHSCORES",
      }
    end,
    function() return { "MEMORY", "USAGE", key(), "SAMPLES", "0" } end,
    function() return { "PING" } end,
    function() return { "ECHO", value() } end,
    function() return { "TIME" } end,
    function() return { "DBSIZE" } end,
    function() return { "CLIENT", "ID" } end,
    function() return { "INFO", "server" } end,
    function() return { "SELECT", dice:pick { "0", "0", "1", "16", "x" } } end,
    function() return { "SCRIPT", "EXISTS", ("0"):rep(40) } end,
    function() return { "EVALSHA", ("0"):rep(40), "0" } end,
    function() return { dice:pick { "HGET", "HSET", "ZADD", "EXISTS" }, key() } end,
    function() return { "NOSUCH", key(), value() } end,
  }

  local function draw()
    local request = dice:pick(makers)()
    -- A blank is a word of its own in the error of an unknown command only.
    return request
  end

  -- What conversions between Redis and Lua do to values.
  local SCRIPTS = {
    [[return redis.call("HGET", KEYS[1], ARGV[1])]],
    [[return redis.call("HMGET", KEYS[1], ARGV[1], "f", "none")]],
    [[return { 1, 2.9, -2.9, "x", true, false, 7 }]],
    [[return { 1, nil, 3 }]],
    [[return { { 1, { "a", { ok = "FINE" } } }, redis.call("TYPE", KEYS[1]) }]],
    [[return redis.pcall("HGET", KEYS[1], ARGV[1])]],
    [[return redis.call("GET", KEYS[1])]],
    [[local r = redis.pcall("GET", KEYS[1]) return type(r) == "table" and r.err or r]],
    [[return redis.error_reply("MINE own words")]],
    [[return redis.error_reply("-MINE own words")]],
    [[return redis.error_reply("MINE")]],
    [[return redis.status_reply("STATUS")]],
    [[return redis.call("HSET", KEYS[1], "n", 17, "m", 1.5)]],
    [[return redis.call("HSET", KEYS[1], "n", string.format("%.0f", 1.790001e15))]],
    [[return tostring(1790001000123456) .. 2^53 .. 0.1]],
    [[return #KEYS * 100 + #ARGV]],
    [[return tonumber(ARGV[1])]],
    [[return type(redis.call("HGET", KEYS[1], "none"))]],
    [[return { string.match("17:4,16:3", "^(%d+):"), ("x"):rep(3) }]],
    [[return redis.call("NOSUCH")]],
    [[return redis.call("HGET", KEYS[1])]],
    [[return redis.call("HGET", KEYS[1], {})]],
    [[local t = {} for i = 1, 9000 do t[i] = i end return #t]],
    [[error("broken")]],
    [[return redis.sha1hex("x")]],
  }

  local function script_request()
    local source = dice:pick(SCRIPTS)
    if dice:chance(0.5) then source = "#!lua\n" .. source end
    return { "EVAL", source, "1", key(), field(), dice:pick(NUMBERS) }
  end

  local function transaction()
    compare { "MULTI" }
    for _ = 1, dice:integer(0, 4) do
      local request = draw()
      if request[1] ~= "TIME" and request[1] ~= "MEMORY" and request[1] ~= "PTTL" and
         request[1] ~= "INFO" and request[1] ~= "CLIENT" then
        compare(request, text)
      end
    end
    compare({ dice:chance(0.9) and "EXEC" or "DISCARD" }, function(reply)
      if reply.err then return first_word(reply) end
      -- The order of fields is Redis' own once a hash has a long value.
      local words = {}
      for word in text(reply):gmatch "[^%s%[%]]+" do words[#words + 1] = word end
      table.sort(words)
      return table.concat(words, " ")
    end)
  end

  it("answers random requests as Redis does", function()
    while count < random.rounds(REQUESTS) do
      local way = dice:fraction()
      if way < 0.85 then
        compare(draw())
      elseif way < 0.95 then
        compare(script_request())
      else
        transaction()
      end
    end
  end)

  it("lists the same keys", function()
    for n = 1, 300 do compare { "HSET", "key" .. n % 200, "f", "v" } end
    compare { "SET", "keys*", "v" }
    for _, options in ipairs {
      {}, { "MATCH", "key1*" }, { "MATCH", "key?\\*" }, { "COUNT", "1000" },
      { "TYPE", "hash", "MATCH", "*9" },
    } do
      local found = {}
      for which, ask in pairs { real = ask_real, model = ask_model } do
        local cursor, keys = "0", {}
        repeat
          local reply = ask { "SCAN", cursor, unpack(options) }
          cursor = reply[1]
          for _, each in ipairs(reply[2]) do keys[each] = true end
        until cursor == "0"
        found[which] = keys
      end
      assert.same(found.real, found.model)
    end
  end)

  -- ---- our scripts --------------------------------------------------------------------

  local TYPES = { "pre-key", "session", "x" }
  local WRITERS = { "aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh", "ii", "jj" }

  local seqs, generation

  local function draw_seq(writer)
    local newest = seqs[writer] or 0
    return dice:chance(0.75) and newest + 1 or math.max(1, newest + dice:integer(-2, 3))
  end

  local function draw_pin()
    return dice:pick { generation, generation, generation, "", "0", "123" }
  end

  local function draw_seen()
    return dice:pick { "", "0", "3", "1000" }
  end

  local function commit_command()
    local writer = dice:pick(WRITERS)
    local has_creds = dice:chance(0.5)
    local keys = { "{s}:meta", "{s}:creds" }
    local arguments = {
      writer, tostring(draw_seq(writer)), draw_pin(),
      dice:chance(0.5) and "" or ("%.0f"):format(1.79e15 + dice:integer(1, 1e6)),
      dice:chance(0.2) and "create" or "write", has_creds and "1" or "",
      dice:pick { "", "1", "0", "-" }, dice:pick { "", "", "", "5", "30" }, draw_seen(),
      "creds", "0", has_creds and "1" or "0",
    }
    if has_creds then
      arguments[#arguments + 1] = "creds"
      arguments[#arguments + 1] = value()
    end
    for i = 1, dice:integer(0, 2) do
      keys[#keys + 1] = "{s}:k:" .. TYPES[i]
      local deletes, sets = dice:integer(0, 2), dice:integer(0, 3)
      for _, argument in ipairs { TYPES[i], tostring(deletes), tostring(sets) } do
        arguments[#arguments + 1] = argument
      end
      for _ = 1, deletes + 2 * sets do arguments[#arguments + 1] = field() end
    end
    return server_scripts.command("commit", keys, arguments), writer, arguments[2]
  end

  local function delete_command()
    local writer = dice:pick(WRITERS)
    local keys = { "{s}:meta", "{s}:creds" }
    local arguments = {
      writer, tostring(draw_seq(writer)), draw_pin(), "hash", "100000000", draw_seen(),
    }
    for i = 1, dice:pick { 0, 3, 3, 3 } do
      keys[#keys + 1] = "{s}:k:" .. TYPES[i]
      arguments[#arguments + 1] = TYPES[i]
    end
    return server_scripts.command("delete", keys, arguments), writer, arguments[2]
  end

  -- The model is given the time at which the server has run the script.
  local function run_script(command, writer, seq)
    count = count + 1
    local of_real = ask_real(command)
    local at = ask_real { "HGET", "{s}:meta", "at" }
    if of_real[1] == "ok" then
      now_ms = #of_real == 6 and tonumber(of_real[2]) / 1000 or tonumber(at)
    end
    local of_model = ask_model(command)
    assert.equal(verdict_text(of_real), verdict_text(of_model),
      table.concat(command, " "))
    if of_real[1] == "ok" then
      seqs[writer], generation = tonumber(seq), of_real[2]
    end
    return of_real[1]
  end

  it("runs our scripts as Redis does", function()
    seqs, generation = {}, ""
    for _, source in ipairs(server_scripts.sources()) do
      compare { "SCRIPT", "LOAD", source }
    end
    local verdicts = {}
    while count < random.rounds(REQUESTS) do
      local make = dice:chance(0.8) and commit_command or delete_command
      local verdict = run_script(make())
      verdicts[verdict or "error"] = true
      if dice:chance(0.1) then
        for _, name in ipairs { "meta", "creds", "k:pre-key", "k:session" } do
          compare { "HGETALL", "{s}:" .. name }
          compare { "PTTL", "{s}:" .. name }
        end
      end
      if dice:chance(0.01) then compare { "SET", "{s}:k:session", "no hash" } end
      if dice:chance(0.02) then compare { "DEL", "{s}:k:session" } end
      if dice:chance(0.003) then
        compare { "DEL", "{s}:meta" }
        seqs = {}
      end
    end
    for _, verdict in ipairs {
      "ok", "again", "gap", "fenced", "exists", "reopen", "conflict", "wrong_type",
      "absent", "gone", "types",
    } do
      assert.is_true(verdicts[verdict], verdict .. " never came")
    end
  end)

  it("takes sessions out of the index as Redis does", function()
    for _, source in ipairs(server_scripts.sources()) do
      compare { "SCRIPT", "LOAD", source }
    end
    for _ = 1, 300 do
      compare { "ZADD", "i", "GT", dice:pick { "5", "6", "1790001000123456" }, field() }
      compare(server_scripts.command("unindex", { "i" },
        { field(), dice:pick { "4", "5", "6", "1790001000123456" } }))
    end
  end)

  -- ---- what a server refuses ----------------------------------------------------------

  local function refused_requests()
    local list = {}
    for _, make in ipairs(makers) do list[#list + 1] = make() end
    for _, flags in ipairs { "", "#!lua\n", "#!lua flags=allow-oom\n",
      "#!lua flags=no-writes\n" } do
      local source = flags .. [[return redis.call("HLEN", KEYS[1])]]
      list[#list + 1] = { "EVAL", source, "1", "a" }
    end
    list[#list + 1] = { "EVAL", [[return redis.call("HSET", KEYS[1], "f", 1)]], "1", "a" }
    return list
  end

  -- The code alone: which words follow it depends on settings.
  local function code(reply)
    local found = type(reply) == "table" and reply.err
    return found and found:match "^%S+" or "an answer"
  end

  local function compare_refusals(only)
    for _, request in ipairs(refused_requests()) do
      if not only or only[request[1]] then
        compare(request, code)
        compare { "MULTI" }
        compare(request, code)
        compare({ "EXEC" }, code)
      end
    end
  end

  it("refuses the same when its memory is full", function()
    for _ = 1, 200 do compare(draw()) end
    compare { "SELECT", "0" }
    server:command("CONFIG", "SET", "maxmemory", "1")
    model.condition = "oom"
    compare_refusals()
  end)

  it("refuses the same as a replica", function()
    for _ = 1, 200 do compare(draw()) end
    compare { "SELECT", "0" }
    server:command("REPLICAOF", "127.0.0.1", "1")
    model.condition = "readonly"
    compare_refusals()
  end)

  it("refuses the same while a script does not end", function()
    compare { "HSET", "a", "f", "1" }
    server:command("CONFIG", "SET", "busy-reply-threshold", "1")
    local endless = server:connect()
    endless:send { { "EVAL", "while true do end", "0" } }
    assert.is_true(clock.wait_for(function()
      return code(ask_real { "PING" }) == "BUSY"
    end))
    model.condition = "busy"
    compare_refusals {
      HGET = true, HSET = true, PING = true, TIME = true, CLIENT = true, INFO = true,
      SELECT = true, EVAL = true, EVALSHA = true, SCRIPT = true,
    }
    server:command("SCRIPT", "KILL")
    endless:receive()
    endless:close()
    server:command("CONFIG", "SET", "busy-reply-threshold", "5000")
  end)

  it("has no client any more that was killed", function()
    local id = ask_real { "CLIENT", "ID" }
    local others = { real = server:connect(), model = model:accept() }
    local real_id = others.real:command("CLIENT", "ID")
    assert.is_true(real_id > id)
    assert.equal(ask_real { "CLIENT", "KILL", "ID", tostring(real_id) },
      ask_model { "CLIENT", "KILL", "ID", tostring(others.model.id) })
    assert.is_false(others.real:is_open())
    assert.is_true(others.model.is_dead)
    assert.same({}, model:receive(others.model, "*1\r\n$4\r\nPING\r\n"))
    assert.equal(ask_real { "CLIENT", "KILL", "ID", tostring(real_id) },
      ask_model { "CLIENT", "KILL", "ID", tostring(others.model.id) })
    assert.equal(ask_real { "CLIENT", "KILL", "ID", tostring(id) },
      ask_model { "CLIENT", "KILL", "ID", tostring(client.id) })
    compare({ "CLIENT", "KILL", "ID", "0" })
    compare({ "CLIENT", "KILL", "ID", "x" })
    others.real:close()
  end)

  it("reads requests wherever their bytes are cut", function()
    local input = "*3\r\n$4\r\nHSET\r\n$1\r\nk\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n"
    local whole = table.concat(model:receive(client, input))
    for cut = 1, #input - 1 do
      local other = model:accept()
      local replies = table.concat(model:receive(other, input:sub(1, cut))) ..
        table.concat(model:receive(other, input:sub(cut + 1)))
      assert.equal(whole, replies, cut)
    end
  end)

  it("forgets scripts, clients and its name when it ends, and keeps its data", function()
    model:request(client, { "SET", "k", "v" })
    local digest = model:request(client, { "SCRIPT", "LOAD", "return 1" })
    local before = model.run_id
    model:begin_run()
    assert.is_true(client.is_dead)
    local after = model:accept()
    assert.equal(1, after.id)
    assert.equal("v", model:request(after, { "GET", "k" }))
    assert.match("^NOSCRIPT", model:request(after, { "EVALSHA", digest, "0" }).err)
    assert.equal(40, #before)
    assert.equal(core.sha1_hex "return 1", digest)
  end)
end)
