/* SPDX-License-Identifier: MIT */
/* as_pool holds the connections of an engine to one server, and the batch of each. It
 * owns them. A connection is opened when the first operation comes to it. A lane is
 * placed on the connection with the fewest operations, the next one in turn among equals,
 * and stays there; while its own is away and nothing of the lane is owed, it may go to
 * another one. */
#ifndef AS_ENGINE_POOL_H
#define AS_ENGINE_POOL_H

#include "engine/batch.h"

typedef struct as_pool {
  as_mem *mem;
  as_connection *connections;
  as_batch *batches;
  as_lane **lanes; /* one a connection, for what keeps no session's order */
  uint32_t size;   /* those that lanes are placed on */
  uint32_t next;   /* where the search for the least loaded one begins */
} as_pool;

AS_MUST_USE as_status as_pool_init(as_pool *pool, as_mem *mem, uint32_t size,
                                   const as_connection_config *connection_config,
                                   const as_batch_config *batch_config,
                                   as_operations *operations, as_lanes *lanes);
void as_pool_free(as_pool *pool);

/* The number of the connection that the next operation of a lane goes to; NULL: of nobody
 * in particular. */
uint32_t as_pool_place(as_pool *pool, as_lane *lane);

/* How many connections are ready. */
uint32_t as_pool_ready(const as_pool *pool);

#endif
