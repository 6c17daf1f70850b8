/* SPDX-License-Identifier: MIT */
/* as_mem is where the core's memory comes from. Every object takes the as_mem it was
 * made with and gives each block back to it with its size, so that used_bytes is exact
 * and a test can plug in an allocator that fails at the n-th call. */
#ifndef AS_BASE_MEMORY_H
#define AS_BASE_MEMORY_H

#include <stddef.h>

#include "base/error.h"

typedef struct as_mem {
  /* realloc semantics: block NULL allocates, new_size 0 frees and returns NULL; NULL for
   * a new_size above zero means out of memory and leaves the block as it was. */
  void *(*resize)(void *context, void *block, size_t new_size);
  void *context;
  size_t used_bytes; /* sum of the sizes of all blocks held */
} as_mem;

/* An as_mem over the C library's heap. */
void as_mem_init(as_mem *mem);

/* A block of `size` bytes, not cleared; NULL when out of memory. size > 0. */
AS_MUST_USE void *as_mem_alloc(as_mem *mem, size_t size);

/* The same, all bytes zero. */
AS_MUST_USE void *as_mem_alloc_zero(as_mem *mem, size_t size);

/* Grows or shrinks a block; NULL when out of memory: the old block stays valid. */
AS_MUST_USE void *as_mem_resize(as_mem *mem, void *block, size_t old_size,
                                size_t new_size);

/* Gives a block back. NULL is accepted. */
void as_mem_free(as_mem *mem, void *block, size_t size);

#endif
