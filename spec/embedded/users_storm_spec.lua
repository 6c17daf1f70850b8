-- SPDX-License-Identifier: MIT

-- Users come, write, go and die at any moment, by the thousand, and so does the server:
-- there is one server at any time, and what a user was told is there at the end.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local private_server = require "spec.embedded.private_server"
local process = require "spec.support.process"
local program = require "spec.embedded.program"
local random = require "spec.support.random"
local servers = require "spec.embedded.servers"
local temporary = require "spec.support.temporary"
local watcher = require "spec.embedded.watcher"

-- 400 lives; `make check`, which runs the specs under the sanitizers, has time for 1,000.
local ROUNDS = os.getenv "AUTHSTATE_BUILD" == "sanitize" and 20 or 8
local USERS, SESSIONS = 50, 25
local TIMEOUT_MS = 180000
local SERVER_KILL_CHANCE, MIN_SERVER_KILLS = 0.03, ROUNDS / 2
local MIN_LOOKS = 50 * ROUNDS
local RECORDS = { { "t", "a" }, { "t", "b" }, { "u", "c" }, { "u", "d" } }

-- arg: directory, name, session, wait_ms, commits, the step from which on it is to be
-- killed, and how long after; it waits until its stdin ends.
-- The kernel's timer sends SIGKILL whatever the program is doing then.
local LIFE = [[
local ffi = require "ffi"
ffi.cdef [=[
struct spec_event { void *value; int signo, notify, rest[12]; };
struct spec_timer { long every_s, every_ns, first_s, first_ns; };
int timer_create(int clock, struct spec_event *event, void **timer);
int timer_settime(void *timer, int flags, const struct spec_timer *new, void *old);
]=]
local directory, name, session_id = arg[1], arg[2], arg[3]
local wait_ms, commits, end_step, end_ms =
  tonumber(arg[4]), tonumber(arg[5]), arg[6], tonumber(arg[7])

local function reach(step)
  report(step)
  if step ~= end_step then return end
  local timer = ffi.new "void *[1]"
  local event = ffi.new("struct spec_event", { signo = 9 })
  assert(ffi.C.timer_create(1, event, timer) == 0)
  local times = ffi.new("struct spec_timer",
    { first_s = 0, first_ns = math.max(1, end_ms * 1e6) })
  assert(ffi.C.timer_settime(timer[0], 0, times, nil) == 0)
end

local function check(done, message, code)
  if done then return done end
  report("error", code, message)
  os.exit(3)
end

io.read "*a"
core.sleep_ms(wait_ms)
reach "opening"
local store = check(open { data_dir = directory, append_fsync = "always" })
reach "writing"
local session, count = store:session(session_id), 0
while count < commits or end_step == "writing" do
  count = count + 1
  local mark = name .. "." .. count
  local value = { mark = mark }
  check(session:commit({
    creds = { last = mark },
    keys = {
      t = { [mark .. ".a"] = value, [mark .. ".b"] = value },
      u = { [mark .. ".c"] = value, [mark .. ".d"] = value },
    },
  }, { timeout_ms = 30000 }))
  report("wrote", mark)
end
reach "closing"
check(store:close())
report "closed"
]]

-- How long after a step a user is killed, at most. One that closes is done in 5 to 30 ms.
local STEPS = { opening = 60, writing = 80, closing = 30 }

-- What one user does: the words of its program after the directory.
local function plan(dice, round, user)
  local step = dice:pick { "opening", "opening", "writing", "closing", "closing", "none" }
  return {
    ("%d.%d"):format(round, user), "s" .. user % SESSIONS,
    dice:chance(0.5) and 0 or dice:integer(0, 200), dice:integer(0, 6),
    step, ("%.3f"):format(dice:fraction() * (STEPS[step] or 0)),
  }
end

