-- SPDX-License-Identifier: MIT
--- The codec of a store: what its layout and its options make of Lua values and of JSON
-- texts before they are stored, and, where the core alone cannot, of stored values.
--
-- A layout without envelopes keeps plain JSON texts for other programs: nothing is
-- compressed and no serializer chosen there. With envelopes there are three ways: CBOR
-- or JSON by the core, which also reads them by itself as replies come in, and a Lua
-- script, whose values are read as they are stored and opened here.

local core = require "authstate.core"
local encryption = require "authstate.encryption"
local serializer = require "authstate.serializer"

local codec = {}

-- ---- compressing ----------------------------------------------------------------------

-- Measured on real sessions (doc/envelope.md): what is smaller never becomes smaller
-- enough, and packed keys are little but random bytes, which cost the most to try.
local THRESHOLD_BYTES = 96
local CBOR_THRESHOLDS = { session = 4096, ["sender-key"] = 4096 }

local COMPRESSORS = { lz4 = "lz4", zstd = "zstd", gzip = "deflate" }

-- How values are sealed, for the core, by type: { [type] = sealing }, and that of all
-- others. (What a script makes is sealed under its own code.)
local function make_sealings(options, serializer_name)
  local how = options.compression
  local function make(threshold_bytes)
    return core.sealing {
      serializer = serializer_name,
      compressor = how and (COMPRESSORS[how] or "deflate") or nil,
      level = type(how) == "number" and how or nil,
      threshold_bytes = threshold_bytes,
      min_gain_bytes = options.compression_min_gain_bytes,
      min_gain_percent = options.compression_min_gain_percent,
    }
  end
  local given, by_type = options.compression_threshold_bytes, {}
  if type(given) == "number" then return by_type, make(given) end
  if serializer_name == "cbor" then
    for kind, bytes in pairs(CBOR_THRESHOLDS) do by_type[kind] = make(bytes) end
  end
  for kind, bytes in pairs(given or {}) do by_type[kind] = make(bytes) end
  return by_type, make(THRESHOLD_BYTES)
end

-- ---- storing --------------------------------------------------------------------------

local function fits(text, max_bytes)
  if #text <= max_bytes then return text end
  return nil, ("the value has %d bytes, max_value_bytes allows %d"):format(#text,
    max_bytes), "too_large"
end

-- JSON texts as they are, for who reads the same hash without us.
local function store_as_plain_json(made, layout, max_bytes)
  local form = layout.form
  if type(form) ~= "function" then form = function() return layout.form end end

  function made.encode_value(kind, value)
    local text, message, code = core.to_json(value, form(kind))
    if not text then return nil, message, code end
    return fits(text, max_bytes)
  end

  function made.encode_text(_, text)
    local stored, message, code = core.json_encode(text, max_bytes)
    if not stored then return nil, message, code end
    return fits(text, max_bytes)
  end
end

-- By the core; without a sealing it writes CBOR, not compressed.
local function store_by_core(made, options, max_bytes)
  local by_type, rest = {}, nil
  if options.compression or options.serializer ~= "cbor" then
    by_type, rest = make_sealings(options, options.serializer)
  end

  function made.encode_value(kind, value)
    return core.encode(value, max_bytes, by_type[kind] or rest)
  end

  function made.encode_text(kind, text)
    return core.json_encode(text, max_bytes, by_type[kind] or rest)
  end
end

local function store_by_script(made, options, script, max_bytes)
  local by_type, rest = make_sealings(options, "json")

  function made.encode_value(kind, value)
    local payload, message, code = serializer.encode(script, kind, value)
    if not payload then return nil, message, code end
    return core.seal(payload, script.code, max_bytes, by_type[kind] or rest)
  end

  function made.encode_text(kind, text)
    local value, message = core.from_json(text)
    if value == nil then return nil, message, "corrupt" end
    return made.encode_value(kind, value)
  end
end

-- ---- reading --------------------------------------------------------------------------

local DECODERS = { value = core.decode, json = core.json_decode }

local Opener = { __name = "authstate.opener" }
Opener.__index = Opener

-- A value that is not encrypted: what the script has written by the script, anything else
-- by the core.
local function open_plain(self, shape, kind, stored)
  local script = self.script
  local payload, message, code = core.open(stored, script.code, self.max_value_bytes)
  if payload == nil then return nil, message, code end
  if not payload then return DECODERS[shape](stored, self.max_value_bytes) end
  local value
  value, message, code = serializer.decode(script, kind, payload)
  if value == nil then return nil, message, code end
  if shape == "json" then return serializer.to_json(script, value) end
  return value
end

--- Opens one value, see Opener:open in encryption.lua.
function Opener:open(shape, place, kind, id, stored)
  local keyring = self.keyring
  if not keyring then return open_plain(self, shape, kind, stored) end
  local plain, message, code = keyring:decrypt(stored, place.session, place.generation,
    kind, id, self.max_value_bytes)
  if not plain then return nil, message, code end
  return open_plain(self, shape, kind, plain)
end

-- ---- making ---------------------------------------------------------------------------

-- What opens values that come as they are stored; nil when the core does as they come.
local function make_opener(script, keyring, max_value_bytes)
  if script then
    return setmetatable({
      script = script, keyring = keyring, max_value_bytes = max_value_bytes,
    }, Opener)
  end
  return keyring and encryption.opener(keyring, max_value_bytes)
end

--- Makes the codec of a store.
-- @param layout see layout.lua
-- @param options of the store
-- @param keyring of the store, or nil
-- @return the codec: `encode_value(type, value)` and `encode_text(type, text)` give what
--   is stored, or nil, message, code; `opener`, see encryption.lua, or nil; or nil and a
--   sentence when there is no such serializer
function codec.new(layout, options, keyring)
  local script, message = serializer.load(options.serializer)
  if not script then return nil, ('option "serializer": %s'):format(message) end
  local made, max_bytes = { script = nil, opener = nil }, options.max_value_bytes
  if not layout.envelope then
    store_as_plain_json(made, layout, max_bytes)
  elseif script.is_built_in then
    store_by_core(made, options, max_bytes)
  else
    store_by_script(made, options, script, max_bytes)
    made.script = script
  end
  made.opener = make_opener(made.script, keyring, max_bytes)
  return made
end

return codec
