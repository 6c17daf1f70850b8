/* SPDX-License-Identifier: MIT */
/* as_pool holds the connections of an engine. It owns them. Its size is one for now, so
 * that every operation of a session trivially stays on one connection. */
#ifndef AS_ENGINE_POOL_H
#define AS_ENGINE_POOL_H

#include "engine/connection.h"

typedef struct as_pool {
  as_mem *mem;
  as_connection *connections;
  uint32_t size;
} as_pool;

AS_MUST_USE as_status as_pool_init(as_pool *pool, as_mem *mem, uint32_t size,
                                   const as_connection_config *config,
                                   as_operations *operations);
void as_pool_free(as_pool *pool);

/* The connection that the next operation goes to. */
as_connection *as_pool_pick(const as_pool *pool);

/* The connection that holds a queued operation. */
as_connection *as_pool_owner(const as_pool *pool, const as_operation *operation);

#endif
