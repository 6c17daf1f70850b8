-- SPDX-License-Identifier: MIT

-- Codecs of Lua as peers, by the first word of the command line; bench/harness/peer.lua
-- tells what is said between harness and peer.
--
--     authstate   stored bytes and Lua values; a Buffer is bytes
--     encrypted   the same, the bytes encrypted for each record
--     cjson       JSON text and Lua values; a Buffer is a table with its base64 text
--
-- Methods are `decode`, to a Lua value, and `encode`, from it. With the option
-- `collector=apart` the collector stands still while the clock runs, and cleans up
-- between parts of the passes: what is measured is the codec's own work, not the end of
-- what it makes.

local authstate = require "authstate"
local cjson = require "cjson"
local core = require "authstate.core"
local record_file = require "bench.harness.record_file"

local CJSON_DIGITS = 14
local SESSION, GENERATION, KEY_BYTES = "5511900000002", 1, 32

local peer

local function as_it_is(bytes)
  return bytes
end

-- By name, functions that give a codec:
--
--     source      which file it reads, "texts" or "stored"
--     decode, encode
--     to_input    from the bytes in that file to what decode takes
--     to_text     from what decode gives to JSON text
--     to_bytes    from what encode gives to what is compared
--     is_placed   decode, encode, to_input and to_bytes want to know type and id, too
local makers = {}

function makers.authstate()
  return {
    source = "stored", decode = core.decode, encode = core.encode,
    to_input = as_it_is, to_text = authstate.to_json, to_bytes = as_it_is,
  }
end

function makers.encrypted()
  local ring = core.keyring({ [0] = ("k"):rep(KEY_BYTES) }, 0, true)
  local function encrypt(stored, kind, id)
    return ring:encrypt(stored, SESSION, GENERATION, kind, id)
  end
  return {
    source = "stored", is_placed = true, to_input = encrypt, to_text = authstate.to_json,
    decode = function(stored, kind, id)
      return ring:decode(stored, SESSION, GENERATION, kind, id)
    end,
    encode = function(value, kind, id)
      return encrypt(core.encode(value), kind, id)
    end,
    to_bytes = function(stored, kind, id)
      return ring:decrypt(stored, SESSION, GENERATION, kind, id)
    end,
  }
end

function makers.cjson()
  cjson.encode_number_precision(CJSON_DIGITS)
  return {
    source = "texts", decode = cjson.decode, encode = cjson.encode,
    to_input = as_it_is, to_text = cjson.encode, to_bytes = as_it_is,
  }
end

local codec = assert(makers[arg[1]], "no codec " .. tostring(arg[1]))()

-- Calls one of the codec's functions.
local function call(name, value, kind, id)
  if codec.is_placed then return assert(codec[name](value, kind, id)) end
  return assert(codec[name](value))
end

local function read_fields(words)
  local fields = {}
  for name, value in words:gmatch "([^\t=]+)=([^\t]*)" do fields[name] = value end
  return fields
end

-- What the method is given of a record.
local function input_of(record)
  local input = call("to_input", record.bytes, record.kind, record.id)
  if peer.method == "decode" then return input end
  return call("decode", input, record.kind, record.id)
end

-- The records by type, in the file's order: list of { kind, ids, inputs }.
local function list_types(records)
  local types = {}
  for _, record in ipairs(records) do
    local part = types[#types]
    if not part or part.kind ~= record.kind then
      part = { kind = record.kind, ids = {}, inputs = {} }
      types[#types + 1] = part
    end
    table.insert(part.ids, record.id)
    table.insert(part.inputs, input_of(record))
  end
  return types
end

local verbs = {}

function verbs.prepare(fields)
  peer = {
    method = fields.method, results = fields.results,
    is_collector_apart = fields.collector == "apart",
  }
  peer.types = list_types(record_file.read(fields[codec.source]))
  return ("ready\tauthstate=%s\tLuaJIT=%s\tlua-cjson=%s"):format(authstate._VERSION,
    jit.version:gsub("^LuaJIT ", ""), cjson._VERSION)
end

-- Outside the measured time: what the codec makes of records.
local function write_kept(part, keep)
  local kind = part.kind
  local file = assert(io.open(peer.results, "wb"))
  file:write "operation\t0\n"
  for i, id in ipairs(part.ids) do
    if keep == "all" or tonumber(keep) == i - 1 then
      local made = call(peer.method, part.inputs[i], kind, id)
      local bytes = peer.method == "encode" and call("to_bytes", made, kind, id)
        or codec.to_text(made)
      record_file.write(file, kind, id, assert(bytes))
    end
  end
  assert(file:close())
end

-- One pass over a type; how many values came.
local function pass_plainly(part, run_one)
  local inputs, count = part.inputs, 0
  for i = 1, #inputs do
    if run_one(inputs[i]) ~= nil then count = count + 1 end
  end
  return count
end

-- The same for a function that wants to know type and id.
local function pass_by_place(part, run_one)
  local inputs, kind, ids, count = part.inputs, part.kind, part.ids, 0
  for i = 1, #inputs do
    if run_one(inputs[i], kind, ids[i]) ~= nil then count = count + 1 end
  end
  return count
end

-- What passes take, with the collector as it goes.
local function time_passes(part, passes, pass, run_one)
  local records = 0
  local started_ms, started_cpu_s = core.now_ms(), os.clock()
  for _ = 1, passes do records = records + pass(part, run_one) end
  return records, os.clock() - started_cpu_s, (core.now_ms() - started_ms) / 1000
end

-- The same in PARTS, with the collector's work between them.
local PARTS = 8

local function time_apart(part, passes, pass, run_one)
  local records, cpu_s, wall_s, left = 0, 0, 0, passes
  while left > 0 do
    local some = math.min(left, math.ceil(passes / PARTS))
    collectgarbage()
    collectgarbage "stop"
    local came, cpu, wall = time_passes(part, some, pass, run_one)
    collectgarbage "restart"
    records, cpu_s, wall_s, left = records + came, cpu_s + cpu, wall_s + wall, left - some
  end
  return records, cpu_s, wall_s
end

function verbs.run(fields)
  local part, passes = peer.types[fields.first + 1], tonumber(fields.count)
  local pass = codec.is_placed and pass_by_place or pass_plainly
  local run_one = codec[peer.method]
  write_kept(part, fields.keep)
  -- The collector gives memory back to the system; a program that goes on has it.
  collectgarbage()
  pass(part, run_one)
  local time = peer.is_collector_apart and time_apart or time_passes
  local records, cpu_s, wall_s = time(part, passes, pass, run_one)
  return ("done\twall_s=%.9f\tcpu_s=%.6f\toperations=%d\trecords=%d"):format(wall_s,
    cpu_s, passes, records)
end

for line in io.lines() do
  local verb, words = line:match "^(%w+)\t?(.*)$"
  local is_fine, answer = pcall(verbs[verb], read_fields(words))
  if not is_fine then answer = "failed\t" .. tostring(answer):gsub("%c", " ") end
  io.write(answer, "\n")
  io.flush()
end