-- A shell that starts all users of a round and then lets them go at once, round after
-- round. A user's stdin ends when the shell closes its end of the pipe.
local function script_of(dice, directory, output)
  local luajit, path = program.words_for(LIFE)
  local lines = { "cd " .. process.quote(output), "mkfifo gate" }
  for round = 1, ROUNDS do
    lines[#lines + 1] = "exec 3<>gate"
    for user = 1, USERS do
      local words = { luajit, path, directory }
      for _, word in ipairs(plan(dice, round, user)) do words[#words + 1] = word end
      for i, word in ipairs(words) do words[i] = process.quote(word) end
      lines[#lines + 1] = ("%s <gate >%d.%d 2>>errors 3>&- &"):format(
        table.concat(words, " "), round, user)
    end
    lines[#lines + 1] = "exec 3>&-\nwait"
  end
  return table.concat(lines, "\n") .. "\n"
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

-- What became of all users: how many ended at which step, the marks of all commits that
-- were acknowledged, by session, and the errors that they saw.
local function read_lives(output)
  local ends, told, errors, acknowledged = {}, {}, {}, 0
  for round = 1, ROUNDS do
    for user = 1, USERS do
      local session = "s" .. user % SESSIONS
      local last = "waiting"
      told[session] = told[session] or {}
      for line in read(("%s/%d.%d"):format(output, round, user)):gmatch "([^\n]*)\n" do
        local words = program.split(line)
        if words[1] == "wrote" then
          acknowledged = acknowledged + 1
          table.insert(told[session], words[2])
        elseif words[1] == "error" or words[1] == "failed" then
          errors[#errors + 1] = line
        else
          last = words[1]
        end
      end
      ends[last] = (ends[last] or 0) + 1
    end
  end
  return ends, told, errors, acknowledged
end

-- The marks that are stored in a session, each with the number of its records.
local function stored_marks(loaded)
  local marks = {}
  for _, record in ipairs(RECORDS) do
    for id, value in pairs(loaded and loaded.keys[record[1]] or {}) do
      local mark, suffix = id:match "^(.*)%.(%a)$"
      if suffix == record[2] then
        assert.same({ mark = mark }, value)
        marks[mark] = (marks[mark] or 0) + 1
      end
    end
  end
  return marks
end

-- Compares what is stored with what was told.
local function check_sessions(store, told)
  local lost, torn, stored = {}, {}, 0
  for id, marks in pairs(told) do
    local session = store:session(id)
    local loaded, message = session:load()
    assert.is_nil(message)
    local found = stored_marks(loaded)
    for mark, count in pairs(found) do
      stored = stored + 1
      if count ~= #RECORDS then torn[#torn + 1] = mark end
    end
    for _, mark in ipairs(marks) do
      if not found[mark] then lost[#lost + 1] = mark end
    end
  end
  return lost, torn, stored
end

local function print_storm(storm)
  local ends, watched = storm.ends, storm.watched
  print(("\n%d users in %.1f s; killed: %d opening, %d writing, %d closing; %d closed")
    :format(ROUNDS * USERS, storm.took_s, ends.opening or 0, ends.writing or 0,
    ends.closing or 0, ends.closed or 0))
  print(("the server: %d kills; at most %d at once in %d looks, one in %d of them")
    :format(watched.kills, watched.most, watched.looks, watched.looks_with_one))
  print(("commits: %d acknowledged; SEED=%.0f"):format(storm.acknowledged, storm.seed))
end

describe("the private server and a thousand users", function()
  local directory

  before_each(function()
    directory = servers.directory() .. "/state"
  end)

  after_each(function()
    process.stop_all()
    servers.end_all(directory)
  end)

  -- Lets all users come and go. What became of them, and what they were told.
  local function rage()
    local dice, output, storm = random.new(), temporary.directory(), {}
    storm.seed = dice.seed
    local watch = watcher.start(directory, dice:word(), SERVER_KILL_CHANCE)
    local script = temporary.file(script_of(dice, directory, output), "storm.sh")
    local started_ms = clock.now_ms()
    local users = process.start { "sh", script, env = program.environment() }
    storm.status = users:wait(TIMEOUT_MS)
    storm.took_s = (clock.now_ms() - started_ms) / 1000
    users:kill()
    storm.watched = watch:finish()
    local told
    storm.ends, told, storm.errors, storm.acknowledged = read_lives(output)
    storm.stderr = read(output .. "/errors")
    return storm, told
  end

  it("is one at any time, and keeps what they were told, however they and it end",
    function()
      local storm, told = rage()
      print_storm(storm)
      assert.equal(1, storm.watched.most)
      assert.same({ {}, "", 0 }, { storm.errors, storm.stderr, storm.status })
      assert.is_true(storm.watched.looks >= MIN_LOOKS)
      assert.is_true(storm.watched.looks_with_one >= MIN_LOOKS / 2)
      assert.is_true(storm.watched.kills >= MIN_SERVER_KILLS)
      local lives = 0
      for _, step in ipairs { "opening", "writing", "closing", "closed" } do
        local count = storm.ends[step] or 0
        assert.is_true(count >= ROUNDS, "ended at " .. step)
        lives = lives + count
      end
      assert.equal(ROUNDS * USERS, lives)
      assert.is_true(storm.acknowledged >= ROUNDS * USERS)

      local store = assert(authstate.open { data_dir = directory })
      local lost, torn, stored = check_sessions(store, told)
      print(("%d stored, %d lost, %d torn"):format(stored, #lost, #torn))
      assert.same({ lost = {}, torn = {} }, { lost = lost, torn = torn })
      assert(store:close())
      assert.same({}, servers.using(directory))
    end)

  describe("as the watcher sees it", function()
    it("is two when a second one is planted", function()
      local store = assert(authstate.open { data_dir = directory })
      local watch = watcher.start(directory)
      watch:await(1)
      local config = temporary.file(([[
port 0
unixsocket %s/second.sock
dir %s
appendonly yes
save ""
]]):format(temporary.directory(), directory))
      local second = process.start { "redis-server", config }
      watch:await(2)
      second:kill()
      assert.equal(2, watch:finish().most)
      assert(store:close())
    end)

    it("is one while a child of it rewrites its log", function()
      local store = assert(authstate.open { data_dir = directory })
      for i = 1, 4 do assert(store:session("s" .. i).keys:set { t = { a = "1" } }) end
      local child = private_server.rewrite_slowly(directory, 10e6)
      assert.equal(2, #servers.using(directory))
      local watch = watcher.start(directory)
      assert(clock.wait_for(function() return not servers.is_running(child) end, 100)
        == nil)
      local watched = watch:finish()
      assert.equal(1, watched.most)
      assert.is_true(watched.looks_with_one > 1)
      servers.end_process(child)
      assert(store:close())
    end)
  end)
end)
