-- SPDX-License-Identifier: MIT
-- One nginx worker that answers with one record of the fixture as JSON: through
-- authstate with the near cache and without, through a pool of lua-resty-redis sockets
-- that GET a string of the same text, and without any Redis. wrk asks one after the
-- other, in each round another one first. All share the processors, unless
-- PROCESSORS=two gives the worker one of its own.

local authstate = require "authstate"
local goals = require "bench.harness.goals"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local processor = require "bench.harness.processor"
local redis_server = require "spec.support.redis_server"
local statistics = require "bench.harness.statistics"

local CLIENTS, SECONDS, POOL = 64, 1, 128
local OURS, CACHED, RESTY, NONE =
  "authstate, no cache", "authstate, cache", "lua-resty-redis", "no Redis"
local NAMES = { OURS, CACHED, RESTY, NONE }
local PATHS = {
  [OURS] = "/authstate", [CACHED] = "/cached", [RESTY] = "/resty", [NONE] = "/none",
}

local TYPE, SESSION = "session", "5511900000002"

local HTTP = [[
keepalive_timeout 60s;
init_by_lua_block {
  text = ${text}
  store = assert(require("authstate").open { redis = "${url}", enable_cache = false })
  cached_store = assert(require("authstate").open {
    redis = "${url}", enable_cache = true,
  })
  session = store:session "${session}"
  cached_session = cached_store:session "${session}"
}
init_worker_by_lua_block {
  assert(store:on_worker_start())
  assert(cached_store:on_worker_start())
}
]]

local SERVER = [[
default_type application/json;
location = /authstate { content_by_lua_block {
  local found, message = session.keys:get_json("${type}", { "${id}" })
  if not found then
    ngx.log(ngx.ERR, message)
    return ngx.exit(500)
  end
  ngx.print(found["${id}"])
} }
location = /cached { content_by_lua_block {
  local found, message = cached_session.keys:get_json("${type}", { "${id}" })
  if not found then
    ngx.log(ngx.ERR, message)
    return ngx.exit(500)
  end
  ngx.print(found["${id}"])
} }
location = /resty { content_by_lua_block {
  local client = require("nginx.redis"):new()
  local is_fine, message = client:connect("unix:${socket}")
  local found
  if is_fine then found, message = client:get "record" end
  if not found then
    ngx.log(ngx.ERR, message)
    return ngx.exit(500)
  end
  ngx.print(found)
  client:set_keepalive(60000, ${pool})
} }
location = /none { content_by_lua_block { ngx.print(text) } }
]]

-- The record whose text is as long as most.
local function pick_record(texts)
  local list = {}
  for id, text in pairs(texts.keys[TYPE]) do
    list[#list + 1] = { id = id, text = text }
  end
  table.sort(list, function(a, b)
    if #a.text ~= #b.text then return #a.text < #b.text end
    return a.id < b.id
  end)
  local record = list[math.ceil(#list / 2)]
  return record.id, record.text
end

local function start(redis, id, text)
  local store = assert(authstate.open { redis = redis.url, enable_cache = false })
  assert(store:session(SESSION).keys:set_json { [TYPE] = { [id] = text } })
  assert(store:close())
  assert(redis:command("SET", "record", text))
  local places = {
    text = ("%q"):format(text), url = redis.url, session = SESSION, type = TYPE, id = id,
    socket = redis.socket, pool = POOL,
  }
  local function fill(template) return (template:gsub("%${(%w+)}", places)) end
  return nginx.start { http = fill(HTTP), server = fill(SERVER), level = "error" }
end

-- Requests/s and the 99th percentile in ms of one turn; or nil and a sentence.
local function take_turn(server, others, name, text)
  local status, body = server:get(PATHS[name])
  if status ~= 200 or body ~= text then
    return nil, ("%s: answered %s, not the record"):format(name, tostring(status))
  end
  local _, out, err = process.run(processor.keep(others, {
    "wrk", "-t1", "-c" .. CLIENTS, "-d" .. SECONDS .. "s", "--latency",
    server.url .. PATHS[name],
  }))
  local rate = tonumber(out:match "Requests/sec:%s+([%d.]+)")
  local number, unit = out:match "99%%%s+([%d.]+)(%a+)"
  if not rate or out:find "Non%-2xx" or out:find "Socket errors" then
    return nil, ("%s: wrk: %s%s"):format(name, out, err)
  end
  return rate, tonumber(number) * ({ us = 0.001, ms = 1, s = 1000 })[unit]
end

local function measure_rounds(server, others, text, knobs, on_round)
  local rates, tails = {}, {}
  for _, name in ipairs(NAMES) do rates[name], tails[name] = {}, {} end
  for round = 1 - knobs.WARMUP, knobs.ROUNDS do
    for i = 1, #NAMES do
      local name = NAMES[(i + round) % #NAMES + 1]
      local rate, tail = take_turn(server, others, name, text)
      if not rate then return nil, tail end
      if round >= 1 then rates[name][round], tails[name][round] = rate, tail end
    end
    on_round(round)
  end
  return rates, tails
end

local function row(name, rates, tails)
  local rate, tail = statistics.quartiles(rates[name]), statistics.quartiles(tails[name])
  local ratio = statistics.quartiles(statistics.ratios(rates[OURS], rates[name]))
  return {
    name, ("%.0f"):format(rate.median), ("%.2f"):format(tail.median),
    ("%.2f [%.2f .. %.2f]"):format(ratio.median, ratio.q1, ratio.q3),
  }
end

local function conclude(id, text, rates, tails)
  local function median(list) return statistics.quartiles(list).median end
  local rows = {}
  for i, name in ipairs(NAMES) do rows[i] = row(name, rates, tails) end
  local what = ("%s %s, %d bytes of JSON"):format(TYPE, id, #text)
  return {
    versions = {}, figures = { rates = rates, p99_ms = tails },
    tables = { {
      title = what .. (": one worker, %d connections"):format(CLIENTS), rows = rows,
      columns = { "", "requests/s", "p99 ms", "ours : this" },
    } },
    goals = {
      goals.at_least(TYPE, "requests/s of ours : lua-resty-redis",
        median(statistics.ratios(rates[OURS], rates[RESTY])), 1.5),
      goals.at_least(TYPE, "requests/s of ours : no Redis",
        median(statistics.ratios(rates[OURS], rates[NONE])), 0.65),
      goals.at_least(TYPE, "requests/s of ours with the cache : no Redis",
        median(statistics.ratios(rates[CACHED], rates[NONE])), 0.85),
      goals.at_most(TYPE, "p99 of ours : lua-resty-redis",
        median(statistics.ratios(tails[OURS], tails[RESTY])), 1),
    },
    sentences = {
      ("wrk, nginx and Redis share the processors as PROCESSORS says; lua-resty-redis "
        .. "has a pool of %d sockets."):format(POOL),
    },
  }
end

return {
  name = "openresty",
  sentence = "an nginx worker answers with one record: through authstate, through "
    .. "lua-resty-redis, and from its own memory",
  measure = function(context)
    local sessions = context.sessions
    local id, text = pick_record(sessions[#sessions].texts)
    local redis = redis_server.start()
    local server = start(redis, id, text)
    local others, workers = processor.split(context.knobs.PROCESSORS or "free")
    processor.bring(others, redis.process:pid())
    for _, pid in ipairs(server:workers()) do processor.bring(workers, pid) end
    local rates, tails =
      measure_rounds(server, others, text, context.knobs, context.on_round)
    server:kill()
    redis:stop()
    if not rates then return nil, tails end
    return conclude(id, text, rates, tails)
  end,
}
