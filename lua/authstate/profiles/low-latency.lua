-- SPDX-License-Identifier: MIT
--- For an answer soon, or none: calls on which somebody waits. What cannot be answered
-- soon is refused at once, and can be asked elsewhere, or later.

local MIB = 1024 * 1024

return {
  options = {
    batch_size = 16,
    batch_window_ms = 1,
    pool_size = 1,
    queue_max_operations = 2000,
    queue_max_bytes = 64 * MIB,
    compression = false,
    enable_cache = true,
    redis = {
      socket = {
        connect_timeout_ms = 500, command_timeout_ms = 1000, health_timeout_ms = 2000,
      },
    },
  },
  why = {
    batch_size = "the server begins with the first 16 while tasks still ask for more",
    batch_window_ms = "a task that goes on for long does not hold back what others asked",
    pool_size = "a second connection to one server makes a read of a few tasks slower "
      .. "(make bench CASE=engine_pool)",
    queue_max_operations = "no call waits behind more than 2,000 others: beyond, it is "
      .. "told at once (overloaded)",
    queue_max_bytes = "no call waits behind more than 64 MiB; a commit may have as much",
    enable_cache = "what was read before needs no way to the server: half of the calls "
      .. "of a real session take less than half as long (make bench CASE=profiles)",
    compression = "it takes time in each write, and in each read",
    ["redis.socket.connect_timeout_ms"] = "a server that is there answers at once",
    ["redis.socket.command_timeout_ms"] = "a person does not wait for longer",
    ["redis.socket.health_timeout_ms"] = "a connection that has gone silent is "
      .. "replaced before many have waited for it in vain",
  },
}
