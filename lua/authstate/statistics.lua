-- SPDX-License-Identifier: MIT
--- What a store tells of itself: `store:stats()`. Names of sessions are not among it, nor
-- anything of what is stored.

local statistics = {}

-- Of a store that has no cache, and of features that are not there yet.
local function no_cache()
  return {
    entries = 0, bytes = 0, capacity_bytes = 0, hits = 0, misses = 0, hit_ratio = 0,
    evictions = 0, refused = 0, invalidations = 0, flushes = {}, types = {},
    preload = { useful = 0, wasted = 0 },
  }
end

local function batch_of(counted)
  local count = counted.batches
  return {
    count = count, mean = count > 0 and counted.batched_operations / count or 0,
    flushed = {
      size = counted.flushed_by_size, age = counted.flushed_by_age,
      idle = counted.flushed_when_idle,
    },
  }
end

-- The counters of calls; zeros when nothing is measured.
local function measured_of(store)
  local metrics = store.observer and store.observer.metrics
  if not metrics then
    return {
      operations = {}, errors = {}, wait_p99_ms = 0,
      codec = { bytes_in = 0, bytes_stored = 0, ratio = 0 },
    }
  end
  return {
    operations = metrics:operations(), errors = metrics:error_counts(),
    wait_p99_ms = metrics:wait_p99_ms(), codec = metrics:codec_counts(),
  }
end

--- The figures of a store that is open.
-- @return see doc/metrics.md
function statistics.of(store)
  local counted, waiting = store.driver:statistics(), store.waiting
  local measured = measured_of(store)
  local cache = store.cache and store.cache:stats() or no_cache()
  return {
    uptime_ms = store.now_ms() - store.opened_ms,
    memory_bytes = counted.memory_bytes + cache.bytes,
    operations = measured.operations,
    errors = measured.errors,
    batch = batch_of(counted),
    pool = {
      size = store.options.pool_size, busy = counted.ready_connections,
      wait_p99_ms = measured.wait_p99_ms,
      reconnects = math.max(counted.streams - counted.used_connections, 0),
    },
    cache = cache,
    codec = measured.codec,
    wire = { bytes_out = counted.bytes_out, bytes_in = counted.bytes_in },
    leases = { held = 0, lost = 0, fenced = 0 },
    queued = {
      operations = counted.queued_operations + waiting.operations,
      bytes = counted.queued_bytes + waiting.bytes,
    },
  }
end

return statistics
