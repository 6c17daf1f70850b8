-- SPDX-License-Identifier: MIT
--- A program that is measured, and how the harness talks with it: lines over its standard
-- input and output, words between tabs, the first one a verb, the others `name=value`.
--
--     to the peer                                     from the peer
--     prepare method= socket= source= target=         ready NAME=VERSION ...
--             storage= work= results=
--             sessions= OPTION= ...
--     run first= count= keep=                         done wall_s= cpu_s= operations=
--                                                          records=
--     (end of input)                                  (ends)
--                                                     failed SENTENCE   instead of either
--
-- `prepare`: connect to the redis-server at `socket`, read the operations from the file
-- `work` (see work.lua); session `source` is there in the peer's storage, session
-- `target` is its own to write. With `sessions` operation number i, counted from 0, reads
-- session `source`.N, N = 1 + i % sessions, in place of `source`. What a case says in
-- `options` of the peer comes as it is.
--
-- `run`: carry out `count` operations from number `first` on (0 is the first one), by
-- `method`; several at once when an option says so. `wall_s` and `cpu_s` (user and system
-- time of the process, all its threads) are of these alone; `records` is how many records
-- came back, or were confirmed as written. Outside the measured time a peer collects its
-- garbage, so that no round pays for another one's, and writes to the file `results` what
-- it read by the operations of this round that `keep` names ("none", "all", or one
-- number, 0 for the first of the round), as
--
--     operation NUMBER                                the number in the round
--     record TYPE ID LENGTH                           and so on, see record_file.lua
--
-- The bytes are the JSON text that its values make, or what is stored when the peer gives
-- it out as it is ("form" in a case).
--
-- Peers of a codec (codec_rounds.lua) need no server and no work file: `prepare` tells
-- `method`, "decode" or "encode", and the files `texts` and `stored`, which have the same
-- records as JSON text and as they are stored, all of one type together (see
-- record_file.lua). `run` goes `count` times over the type with number `first`; what it
-- keeps is what it makes of all of that type's records, of one of them, or of none.

local processor = require "bench.harness.processor"
local programs = require "bench.harness.programs"
local record_file = require "bench.harness.record_file"

local LINE = "([^\n]*)\n"

local Peer = { __name = "bench.peer" }
Peer.__index = Peer

local peer = {}

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function command_line(words)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = quote(word) end
  return table.concat(quoted, " ")
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "*a"
  file:close()
  return text
end

local function failure(self, sentence)
  return nil, ("%s: %s"):format(self.name, sentence)
end

-- The fields of an answer that begins with `verb`.
local function ask(self, verb, fields, expected)
  local words = { verb }
  for name, value in pairs(fields) do words[#words + 1] = name .. "=" .. value end
  self.input:write(table.concat(words, "\t"), "\n")
  self.input:flush()
  local line = self.output:read "*l"
  if not line then
    return failure(self, "the peer ended: " .. read_file(self.errors_path))
  end
  local answered, rest = line:match "^(%w+)\t?(.*)$"
  if answered ~= expected then return failure(self, line) end
  local answer = {}
  for name, value in rest:gmatch "([^\t=]+)=([^\t]*)" do answer[name] = value end
  return answer
end

--- Starts a peer and waits until it is ready.
-- @param entry a peer of a case, see case.lua
-- @param place { directory = its own, server, source, sessions, target,
--   work = path of the file, processors = see processor.split }; without a server, target
--   and work when the program needs none
-- @return the peer; or nil and a sentence
function peer.start(entry, place)
  local words, message = programs.find(entry.program)
  if not words then return nil, message end
  words = processor.keep(place.processors, words)
  local self = setmetatable({
    name = entry.name, entry = entry,
    results_path = place.directory .. "/results",
    errors_path = place.directory .. "/errors",
    target = place.target,
  }, Peer)
  local answers = place.directory .. "/answers"
  assert(os.execute("mkfifo " .. quote(answers)) == 0)
  -- "e": no other child inherits the pipe, whose end tells the peer to end.
  self.input = assert(io.popen(("exec %s >%s 2>%s"):format(command_line(words),
    quote(answers), quote(self.errors_path)), "we"))
  self.output = assert(io.open(answers, "rb"))
  local fields = {
    method = entry.method, storage = entry.storage,
    socket = place.server and place.server.socket,
    source = place.source, target = place.target, work = place.work,
    results = self.results_path, sessions = place.sessions,
  }
  for name, value in pairs(entry.options or {}) do fields[name] = tostring(value) end
  self.versions, message = ask(self, "prepare", fields, "ready")
  if self.versions then return self end
  self:stop()
  return nil, message
end

--- Lets the peer carry out operations.
-- @param first, count the numbers of the operations, from 0
-- @param keep "none", "all" or a number in the round
-- @return { wall_s, cpu_s, operations, records }; or nil and a sentence
function Peer:run(first, count, keep)
  local answer, message =
    ask(self, "run", { first = first, count = count, keep = keep }, "done")
  if not answer then return nil, message end
  local measured = {}
  for _, name in ipairs { "wall_s", "cpu_s", "operations", "records" } do
    measured[name] = tonumber(answer[name])
    if not measured[name] then return failure(self, "the answer lacks " .. name) end
  end
  return measured
end

--- What the peer kept of the round before.
-- @return { [number in the round] = list of { kind, id, bytes } }; or nil and a sentence
function Peer:results()
  local text = read_file(self.results_path)
  local kept, list, at = {}, nil, 1
  while at <= #text do
    local number = text:match("^operation\t(%d+)\n", at)
    if number then
      list = {}
      kept[tonumber(number)] = list
      at = text:find("\n", at, true) + 1
    else
      local record, next_at = record_file.parse(text, at)
      if not record or not list then
        return failure(self, ("its results cannot be read at byte %d: %q"):format(at - 1,
          text:sub(at):match(LINE) or ""))
      end
      list[#list + 1] = record
      at = next_at
    end
  end
  return kept
end

--- Ends the peer and waits for it.
function Peer:stop()
  if not self.input then return end
  self.input:close()
  self.output:close()
  self.input = nil
end

return peer
