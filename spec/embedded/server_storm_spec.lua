-- SPDX-License-Identifier: MIT

-- The server is killed under a burst of commits, again and again: its users see no error,
-- and every commit takes effect exactly once.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local lfs = require "lfs"
local private_server = require "spec.embedded.private_server"
local program = require "spec.embedded.program"
local random = require "spec.support.random"
local servers = require "spec.embedded.servers"

local WRITERS, SESSIONS_EACH, KILLS = 4, 5, 200
local AWAIT_MS, LOOK_MS = 30000, 5
local LONGEST_LIFE_MS, REWRITE_DELAY_US = 40, 500

-- arg: directory, name, number of sessions, path of the file that ends it
local WRITER = [[
local store = open { data_dir = arg[1], append_fsync = "always" }
local sessions, number = {}, 0
for i = 1, tonumber(arg[3]) do sessions[i] = store:session(arg[2] .. "." .. i) end
report "open"
local file
repeat
  number = number + 1
  local value = { n = number }
  for _, session in ipairs(sessions) do
    local version, message, code = session:commit({
      creds = value,
      keys = {
        session = { a = value, b = value, c = value },
        ["pre-key"] = { ["1"] = value, [tostring(1 + number % 7)] = value },
        ["sender-key"] = { x = value },
      },
    }, { timeout_ms = 30000 })
    if version then
      report("told", session.id, number, version)
    else
      report("error", session.id, number, code, message, session:last_commit())
    end
  end
  file = io.open(arg[4])
until file
local is_closed, message, code = store:close()
report(is_closed and "done" or "not closed", code, message)
]]

