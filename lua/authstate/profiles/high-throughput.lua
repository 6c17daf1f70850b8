-- SPDX-License-Identifier: MIT
--- For as many calls a second as the machine can do: a gateway whose thousands of
-- sessions work through what has piled up. Each call may wait for the others.

local MIB = 1024 * 1024

return function(env)
  local share = math.floor(env.memory_bytes / 8 / env.workers)
  return {
    options = {
      batch_size = 512,
      batch_window_ms = 10,
      pool_size = 1,
      queue_max_operations = 1000000,
      queue_max_bytes = math.max(64 * MIB, math.min(share, 1024 * MIB)),
      compression = false,
      enable_cache = true,
      cache_max_bytes = math.max(16 * MIB, math.min(share, 1024 * MIB)),
      redis = { socket = { command_timeout_ms = 15000 } },
    },
    why = {
      batch_size = "what hundreds of tasks ask in one turn leaves together: one HMGET "
        .. "for a hash, equal reads as one; with 16, as for low-latency, the server has "
        .. "some 6 % more to do for the same calls, with 4,096 as much",
      batch_window_ms = "only a bound: a batch leaves as soon as no task can add to it",
      pool_size = "one server reads one connection after the other; more of them make "
        .. "more and smaller batches (make bench CASE=engine_pool)",
      queue_max_operations = "a storm of many sessions waits rather than fails",
      queue_max_bytes = "an eighth of the memory for all workers, for what waits in a "
        .. "storm, at most 1 GiB each",
      compression = "packed records are little but random bytes: compressing them takes "
        .. "time and saves half a hundredth",
      enable_cache = "a read that hits takes half the time of one in a batch of "
        .. "hundreds; a write takes a third more. With the calls of a real session that "
        .. "is no loss, with more reads a gain (make bench CASE=profiles); a store that "
        .. "mostly writes is quicker without",
      cache_max_bytes = "an eighth of the memory for all workers, at most 1 GiB each: "
        .. "what thousands of sessions read again and again; one has 100 to 600 KiB",
      ["redis.socket.command_timeout_ms"] = "who waits behind a million "
        .. "calls waits longer",
    },
  }
end
