-- SPDX-License-Identifier: MIT

-- authstate as a peer, with one fault:
--
--     luajit spec/bench/faulty_peer.lua FAULT CALL [FILE]
--
-- The fault happens in the call of that number, counted from 1 after `prepare`.

local authstate = require "authstate"
local keys = require "authstate.keys"
local resp_client = require "spec.support.resp_client"

local FAULT, CALL, FILE = arg[1], tonumber(arg[2]), arg[3]

local Keys = getmetatable(keys.new {}).__index
local calls = 0

-- Replaces a method by one that calls `wrong` once, in place of the right one.
local function spoil(name, wrong)
  local right = Keys[name]
  Keys[name] = function(...)
    calls = calls + 1
    return (calls == CALL and wrong or right)(...)
  end
  return right
end

-- Changes the answers to the harness.
local function spoil_answers(change)
  local write = io.write
  rawset(io, "write", function(answer, ...) return write(change(answer), ...) end)
end

local faults = {}

function faults.none() end

function faults.skip_read()
  local right
  right = spoil("get", function(self, kind, ids)
    local found = assert(right(self, kind, ids))
    found[ids[#ids]] = nil
    return found
  end)
end

function faults.exchange()
  local right
  right = spoil("get", function(self, kind, ids)
    local found = assert(right(self, kind, ids))
    found[ids[1]], found[ids[2]] = found[ids[2]], found[ids[1]]
    return found
  end)
end

function faults.skip_write()
  local right
  right = spoil("set", function(self, changes)
    local kind, records = next(changes)
    local all_but_one = {}
    for id, value in pairs(records) do all_but_one[id] = value end
    all_but_one[next(records)] = nil
    return right(self, { [kind] = all_but_one })
  end)
end

function faults.die()
  spoil("get", function()
    io.stderr:write "out of paper\n"
    os.exit(3)
  end)
end

function faults.raise()
  spoil("get", function() error "out of ink" end)
end

function faults.fewer_operations()
  spoil_answers(function(answer)
    return (answer:gsub("operations=(%d+)", function(count)
      return "operations=" .. count - 1
    end))
  end)
end

local function note(text)
  local file = assert(io.open(FILE, "a"))
  file:write(text, "\n")
  file:close()
end

-- No fault: writes the session of each read into a file.
function faults.note_sessions()
  local get = Keys.get
  Keys.get = function(self, ...)
    note(self.session.id)
    return get(self, ...)
  end
end

local function read_processors(pid)
  local file = assert(io.open("/proc/" .. pid .. "/status"))
  local list = file:read "*a":match "Cpus_allowed_list:%s*(%S+)"
  file:close()
  return list
end

-- No fault: writes where the server and this peer may run.
function faults.note_processors()
  local open = authstate.open
  authstate.open = function(options)
    local socket = options.redis:match "^unix://(.*)"
    local client = assert(resp_client.connect { socket = socket })
    local server = client:command("INFO", "server"):match "process_id:(%d+)"
    client:close()
    note(("server %s, peer %s"):format(read_processors(server), read_processors "self"))
    return open(options)
  end
end

-- No fault: writes a line for each run into a file, for a spec to see the order.
function faults.note()
  spoil_answers(function(answer)
    if answer:find "^done" then note(CALL) end
    return answer
  end)
end

faults[FAULT]()
dofile "bench/peers/authstate.lua"
