-- SPDX-License-Identifier: MIT

-- Writes inputs to begin fuzzing with, made from the fixtures and by hand:
-- luajit spec/fuzz/seeds.lua DIRECTORY, which gets a folder for each target.

local cjson = require "cjson"
local core = require "authstate.core"
local fixture = require "spec.support.fixture"

local directory = assert(arg[1], "a directory expected")

local SHORT_BYTES = 2000

-- A byte before what the server says chooses where it is cut.
local SERVER_REPLIES = {
  "+OK\r\n", "-ERR unknown command\r\n", ":0\r\n:-1\r\n:9223372036854775807\r\n",
  "$3\r\nfoo\r\n$0\r\n\r\n$-1\r\n", "*0\r\n*-1\r\n*2\r\n$1\r\na\r\n*1\r\n:7\r\n",
  "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2147483647\r\n:1\r\n",
  "$1\r\na\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n", ("*1\r\n"):rep(9) .. ":1\r\n",
  "$1\r\na\r\n+OK\r\n-ERR a\r\n+QUEUED\r\n-EXECABORT b\r\n-NOSCRIPT c\r\n$1\r\nx\r\n",
  "$1\r\na\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:2\r\n$-1\r\n:1\r\n:2\r\n+z\r\n",
}

-- To joined reads of two hashes, to their generation, and to joined writes; see
-- connection.c.
local JOINED_REPLIES = {
  "*6\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n",
  "*4\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n$1\r\nc\r\n", "*1\r\n$1\r\na\r\n",
  "*3\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n*0\r\n:1\r\n",
  "-WRONGTYPE x\r\n", "$1\r\n7\r\n",
  "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
    .. "*5\r\n:1\r\n:0\r\n-WRONGTYPE x\r\n:3\r\n:2\r\n",
  "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
    .. "*5\r\n*1\r\n:1\r\n:0\r\n:1\r\n:3\r\n:2\r\n",
}

-- Pairs of event and amount; see engine.c.
local ENGINE_PROGRAMS = {
  "\8\200\0\0\5\0\3\0\11\0", "\8\1\8\2\8\3\8\16\0\0\5\0\3\0\3\9\3\7\11\0\10\0",
  "\8\128\0\0\5\0\1\130\6\0\0\0\5\0\3\1\1\0\3\0\11\0", "\8\5\0\0\5\0\7\110\9\0\11\0",
  "\8\128\8\129\0\0\5\0\3\10\1\0\3\3\3\3\11\0", "\8\12\0\0\2\5+OK\r\n\7\255\7\255\7\255",
  "\13\192\13\200\13\224\15\0\0\0\5\0\3\7\3\5\11\0",
  "\14\128\14\136\14\152\15\0\0\0\5\0\3\0\11\0",
  "\13\128\14\129\13\1\16\2\12\1\0\0\5\0\15\0\1\130\6\0\0\0\5\0\3\7\17\1\7\50\11\0",
}

local SESSIONS = {
  '{}', '{"creds":null}', '{"creds":{},"keys":{}}', '{"keys":{"a":{}},"creds":{"b":1}}',
  '{"keys":{"pre-key":{"1":{"x":[]},"2":null},"session":{"a.0":"b"}}}',
  '{ "keys" : { "\\u0061" : { "\\ud800\\/" : 1.0 , "" : -0 } } }', '{"creds":[]}',
  '{"keys":{"a":{"b":1,"\\u0062":2}}}', '{"keys":{"a":{},"a":{}}}', '{"other":1}',
}

-- Each compressor, for whatever becomes a byte smaller.
local SEALINGS = {}
for _, name in ipairs { "lz4", "zstd", "deflate" } do
  SEALINGS[name] = core.sealing {
    serializer = "json", compressor = name, threshold_bytes = 0, min_gain_bytes = 1,
    min_gain_percent = 0,
  }
end

local FIRST_PACKED = 0xa0

-- What the fixtures lack.
local RECORDS = {
  '{"_sessions":{"BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC":{"registrationId":7,'
    .. '"currentRatchet":{"ephemeralKeyPair":{'
    .. '"pubKey":"BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",'
    .. '"privKey":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="},'
    .. '"lastRemoteEphemeralKey":"BQMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD",'
    .. '"previousCounter":0,"rootKey":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="},'
    .. '"indexInfo":{"baseKey":"BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",'
    .. '"baseKeyType":1,"closed":-1,"used":2,"created":1,'
    .. '"remoteIdentityKey":"BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC"},'
    .. '"_chains":{"BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC":{"chainKey":'
    .. '{"counter":3,"key":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="},"chainType":2,'
    .. '"messageKeys":{"1":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="}}},'
    .. '"pendingPreKey":{"signedKeyId":9,'
    .. '"baseKey":"BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC","preKeyId":5}}},'
    .. '"version":"v1"}',
  '{"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=":{"valueMac":{"type":"Buffer","data":'
    .. '"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="}}}',
  '{"_sessions":{},"version":"v1"}', '{"5@lid":true,"6:7@s.whatsapp.net":true}',
  '{"public":{"0":1,"1":2}}', '{"type":"Buffer","data":[1,2,255]}', "[1,2,3,4]",
  '{"type":"Buffer","data":"W10="}', '{"data":"AQID","type":"Buffer"}',
  '["18446744073709551615","AAAAAAAAAAAA","\\ud800","5:255@g.us",1e+99]',
}