describe("the private server killed 200 times under commits", function()
  local directory, writers

  before_each(function()
    directory = servers.directory() .. "/state"
    writers = {}
  end)

  after_each(function()
    for _, writer in ipairs(writers) do writer:kill() end
    servers.end_all(directory)
  end)

  local function start_writers()
    for i = 1, WRITERS do
      writers[i] = program.start {
        directory, tostring(i), tostring(SESSIONS_EACH), directory .. ".stop",
        text = WRITER,
      }
    end
    for _, writer in ipairs(writers) do program.await(writer, "open") end
  end

  -- How many bytes the writers have reported: they report nothing but commits.
  local function progress()
    local bytes = 0
    for _, writer in ipairs(writers) do
      assert(writer:alive(), writer:output():match "[^\n]*\n$")
      bytes = bytes + lfs.attributes(writer.stdout, "size")
    end
    return bytes
  end

  -- Waits for the one server; after most of the kills for it to have acknowledged
  -- something, so that the others meet it while it starts.
  local function await_server(dice, bytes)
    local must_progress = dice:chance(0.7)
    return assert(clock.wait_for(function()
      clock.sleep(LOOK_MS) -- the processor is for those that are watched
      local pids = servers.of(directory)
      assert.is_true(#pids <= 1)
      return #pids == 1 and (not must_progress or progress() > bytes) and pids[1]
    end, AWAIT_MS))
  end

  -- Has it rewrite its log: at once, or in more time than it has left to live.
  local function start_rewrite(dice)
    local delay = tostring(dice:pick { 0, REWRITE_DELAY_US })
    pcall(private_server.ask, directory, "CONFIG", "SET", "rdb-key-save-delay", delay)
    pcall(private_server.ask, directory, "BGREWRITEAOF")
  end

  -- Kills the server under the commits. How many of the kills came after a commit that
  -- the server had acknowledged, and how many while a child rewrote the log.
  local function kill_again_and_again(dice)
    local kills_amid, rewrites = 0, 0
    for kill = 1, KILLS do
      local bytes = progress()
      local pid = await_server(dice, bytes)
      if kill % 3 == 0 then start_rewrite(dice) end
      clock.sleep(dice:fraction() * LONGEST_LIFE_MS)
      if progress() > bytes then kills_amid = kills_amid + 1 end
      if #servers.using(directory) > 1 then rewrites = rewrites + 1 end
      servers.end_process(pid)
    end
    return kills_amid, rewrites
  end

  -- What the writers were told: session id to the newest number, how many commits were
  -- acknowledged, and how many ended otherwise; all that they should not have seen; and
  -- how many commits were acknowledged in all.
  local function read_reports()
    local told, wrong, commits = {}, {}, 0
    for _, writer in ipairs(writers) do
      for line in writer:output():gmatch "([^\n]*)\n" do
        local words = program.split(line)
        local id = (words[1] == "told" or words[1] == "error") and words[2]
        if id and not told[id] then
          told[id] = { newest = 0, acknowledged = 0, unknown = 0 }
        end
        if words[1] == "told" then
          commits = commits + 1
          told[id].newest = tonumber(words[3])
          told[id].acknowledged = told[id].acknowledged + 1
          if words[3] ~= words[4] then wrong[#wrong + 1] = line end
        elseif words[1] ~= "open" and words[1] ~= "done" then
          wrong[#wrong + 1] = line
          if id then told[id].unknown = told[id].unknown + 1 end
        end
      end
    end
    return told, wrong, commits
  end

  -- Whether all records of a session are of one number.
  local function is_whole(loaded)
    local n, keys = loaded.creds.n, loaded.keys
    local is_one = keys.session.a.n == n and keys.session.b.n == n and
      keys.session.c.n == n and keys["sender-key"].x.n == n
    for id, value in pairs(keys["pre-key"]) do
      -- One of seven is written with each commit, so the others are older.
      local oldest = id == "1" and n or n - 6
      is_one = is_one and value.n >= oldest and value.n <= n
    end
    return is_one
  end

  -- Compares what is stored with what was told. Each commit made one version, so there
  -- are as many as were acknowledged, and at most as many as were sent.
  local function check_sessions(store, told)
    local lost, doubled, torn = 0, 0, {}
    for id, of_session in pairs(told) do
      local loaded = assert(store:session(id):load())
      if not is_whole(loaded) then torn[#torn + 1] = id end
      local sent = of_session.acknowledged + of_session.unknown
      lost = lost + math.max(0, of_session.acknowledged - loaded.version,
        of_session.newest - loaded.creds.n)
      doubled = doubled + math.max(0, loaded.version - sent)
    end
    return lost, doubled, torn
  end

  it("loses nothing, does nothing twice, and no user sees an error", function()
    local dice = random.new()
    start_writers()
    local started_ms = clock.now_ms()
    local kills_amid, rewrites = kill_again_and_again(dice)
    io.open(directory .. ".stop", "w"):close()
    for _, writer in ipairs(writers) do
      assert.equal(0, writer:wait(AWAIT_MS), writer:errors() .. writer:output():sub(-300))
    end
    local took_s = (clock.now_ms() - started_ms) / 1000
    local told, wrong, commits = read_reports()
    local store = assert(authstate.open { data_dir = directory, append_fsync = "always" })
    local lost, doubled, torn = check_sessions(store, told)
    assert(store:close())
    print(("\n%d kills in %.1f s, %d of them amid commits, %d with a rewrite; %d commits "
      .. "acknowledged, %d lost, %d doubled; %d sessions torn; SEED=%.0f"):format(KILLS,
      took_s, kills_amid, rewrites, commits, lost, doubled, #torn, dice.seed))
    assert.same({}, wrong)
    assert.equal(0, lost)
    assert.equal(0, doubled)
    assert.same({}, torn)
    assert.is_true(kills_amid >= KILLS / 2)
    assert.is_true(rewrites > 0)
    assert.is_true(commits >= 10 * KILLS)
    local sessions = 0
    for _ in pairs(told) do sessions = sessions + 1 end
    assert.equal(WRITERS * SESSIONS_EACH, sessions)
  end)
end)
