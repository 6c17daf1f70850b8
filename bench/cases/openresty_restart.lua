-- SPDX-License-Identifier: MIT
-- An nginx worker under load whose Redis is killed and started again: how many requests
-- are answered in the second after Redis answers PING, next to the second before it died.
-- The worker counts, by its own clock; wrk does not stop.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local goals = require "bench.harness.goals"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local statistics = require "bench.harness.statistics"

local CLIENTS = 64

-- How long wrk asks, and after what time Redis is killed, and started.
local LOAD_S, BEFORE_MS, DOWN_MS = 6, 1500, 700

-- What is counted together.
local BUCKET_MS = 10

local DEADLINE_MS = 5000

local HTTP = [[
keepalive_timeout 60s;
init_by_lua_block {
  store = assert(require("authstate").open {
    enable_cache = false,
    redis = { url = "%s", socket = { command_timeout_ms = %d } },
  })
  session = store:session "s"
  answered, codes, longest_ms = {}, {}, 0
  function note(found, code, began)
    local now = ngx.now()
    if found then
      local bucket = math.floor(now * 1000 / %d)
      answered[bucket] = (answered[bucket] or 0) + 1
    else
      codes[code] = (codes[code] or 0) + 1
    end
    longest_ms = math.max(longest_ms, (now - began) * 1000)
  end
}
init_worker_by_lua_block { assert(store:on_worker_start()) }
]]

local SERVER = [[
location = /read { content_by_lua_block {
  local began = ngx.now()
  local found, message, code = session.keys:get_json("session", { "1" })
  note(found, code, began)
  ngx.print(found and found["1"] or code)
} }
location = /counts { content_by_lua_block {
  for bucket, count in pairs(answered) do ngx.say(bucket, " ", count) end
  for code, count in pairs(codes) do ngx.say(code, " ", count) end
  ngx.say("longest ", longest_ms)
} }
]]

local function start()
  local redis = redis_server.start { config = { appendonly = "yes" } }
  local store = assert(authstate.open { redis = redis.url, enable_cache = false })
  assert(store:session "s".keys:set { session = { ["1"] = { text = ("x"):rep(300) } } })
  assert(store:close())
  local server = nginx.start {
    http = HTTP:format(redis.url, DEADLINE_MS, BUCKET_MS), server = SERVER,
    level = "emerg",
  }
  return redis, server
end

-- { [number of a bucket] = answers, [code] = failures, longest = ms }
local function read_counts(server)
  local counts = {}
  local _, body = server:get "/counts"
  for name, count in body:gmatch "(%S+) (%S+)\n" do
    counts[tonumber(name) or name] = tonumber(count)
  end
  return counts
end

-- Answers in the second from some time on.
local function second_from(counts, from_ms)
  local first, sum = math.floor(from_ms / BUCKET_MS), 0
  for i = first, first + 1000 / BUCKET_MS - 1 do sum = sum + (counts[i] or 0) end
  return sum
end

-- How long after some time the first answer came.
local function first_answer_ms(counts, from_ms)
  local bucket = math.floor(from_ms / BUCKET_MS)
  for i = bucket, bucket + LOAD_S * 1000 / BUCKET_MS do
    if counts[i] then return (i - bucket) * BUCKET_MS end
  end
  return math.huge
end

local function is_documented(name)
  return type(name) == "number" or name == "longest" or name == "timeout" or
    name == "unavailable" or name == "loading"
end

local function check(counts, load)
  local said = load:output()
  if not said:find "Requests/sec" or said:find "Socket errors" then
    return nil, "wrk: " .. said .. load:errors()
  end
  for name, count in pairs(counts) do
    if not is_documented(name) then
      return nil, ("%d requests got %s"):format(count, name)
    end
  end
  return true
end

-- { ratio, first_ms, longest_ms, failures }; or nil and a sentence.
local function take_round()
  local redis, server = start()
  local load = process.start {
    "wrk", "-t1", "-c" .. CLIENTS, "-d" .. LOAD_S .. "s", "--timeout", "10s",
    server.url .. "/read",
  }
  clock.sleep(BEFORE_MS)
  local killed_ms = clock.now_ms()
  redis:kill()
  clock.sleep(DOWN_MS)
  redis:restart()
  local answers_ms = clock.now_ms()
  load:wait(LOAD_S * 1000 + 10000)
  local counts = read_counts(server)
  server:kill()
  redis:stop()
  local is_fine, reason = check(counts, load)
  if not is_fine then return nil, reason end
  -- What was counted together with the kill is neither before it nor after.
  local before = second_from(counts, killed_ms - 1000 - BUCKET_MS)
  return {
    ratio = second_from(counts, answers_ms) / before,
    first_ms = first_answer_ms(counts, answers_ms), longest_ms = counts.longest,
    failures = (counts.unavailable or 0) + (counts.timeout or 0) + (counts.loading or 0),
  }
end

local function conclude(rounds)
  local rows, ratios, firsts = {}, {}, {}
  for i, round in ipairs(rounds) do
    ratios[i], firsts[i] = round.ratio, round.first_ms
    rows[i] = { tostring(i), ("%.2f"):format(round.ratio), tostring(round.first_ms),
      ("%.0f"):format(round.longest_ms), tostring(round.failures) }
  end
  return {
    versions = {}, figures = { rounds = rounds },
    tables = { {
      title = ("one worker, %d connections; Redis is away for some %d ms"):format(CLIENTS,
        DOWN_MS),
      columns = { "round", "rate after : before", "first answer ms", "longest request ms",
        "failures" },
      rows = rows,
    } },
    goals = {
      goals.at_least("restart", "requests/s in the second after PING answers : before",
        statistics.quartiles(ratios).median, 0.9),
      goals.at_most("restart", "first answer after PING answers, ms, : 100",
        statistics.quartiles(firsts).median / 100, 1),
    },
    sentences = {
      "wrk, nginx and Redis share the processors: what else the machine does shows in "
        .. "the rates.",
    },
  }
end

return {
  name = "openresty_restart",
  sentence = "an nginx worker whose Redis is killed and started again under load",
  measure = function(context)
    local rounds = {}
    for i = 1 - context.knobs.WARMUP, context.knobs.ROUNDS do
      local round, reason = take_round()
      if not round then return nil, reason end
      if i >= 1 then rounds[i] = round end
      context.on_round(i)
    end
    return conclude(rounds)
  end,
}
