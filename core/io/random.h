/* SPDX-License-Identifier: MIT */
#ifndef AS_IO_RANDOM_H
#define AS_IO_RANDOM_H

#include <stddef.h>

#include "base/error.h"

/* Fills a block with bytes from the kernel's generator (getrandom). At most 256 bytes. */
AS_MUST_USE as_status as_random_fill(void *block, size_t length);

/* Random bytes fetched ahead, for who needs a few at a time often. What was fetched is
 * gone in a child after a fork, so parent and child never give out the same. */
typedef struct as_random_pool as_random_pool;

/* NULL: out of memory, or the system cannot empty memory in children (MADV_WIPEONFORK,
 * Linux 4.14). Then as_random_pool_take asks the kernel each time. */
as_random_pool *as_random_pool_new(void);

/* NULL is accepted. */
void as_random_pool_del(as_random_pool *pool);

/* Fills a block; each byte is given out once. At most 256 bytes. */
AS_MUST_USE as_status as_random_pool_take(as_random_pool *pool, void *block,
                                          size_t length);

#endif
