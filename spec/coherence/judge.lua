-- SPDX-License-Identifier: MIT

--- Judges what several processes have read by the order in which a server has changed its
-- records, and by when the processes say that they called and were answered. It knows
-- nothing else: neither authstate, nor Redis, nor layouts.
--
-- What is known of time. All clocks are one. A write took effect between the moment at
-- which it was called and the one at which it was acknowledged. A server that answers a
-- writer's next command has handed out everything that it had to tell of the write
-- before (Redis writes to all sockets before it reads from any again): with that answer
-- the write is *fenced*, and what a client is told of it is readable on its socket. Since
-- the server has one order,
--
--     change p took effect not before any change up to p was called,
--     and not after any change from p on was acknowledged,
--     and was told of not later than any change from p on was fenced.
--
-- So changes that nobody signs (FLUSHALL, DEL) are bounded by their neighbours, and a
-- write whose answer was lost by those behind it.
--
-- The rule. A read of a record that began at b and gave what change p had made is stale
-- when the next change q of that record was known to the reader before b. It was known
--
--     own     from the moment on at which the reader's own process had called it, if it
--             was acknowledged in the end
--     told    `slack_ms` after it was told of, when nothing lies between the server and
--             the reader's socket; 0 for a reader that looks at its socket before each
--             read, else the time for which it may go on without looking
--     bound   `bound_ms` after it took effect, whatever happens to connections
--
-- Besides, a read must give what was stored by the time at which it ended, and what was
-- acknowledged must be in the server's order.
--
-- Many equal reads in a row are one run: its first end and its last beginning decide.
-- @module spec.coherence.judge

local judge = {}

local function complain(self, sentence, ...)
  self.violations[#self.violations + 1] = sentence:format(...)
end

-- For each position the latest moment at which a change up to it was called, and the
-- earliest ones at which a change from it on was acknowledged, and fenced.
local function bound_positions(self)
  local order, writes = self.history.order, self.history.writes
  local called_ms = -math.huge
  for position = 1, #order do
    for _, tag in pairs(order[position].cells) do
      local write = tag and writes[tag]
      if write then called_ms = math.max(called_ms, write.called_ms) end
    end
    self.called_ms[position] = called_ms
  end
  local ended_ms, fenced_ms = math.huge, math.huge
  for position = #order, 1, -1 do
    for _, tag in pairs(order[position].cells) do
      local write = tag and writes[tag]
      if write then
        ended_ms = math.min(ended_ms, write.ended_ms or math.huge)
        fenced_ms = math.min(fenced_ms, write.fenced_ms or math.huge)
      end
    end
    self.ended_ms[position], self.fenced_ms[position] = ended_ms, fenced_ms
  end
  self.called_ms[0] = -math.huge
end

-- The states of each record: lists of { position, tag }, from absent on.
local function find_states(self)
  for position, change in ipairs(self.history.order) do
    for cell, tag in pairs(change.cells) do
      local states = self.states[cell] or { { position = 0, tag = false } }
      self.states[cell] = states
      if states[#states].tag ~= tag then
        states[#states + 1] = { position = position, tag = tag }
      end
      self.is_stored[tag] = true
    end
  end
end

-- The last state with a tag that may have begun by then; its index, nil for none.
local function find_state(self, states, tag, by_ms)
  for i = #states, 1, -1 do
    local state = states[i]
    if state.tag == tag and self.called_ms[state.position] <= by_ms then return i end
  end
end

-- When the process of a run knew at the latest that a state was over, and by which rule.
local function known(self, run, states, index)
  local position = states[index].position
  local known_ms, rule = self.ended_ms[position] + self.history.bound_ms, "bound"
  if run.slack_ms then
    local told_ms = self.fenced_ms[position] + run.slack_ms
    if told_ms < known_ms then known_ms, rule = told_ms, "told" end
  end
  for i = index, #states do
    local write = states[i].tag and self.history.writes[states[i].tag]
    local is_own = write and write.process == run.process and write.ended_ms
    if is_own and write.called_ms < known_ms then
      known_ms, rule = write.called_ms, "own"
    end
  end
  return known_ms, rule
end

local function check_run(self, run)
  local states = self.states[run.cell] or { { position = 0, tag = false } }
  local name = ("process %s read %s = %s"):format(run.process, run.cell,
    tostring(run.tag))
  if not find_state(self, states, run.tag, run.first_ended_ms) then
    complain(self, "%s, which was not stored by %.3f", name, run.first_ended_ms)
    return
  end
  local index = find_state(self, states, run.tag, run.last_ended_ms)
  if index == #states then return end
  local known_ms, rule = known(self, run, states, index + 1)
  if run.last_began_ms > known_ms then
    complain(self, "%s at %.3f, when it had known for %.3f ms (%s) that it was %s", name,
      run.last_began_ms, run.last_began_ms - known_ms, rule,
      tostring(states[index + 1].tag))
  end
end

--- Judges a history.
-- @tparam table history
--
-- - `order`: list of changes in the server's order, { cells = { [cell] = tag, or false
--   for absent } }
-- - `writes`: by tag { process, called_ms, ended_ms (nil: not acknowledged), fenced_ms
--   (nil: nobody asked again) }
-- - `runs`: list of { process, cell, tag (false: absent), first_ended_ms, last_began_ms,
--   last_ended_ms, slack_ms (nil: the rule `told` does not hold) }
-- - `bound_ms`
-- @treturn table list of sentences, empty when all is as promised
function judge.judge(history)
  local self = {
    history = history, violations = {}, states = {}, is_stored = {},
    called_ms = {}, ended_ms = {}, fenced_ms = {}, -- by position
  }
  bound_positions(self)
  find_states(self)
  for tag, write in pairs(history.writes) do
    if write.ended_ms and not self.is_stored[tag] then
      complain(self, "write %d of process %s was acknowledged and is not stored", tag,
        write.process)
    end
  end
  for _, run in ipairs(history.runs) do check_run(self, run) end
  return self.violations
end

return judge