-- Payloads that we read and do not write.
local PACKED = {
  "\xd9\1\0\x84\x43\1\2\3\x64abcd\xd8\x19\0\xd8\x19\1",
  "\xc7\x18\x18", "\xc7\x48\0\0\0\0\0\0\0\7",
  "\xd9\1\0\x82\xa2\x64type\x66Buffer\x64data\x64AQID\xd8\x19\0", "\xcc\x80", "\xcd\x40",
  "\xce\x40", "\xcf\x40", "\x9f\1\xff", "\xbf\0\1\xff", "\x5f\x41a\xff", "\x7f\x61a\xff",
}

local JIDS = {
  "5521980000959", "0", "00", "18446744073709551615", "18446744073709551616",
  "5521980007261:8@s.whatsapp.net", "5:256@lid", "05@lid", "5:01@lid", "5@g.us",
  "\x58\8\5\5\xaf\xa8\x23\x5d", "\0\0", "\x7f\xff" .. ("\xff"):rep(8),
}

local counts = {}

local function add(target, bytes)
  local folder = ("%s/%s"):format(directory, target)
  if not counts[target] then assert(os.execute(("mkdir -p '%s'"):format(folder)) == 0) end
  counts[target] = (counts[target] or 0) + 1
  local file = assert(io.open(("%s/%04d"):format(folder, counts[target]), "wb"))
  file:write(bytes)
  file:close()
end

-- The two bytes that choose a size; see compressor_target.c. Not all sizes can be.
local function choice_of(size)
  for wide = 1, 255 do
    local choice = (size - 1) / wide
    if wide % 8 ~= 0 and choice % 1 == 0 and choice < 256 then
      return string.char(choice, wide)
    end
  end
end

local function add_packed(text)
  for name, how in pairs(SEALINGS) do
    local stored, choice = core.json_encode(text, nil, how), choice_of(#text)
    if stored:byte(1) >= FIRST_PACKED then
      add("envelope", stored)
      local packed = stored:match "^.[\128-\255]*[%z\1-\127](.*)"
      if choice then add(name, choice .. packed) end
    end
  end
end

local function add_json(text)
  if #text > SHORT_BYTES then return end
  add("jsontext", text)
  local stored = core.json_encode(text)
  if not stored then return end
  add("envelope", stored)
  add("keyring", "\128" .. stored)
  add("cbor", stored:sub(2))
  add_packed(text)
  add("unpack", stored:sub(2))
end

-- What a Buffer holds is packed as it is, where the fuzzer can change it.
local function add_record(text)
  local base64 = text:match '^{"type":"Buffer","data":"([^"]*)"}$'
  local content = base64 and core.from_base64(base64):raw()
  add_json(text)
  if #text <= SHORT_BYTES then add("pack", text) end
  if content and #content <= 2 * SHORT_BYTES then add("pack", content) end
end

local function records_of(text)
  local session, list = assert(core.split_session(text)), {}
  for _, records in pairs(session.keys) do
    local count = 0
    for _, record in pairs(records) do
      count = count + 1
      if count <= 3 then list[#list + 1] = record end
    end
  end
  list[#list + 1] = session.creds
  return list
end

for _, text in ipairs(fixture.lines "exact.jsonl") do add_json(text) end
for _, text in ipairs(fixture.lines "inexact.jsonl") do add_json(text) end
for _, case in ipairs(cjson.decode(fixture.read "invalid.json")) do
  add_json(case.text)
end
for _, name in ipairs { "small.json.gz", "large.json.gz" } do
  for _, record in ipairs(records_of(fixture.read(name))) do add_record(record) end
end
for _, text in ipairs(RECORDS) do add_record(text) end
for _, bytes in ipairs(PACKED) do add("unpack", bytes) end
for _, text in ipairs(JIDS) do add("jid", text) end
for _, text in ipairs {
  "", "0", "1,2,255", ("0,10,100,"):rep(30) .. "7", "256", "1,,2",
} do
  add("byte_list", text)
end
for _, text in ipairs(SESSIONS) do
  add("session_text", text)
  add_json(text)
end
for _, replies in ipairs(SERVER_REPLIES) do
  for _, cut in ipairs { "\0", "\7" } do
    add("reply", cut .. replies)
    add("connection", cut .. replies)
  end
end
for i, first in ipairs(JOINED_REPLIES) do
  for j = 1, #JOINED_REPLIES - 3, 2 do
    add("connection", (i % 2 == 0 and "\128" or "\200") .. first
      .. JOINED_REPLIES[j] .. JOINED_REPLIES[6] .. JOINED_REPLIES[7 + j % 2])
  end
end
for _, program in ipairs(ENGINE_PROGRAMS) do add("engine", program) end
for _, text in ipairs { "", "AQID", "AQI=", "AQ==", "AQJ=", "-_-_", "A Q\nI", "====" } do
  add("base64", text)
end
for _, text in ipairs { "\0\0\0", "\0\5\1abc", "\1\0\255" .. ("ab"):rep(300) } do
  add("gzip", text)
end
for _, double in ipairs {
  "\0\0\0\0\0\0\240\63", "\154\153\153\153\153\153\185\63", "\1\0\0\0\0\0\0\0",
  "\255\255\255\255\255\255\239\127", "\0\0\0\0\0\0\16\0", "\0\0\0\0\0\0\64\195",
} do
  add("number", double)
end
