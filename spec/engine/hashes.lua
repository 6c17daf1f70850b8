-- SPDX-License-Identifier: MIT

--- A Redis of hashes, for the scripted peer: what HMGET, HGET, HSET, HDEL, HINCRBY,
-- EXISTS and transactions of these answer.
--
--    hashes.each_cut({ k = { a = "1" }, bad = "a string" }, function(p, lane)
--      return hashes.ends_of(p, { p:read(lane, "k", { "a" }) })
--    end)
-- @module spec.engine.hashes

local peer = require "spec.engine.peer"

local META = "meta"

local hashes = {
  WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value",
}

local NIL, OK, QUEUED = "$-1\r\n", "+OK\r\n", "+QUEUED\r\n"

local commands = {}

local function value(hash, field)
  return hash[field] and peer.bulk(hash[field]) or NIL
end

function commands.HGET(hash, words)
  return value(hash, words[3])
end

function commands.HMGET(hash, words)
  local values = {}
  for i = 3, #words do values[#values + 1] = value(hash, words[i]) end
  return peer.array(values)
end

function commands.HSET(hash, words)
  local added = 0
  for i = 3, #words, 2 do
    added = added + (hash[words[i]] and 0 or 1)
    hash[words[i]] = words[i + 1]
  end
  return (":%d\r\n"):format(added)
end

function commands.HDEL(hash, words)
  local removed = 0
  for i = 3, #words do
    removed = removed + (hash[words[i]] and 1 or 0)
    hash[words[i]] = nil
  end
  return (":%d\r\n"):format(removed)
end

function commands.HINCRBY(hash, words)
  local number = tonumber(hash[words[3]] or "0") + tonumber(words[4])
  hash[words[3]] = ("%.0f"):format(number)
  return (":%.0f\r\n"):format(number)
end

local function exists(stored, words)
  local count = 0
  for i = 2, #words do count = count + (stored[words[i]] and 1 or 0) end
  return (":%d\r\n"):format(count)
end

local function execute(stored, words)
  local key = words[2]
  if words[1] == "EXISTS" then return exists(stored, words) end
  if type(stored[key]) == "string" then return "-" .. hashes.WRONG_TYPE .. "\r\n" end
  local hash = stored[key] or {}
  local reply = commands[words[1]](hash, words)
  stored[key] = next(hash) and hash or nil
  return reply
end

--- Answers for a peer.
-- @param stored by key a table of fields and values, or a string, which is no hash;
--   changed by what the peer is asked
function hashes.answers(stored)
  local queues, answers = {}, {}
  for name in pairs(commands) do answers[name] = true end
  answers.EXISTS = true
  for name in pairs(answers) do
    answers[name] = function(words, connection)
      local queue = queues[connection]
      if not queue then return execute(stored, words) end
      queue[#queue + 1] = words
      return QUEUED
    end
  end
  function answers.MULTI(_, connection)
    queues[connection] = {}
    return OK
  end
  function answers.EXEC(_, connection)
    local replies = {}
    for i, words in ipairs(queues[connection]) do replies[i] = execute(stored, words) end
    queues[connection] = nil
    return peer.array(replies)
  end
  return answers
end

local function copy_of(stored)
  local copy = {}
  for key, hash in pairs(stored) do
    copy[key] = type(hash) == "table" and copy_of(hash) or hash
  end
  return copy
end

local function begin(p, config, stored)
  stored = copy_of(stored)
  p:start(config)
  p:ready()
  p:forget_commands()
  p.answers = hashes.answers(stored)
  return p, p.engine:lane(META), stored
end

--- A peer whose connections are ready to talk to a Redis of hashes.
-- @param config of the engine
-- @param stored what is there (copied)
-- @return the peer
-- @return a lane whose meta key is "meta"
-- @return what is stored from now on
function hashes.ready(config, stored)
  return begin(peer.new(), config, stored)
end

--- The same as a scenario with every cut: see peer.each_cut.
-- @param work function of what `ready` returns
function hashes.each_cut(stored, work)
  return peer.each_cut(function(p) return work(begin(p, {}, stored)) end)
end

-- What became of an operation: its first reply, or "code: message".
local function result_of(ended)
  if ended.code then return ended.code .. ": " .. ended.message end
  if type(ended.replies) ~= "table" then return ended.replies end
  return ended.replies[1]
end

--- Pumps until nothing is left.
-- @param slots of all operations that were not told yet
-- @return list of what became of them: of a read the values, of a plain write its
--   version, of other commands the first reply, of all "code: message" when they failed
function hashes.ends_of(p, slots)
  local results, list = {}, {}
  p:pump()
  for _, ended in ipairs(p:ends()) do
    assert(results[ended.slot] == nil, "two completions of one slot")
    results[ended.slot] = result_of(ended)
  end
  for i, slot in ipairs(slots) do list[i] = results[slot] end
  assert(p.engine:statistics().queued_operations == 0)
  assert(p.engine:statistics().queued_bytes == 0)
  return list
end

return hashes
