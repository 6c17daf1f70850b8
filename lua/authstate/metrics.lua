-- SPDX-License-Identifier: MIT
--- What a store counts of its calls: how many of each name, how long they took, how many
-- failed and with which code; and what the codec made of the records that were written.
-- Times go into histograms of fixed size in the core, so counting a call allocates
-- nothing; what the core has the times of anyway (the quick way of reading) it counts
-- itself.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"

local library = core_ffi.library

local Metrics = { __name = "authstate.metrics" }
Metrics.__index = Metrics

local metrics = {}

-- By number of their histograms. The first ones are filled by the engine too
-- (core/binding/histogram.h); `wait` is no call, but the time until a request was sent.
local NAMES = {
  [0] = "wait", "get", "set", "list", "count", "types", "load_creds", "load_or_create",
  "save_creds", "commit", "load", "delete", "ping", "sessions", "session_info",
}
local WAIT = 0

-- Of values one in so many is written as JSON, to know how long that would be.
local SAMPLED = 16

local numbers = {}
for number, name in pairs(NAMES) do numbers[name] = number end

--- Makes the counters of a store, all zero.
-- @param now_ms the clock
function metrics.new(now_ms)
  local histograms = core.histograms(#NAMES + 1)
  return setmetatable({
    histograms = histograms, seen = core_ffi.histograms(histograms:address()),
    now_ms = now_ms or library.authstate_now_ms, failed = {}, errors = {},
    hits = 0, -- reads that asked no server, and are not in a histogram yet
    text_bytes = 0, text_stored = 0, value_stored = 0, values = 0, sample_bytes = 0,
    sample_stored = 0,
  }, Metrics)
end

--- Counts a call that has ended.
-- @param name one of the names above
-- @param elapsed_ms what it took
-- @param code of its failure, nil for none
function Metrics:add(name, elapsed_ms, code)
  library.authstate_histogram_add(self.seen, numbers[name], elapsed_ms, 1)
  if code then
    self.failed[name] = (self.failed[name] or 0) + 1
    self.errors[code] = (self.errors[code] or 0) + 1
  end
end

--- Counts a call that has ended, from its results, which it gives back.
-- @param name one of the names above
-- @param started_ms when it began
-- @param ... its results
function Metrics:finish(name, started_ms, ...)
  local value, _, code = ...
  self:add(name, self.now_ms() - started_ms, value == nil and code or nil)
  return ...
end

-- ---- the codec ------------------------------------------------------------------------

-- Counts a JSON text and what is stored of it.
local function add_text(self, text, stored)
  self.text_bytes = self.text_bytes + #text
  self.text_stored = self.text_stored + #stored
end

-- The same of a value. Of the first ones each is measured, then one of many.
local function add_value(self, value, stored)
  self.values, self.value_stored = self.values + 1, self.value_stored + #stored
  if self.values > SAMPLED and self.values % SAMPLED ~= 0 then return end
  local text = core.to_json(value)
  if not text then return end
  self.sample_bytes = self.sample_bytes + #text
  self.sample_stored = self.sample_stored + #stored
end

--- A codec that is counted. The given one does not change.
-- @param made see codec.lua
function Metrics:codec(made)
  local counted = setmetatable({}, { __index = made })
  function counted.encode_text(kind, text)
    local stored, message, code = made.encode_text(kind, text)
    if stored then add_text(self, text, stored) end
    return stored, message, code
  end
  function counted.encode_value(kind, value)
    local stored, message, code = made.encode_value(kind, value)
    if stored then add_value(self, value, stored) end
    return stored, message, code
  end
  return counted
end

-- ---- what was counted -----------------------------------------------------------------

local function quantile_ms(self, number, share)
  return library.authstate_histogram_quantile(self.seen, number, share)
end

-- Puts what the near cache answered where it belongs: at the shortest time there is.
local function settle_hits(self)
  library.authstate_histogram_add(self.seen, numbers.get, 0, self.hits)
  self.hits = 0
end

--- The calls by name: { [name] = { count, errors, p50_ms, p99_ms } }.
function Metrics:operations()
  settle_hits(self)
  local operations = {}
  for number, name in ipairs(NAMES) do
    local count = library.authstate_histogram_count(self.seen, number)
    if count > 0 then
      operations[name] = {
        count = count, errors = self.failed[name] or 0,
        p50_ms = quantile_ms(self, number, 0.5), p99_ms = quantile_ms(self, number, 0.99),
      }
    end
  end
  return operations
end

--- How many calls failed: { [code] = n }.
function Metrics:error_counts()
  local counts = {}
  for code, count in pairs(self.errors) do counts[code] = count end
  return counts
end

--- How long 99 of 100 requests waited at most until they were sent.
function Metrics:wait_p99_ms()
  return quantile_ms(self, WAIT, 0.99)
end

--- What the codec made of the records that were written: { bytes_in (as JSON, of values
-- by a sample), bytes_stored, ratio }.
function Metrics:codec_counts()
  local sampled = self.sample_stored > 0 and self.sample_bytes / self.sample_stored or 0
  local bytes_in = self.text_bytes + math.floor(self.value_stored * sampled + 0.5)
  local bytes_stored = self.text_stored + self.value_stored
  return {
    bytes_in = bytes_in, bytes_stored = bytes_stored,
    ratio = bytes_in > 0 and bytes_stored / bytes_in or 0,
  }
end

return metrics
