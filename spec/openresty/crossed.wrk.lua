-- SPDX-License-Identifier: MIT
-- luacheck: ignore 111 112 113 121 (what wrk calls, and gives, are globals)
-- What wrk asks in many_requests_spec.lua: reads and writes of random records. An answer
-- names the record that was asked for and the one that was given: they must be one.

local IDS = 1000
local ONLY_PATH = os.getenv "ONLY_PATH"

-- Of 20 requests; the others are "/get".
local PATHS = { "/set", "/absent", "/absent", "/several", "/several", "/several" }

local wrong = 0
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
  thread:set("seed", #threads)
end

-- Lehmer's generator: each thread has numbers of its own, the same in each run.
local state

local function random(last)
  state = state * 16807 % 2147483647
  return state % last + 1
end

function init()
  state = seed
end

function request()
  local id, kind = random(IDS), random(20)
  local path = ONLY_PATH or PATHS[kind] or "/get"
  return ("GET %s?id=%d HTTP/1.1\r\nHost: x\r\n\r\n"):format(path, id)
end

function response(status, _, body)
  local asked, given = body:match "^(%d+) (%d+)$"
  if status ~= 200 or not asked or asked ~= given then
    wrong = wrong + 1
    if wrong <= 3 then print("wrong:", status, body) end
    wrong_answers = wrong
  end
end

function done(summary)
  local total = 0
  for _, thread in ipairs(threads) do
    total = total + (thread:get "wrong_answers" or 0)
  end
  local errors = summary.errors
  print(("answers %d wrong %d errors %d"):format(summary.requests, total, errors.connect
    + errors.read + errors.write + errors.status + errors.timeout))
end
