-- SPDX-License-Identifier: MIT

-- authstate as a peer; bench/harness/peer.lua tells what is said between the two.
-- Methods:
--
--     get  get_json  get_raw    session.keys, all records of an operation by one call
--     set  set_json  set_raw    the same, in one commit
--     load  load_json           the whole session
--
-- With the option `tasks` the operations of a round are shared out among as many
-- coroutines, all within `authstate.run`; without it each call blocks. Other options are
-- those of `authstate.open`.

local authstate = require "authstate"
local core = require "authstate.core"
local record_file = require "bench.harness.record_file"

local peer

local function read_words(line)
  local words = {}
  for word in line:gmatch "[^\t]+" do words[#words + 1] = word end
  return words
end

local function read_fields(words)
  local fields = {}
  for i = 2, #words do
    local name, value = words[i]:match "^([^=]+)=(.*)$"
    fields[name] = value
  end
  return fields
end

local parsers = {}

function parsers.get(words)
  local operation = { kind = words[2], ids = {} }
  for i = 3, #words do operation.ids[i - 2] = words[i] end
  return operation
end

function parsers.set(words)
  local operation = { kind = words[2], ids = {}, sources = {} }
  for i = 3, #words, 2 do
    table.insert(operation.ids, words[i])
    table.insert(operation.sources, words[i + 1])
  end
  return operation
end

function parsers.load(words)
  local operation = { records = {} }
  for i = 2, #words, 2 do
    table.insert(operation.records, { kind = words[i], id = words[i + 1] })
  end
  return operation
end

local function as_json(value)
  return (assert(authstate.to_json(value)))
end

local function as_it_is(text)
  return text
end

-- How many of the wanted records came.
local function count_found(operation, found)
  local count = 0
  for i = 1, #operation.ids do
    if found[operation.ids[i]] ~= nil then count = count + 1 end
  end
  return count
end

local function count_loaded(_, loaded)
  local count = loaded.creds and 1 or 0
  for _, records in pairs(loaded.keys) do
    for _ in pairs(records) do count = count + 1 end
  end
  return count
end

-- Calls write(kind, id, text) for what an operation gave.
local function each_found(operation, found, write)
  for id, value in pairs(found) do write(operation.kind, id, value) end
end

local function each_loaded(_, loaded, write)
  write("creds", "creds", loaded.creds)
  for kind, records in pairs(loaded.keys) do
    for id, value in pairs(records) do write(kind, id, value) end
  end
end

local function reader(call_name, to_text)
  return {
    run = function(operation)
      local keys = operation.keys
      return assert(keys[call_name](keys, operation.kind, operation.ids))
    end,
    count = count_found, each = each_found, to_text = to_text,
  }
end

local function loader(call_name, to_text)
  return {
    run = function() return assert(peer.source[call_name](peer.source)) end,
    count = count_loaded, each = each_loaded, to_text = to_text,
  }
end

-- The values of the source's records, each read once.
local function read_values(call_name, kind, ids)
  local known, missing = peer.values[kind] or {}, {}
  peer.values[kind] = known
  for _, id in ipairs(ids) do
    if known[id] == nil then missing[#missing + 1] = id end
  end
  local keys = peer.source.keys
  for id, value in pairs(assert(keys[call_name](keys, kind, missing))) do
    known[id] = value
  end
  return known
end

-- Writers have their changes before the clock starts: in a program these are there too.
local function writer(call_name, read_name)
  return {
    prepare = function(operation)
      local values = read_values(read_name, operation.kind, operation.sources)
      local records = {}
      for i, id in ipairs(operation.ids) do records[id] = values[operation.sources[i]] end
      return { changes = { [operation.kind] = records }, count = #operation.ids }
    end,
    run = function(operation)
      local keys = peer.target.keys
      assert(keys[call_name](keys, operation.changes))
    end,
    count = function(operation) return operation.count end,
  }
end

-- A writer of bytes puts its changes together while the clock runs, as one writes down a
-- call, and keeps no table for an operation: only where its records end in flat lists.
local raw_writer = {
  prepare = function(operation)
    local values = read_values("get_raw", operation.kind, operation.sources)
    local flat = peer.flat
    for i, id in ipairs(operation.ids) do
      flat.ids[#flat.ids + 1] = id
      flat.values[#flat.values + 1] = values[operation.sources[i]]
    end
    flat.kinds[#flat.kinds + 1] = operation.kind
    flat.ends[#flat.ends + 1] = #flat.ids
    return #flat.ends
  end,
  run = function(number)
    local flat, records = peer.flat, {}
    for i = (flat.ends[number - 1] or 0) + 1, flat.ends[number] do
      records[flat.ids[i]] = flat.values[i]
    end
    assert(peer.target.keys:set_raw { [flat.kinds[number]] = records })
  end,
  count = function(number)
    return peer.flat.ends[number] - (peer.flat.ends[number - 1] or 0)
  end,
}

local methods = {
  get = reader("get", as_json),
  get_json = reader("get_json", as_it_is),
  get_raw = reader("get_raw", as_it_is),
  load = loader("load", as_json),
  load_json = loader("load_json", as_it_is),
  set = writer("set", "get"),
  set_json = writer("set_json", "get_json"),
  set_raw = raw_writer,
}

local function is_true(word)
  return word == "true"
end

-- What `open` is given of the fields of `prepare`.
local readers_of_options = {
  writes = as_it_is,
  pool_size = tonumber, batch_window_ms = tonumber, batch_size = tonumber,
  enable_batching = is_true, enable_metrics = is_true, profile = as_it_is,
  slow_ms = tonumber,
}

-- What is compared is how quickly Redis is asked.
local function open_store(fields)
  local options = { redis = "unix://" .. fields.socket, enable_cache = false }
  for name, read in pairs(readers_of_options) do
    if fields[name] then options[name] = read(fields[name]) end
  end
  return assert(authstate.open(options))
end

-- The sessions that operations read, one after the other.
local function list_sources(store, fields)
  if not fields.sessions then return { store:session(fields.source) } end
  local sources = {}
  for i = 1, tonumber(fields.sessions) do
    sources[i] = store:session(("%s.%d"):format(fields.source, i))
  end
  return sources
end

local function prepare(fields)
  local store = open_store(fields)
  peer = {
    method = assert(methods[fields.method], "no method " .. fields.method),
    source = store:session(fields.source), target = store:session(fields.target),
    results = fields.results, tasks = tonumber(fields.tasks), lines = {}, values = {},
    sources = list_sources(store, fields),
  }
  for line in io.lines(fields.work) do table.insert(peer.lines, line) end
  return ("ready\tauthstate=%s\tLuaJIT=%s"):format(authstate._VERSION,
    jit.version:gsub("^LuaJIT ", ""))
end

local function write_kept(kept)
  local file = assert(io.open(peer.results, "wb"))
  for number, result in pairs(kept) do
    file:write(("operation\t%d\n"):format(number))
    peer.method.each(result.operation, result.value, function(kind, id, value)
      record_file.write(file, kind, id, peer.method.to_text(value))
    end)
  end
  assert(file:close())
end

-- The numbers, in a round of `count`, of the operations whose results are kept.
local function read_keep(word, count)
  local numbers = {}
  if word == "all" then
    for i = 0, count - 1 do numbers[i] = true end
  elseif word ~= "none" then
    numbers[tonumber(word)] = true
  end
  return numbers
end

-- The operations of one round, as small as can be, and one table for all that are the
-- same: what is there of them while the clock runs, the collector walks through time and
-- again, as it does in no program whose ids come and go.
local function list_operations(first, count)
  local operations, known, method = {}, {}, peer.method
  peer.flat = { kinds = {}, ends = {}, ids = {}, values = {} }
  for i = first, first + count - 1 do
    local source = i % #peer.sources + 1
    local name = source .. peer.lines[i + 1]
    if not known[name] then
      local words = read_words(peer.lines[i + 1])
      local operation = parsers[words[1]](words)
      operation.keys = peer.sources[source].keys
      known[name] = method.prepare and method.prepare(operation) or operation
    end
    operations[#operations + 1] = known[name]
  end
  return operations
end

-- Carries out every `step`-th operation of a round, from number `start` on.
local function carry_out(round, start, step)
  local carry_one, count, keep = peer.method.run, peer.method.count, round.keep
  local operations, records = round.operations, 0
  for i = start, #operations - 1, step do
    local operation = operations[i + 1]
    local value = carry_one(operation)
    records = records + count(operation, value)
    if keep[i] then round.kept[i] = { operation = operation, value = value } end
  end
  round.records = round.records + records
end

local function carry_out_in_tasks(round)
  local tasks = {}
  for i = 1, peer.tasks do
    tasks[i] = authstate.spawn(carry_out, round, i - 1, peer.tasks)
  end
  for i = 1, peer.tasks do assert(tasks[i]:wait()) end
end

local function run(fields)
  local count = tonumber(fields.count)
  local round = {
    operations = list_operations(tonumber(fields.first), count),
    keep = read_keep(fields.keep, count), kept = {}, records = 0,
  }
  collectgarbage()
  local started_ms, started_cpu_s = core.now_ms(), os.clock()
  if peer.tasks then
    authstate.run(carry_out_in_tasks, round)
  else
    carry_out(round, 0, 1)
  end
  local cpu_s, wall_s = os.clock() - started_cpu_s, (core.now_ms() - started_ms) / 1000
  write_kept(round.kept)
  return ("done\twall_s=%.9f\tcpu_s=%.6f\toperations=%d\trecords=%d"):format(wall_s,
    cpu_s, count, round.records)
end

local verbs = { prepare = prepare, run = run }

for line in io.lines() do
  local words = read_words(line)
  local is_fine, answer = pcall(verbs[words[1]], read_fields(words))
  if not is_fine then answer = "failed\t" .. tostring(answer):gsub("%c", " ") end
  io.write(answer, "\n")
  io.flush()
end
