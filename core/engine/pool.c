/* SPDX-License-Identifier: MIT */
#include "engine/pool.h"

as_status as_pool_init(as_pool *pool, as_mem *mem, uint32_t size,
                       const as_connection_config *config, as_operations *operations) {
  pool->mem = mem;
  pool->size = size;
  pool->connections = as_mem_alloc_zero(mem, size * sizeof *pool->connections);
  if (pool->connections == NULL) return AS_ERR_OOM;
  for (uint32_t i = 0; i < size; i++)
    AS_TRY(as_connection_init(&pool->connections[i], mem, config, operations));
  return AS_OK;
}

void as_pool_free(as_pool *pool) {
  if (pool->connections == NULL) return;
  for (uint32_t i = 0; i < pool->size; i++) as_connection_free(&pool->connections[i]);
  as_mem_free(pool->mem, pool->connections, pool->size * sizeof *pool->connections);
  pool->connections = NULL;
}

as_connection *as_pool_pick(const as_pool *pool) {
  return &pool->connections[0];
}

as_connection *as_pool_owner(const as_pool *pool, const as_operation *operation) {
  return &pool->connections[operation->connection];
}
