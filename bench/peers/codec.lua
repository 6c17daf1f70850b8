-- SPDX-License-Identifier: MIT

-- Codecs of Lua as peers, by the first word of the command line; bench/harness/peer.lua
-- tells what is said between harness and peer.
--
--     authstate   stored bytes and Lua values; a Buffer is bytes
--     cjson       JSON text and Lua values; a Buffer is a table with its base64 text
--
-- Methods are `decode`, to a Lua value, and `encode`, from it.

local authstate = require "authstate"
local cjson = require "cjson"
local core = require "authstate.core"
local record_file = require "bench.harness.record_file"

local CJSON_DIGITS = 14

local codecs = {
  authstate = {
    source = "stored", decode = core.decode, encode = core.encode,
    to_text = authstate.to_json,
  },
  cjson = {
    source = "texts", decode = cjson.decode, encode = cjson.encode,
    to_text = cjson.encode,
  },
}

cjson.encode_number_precision(CJSON_DIGITS)

local codec = assert(codecs[arg[1]], "no codec " .. tostring(arg[1]))

local peer

local function as_it_is(bytes)
  return bytes
end

local function read_fields(words)
  local fields = {}
  for name, value in words:gmatch "([^\t=]+)=([^\t]*)" do fields[name] = value end
  return fields
end

-- The records by type, in the file's order: list of { kind, ids, inputs }.
local function list_types(records, to_input)
  local types = {}
  for _, record in ipairs(records) do
    local part = types[#types]
    if not part or part.kind ~= record.kind then
      part = { kind = record.kind, ids = {}, inputs = {} }
      types[#types + 1] = part
    end
    table.insert(part.ids, record.id)
    table.insert(part.inputs, (assert(to_input(record.bytes))))
  end
  return types
end

local verbs = {}

function verbs.prepare(fields)
  local is_encode = fields.method == "encode"
  peer = {
    results = fields.results, run = codec[fields.method],
    to_text = is_encode and as_it_is or codec.to_text,
    types = list_types(record_file.read(fields[codec.source]),
      is_encode and codec.decode or as_it_is),
  }
  return ("ready\tauthstate=%s\tLuaJIT=%s\tlua-cjson=%s"):format(authstate._VERSION,
    jit.version:gsub("^LuaJIT ", ""), cjson._VERSION)
end

-- Outside the measured time: what the codec makes of records.
local function write_kept(part, keep)
  local file = assert(io.open(peer.results, "wb"))
  file:write "operation\t0\n"
  for i, id in ipairs(part.ids) do
    if keep == "all" or tonumber(keep) == i - 1 then
      local output = assert(peer.run(part.inputs[i]))
      record_file.write(file, part.kind, id, assert(peer.to_text(output)))
    end
  end
  assert(file:close())
end

function verbs.run(fields)
  local part, passes = peer.types[fields.first + 1], tonumber(fields.count)
  local run_one, inputs, records = peer.run, part.inputs, 0
  write_kept(part, fields.keep)
  collectgarbage()
  local started_ms, started_cpu_s = core.now_ms(), os.clock()
  for _ = 1, passes do
    for i = 1, #inputs do
      if run_one(inputs[i]) ~= nil then records = records + 1 end
    end
  end
  local cpu_s, wall_s = os.clock() - started_cpu_s, (core.now_ms() - started_ms) / 1000
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
