/* SPDX-License-Identifier: MIT */
#include "engine/pool.h"

as_status as_pool_init(as_pool *pool, as_mem *mem, uint32_t size,
                       const as_connection_config *connection_config,
                       const as_batch_config *batch_config, as_operations *operations,
                       as_lanes *lanes) {
  memset(pool, 0, sizeof *pool);
  pool->mem = mem;
  pool->size = size;
  pool->connections = as_mem_alloc_zero(mem, pool->size * sizeof *pool->connections);
  if (pool->connections == NULL) return AS_ERR_OOM;
  pool->batches = as_mem_alloc_zero(mem, pool->size * sizeof *pool->batches);
  if (pool->batches == NULL) return AS_ERR_OOM;
  pool->lanes = as_mem_alloc_zero(mem, pool->size * sizeof *pool->lanes);
  if (pool->lanes == NULL) return AS_ERR_OOM;
  for (uint32_t i = 0; i < pool->size; i++) {
    as_connection *connection = &pool->connections[i];
    AS_TRY(as_connection_init(connection, mem, connection_config, operations, lanes));
    connection->number = i;
    connection->random += 2 * (uint64_t)i;
    as_batch_init(&pool->batches[i], mem, batch_config, connection, lanes);
    AS_TRY(as_lanes_open(lanes, as_slice_of("", 0), &pool->lanes[i]));
    pool->lanes[i]->connection = i;
  }
  return AS_OK;
}

void as_pool_free(as_pool *pool) {
  for (uint32_t i = 0; i < pool->size; i++) {
    if (pool->batches != NULL) as_batch_free(&pool->batches[i]);
    if (pool->connections != NULL) as_connection_free(&pool->connections[i]);
  }
  as_mem_free(pool->mem, pool->lanes, pool->size * sizeof *pool->lanes);
  as_mem_free(pool->mem, pool->batches, pool->size * sizeof *pool->batches);
  as_mem_free(pool->mem, pool->connections, pool->size * sizeof *pool->connections);
  pool->batches = NULL;
  pool->lanes = NULL;
  pool->connections = NULL;
  pool->size = 0;
}

static uint32_t load_of(const as_pool *pool, uint32_t number) {
  return pool->connections[number].owed + pool->batches[number].joined;
}

/* A connection that cannot be made now is chosen only when all are like that. */
static bool is_away(const as_connection *connection) {
  return connection->state == AS_CONNECTION_BACKOFF;
}

static uint32_t least_loaded(as_pool *pool) {
  uint32_t best = pool->next;
  for (uint32_t i = 1; i < pool->size; i++) {
    uint32_t each = (pool->next + i) % pool->size;
    bool is_each_away = is_away(&pool->connections[each]);
    bool is_best_away = is_away(&pool->connections[best]);
    bool is_less = load_of(pool, each) < load_of(pool, best);
    if (is_each_away == is_best_away ? is_less : is_best_away) best = each;
  }
  pool->next = (best + 1) % pool->size;
  return best;
}

/* Bytes of a lane may still be on their way while its connection has a victim that was
 * not killed yet. */
static bool may_move(const as_pool *pool, const as_lane *lane) {
  const as_connection *connection = &pool->connections[lane->connection];
  return lane->owed == 0 && is_away(connection) && !connection->has_victim;
}

uint32_t as_pool_place(as_pool *pool, as_lane *lane) {
  if (lane == NULL) return least_loaded(pool);
  if (lane->connection == AS_LANE_UNPLACED || may_move(pool, lane))
    lane->connection = least_loaded(pool);
  return lane->connection;
}

uint32_t as_pool_ready(const as_pool *pool) {
  uint32_t ready = 0;
  for (uint32_t i = 0; i < pool->size; i++)
    if (pool->connections[i].state == AS_CONNECTION_READY) ready++;
  return ready;
}
