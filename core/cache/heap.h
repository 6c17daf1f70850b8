/* SPDX-License-Identifier: MIT */
/* as_cache_heap is a min-heap of entries by a rank, named by number, so that the same
 * entry can stand in several; or of other numbers from 1 on. Of equal ranks the one that
 * was put in first comes first. As with a queue, what makes no sense has no effect. */
#ifndef AS_CACHE_HEAP_H
#define AS_CACHE_HEAP_H

#include "cache/slab.h"

typedef struct as_cache_heap {
  authstate_cache_heap seen; /* nodes[1] to nodes[count] */
  as_mem *mem;
  const as_cache_slab *slab; /* NULL: not of entries */
  uint32_t *places;          /* by entry: its node; 0: in none */
  uint32_t capacity;
  double turn; /* of the last put */
} as_cache_heap;

/* An empty heap of entries of a slab, which outlives it. */
void as_cache_heap_init(as_cache_heap *heap, const as_cache_slab *slab);

/* An empty heap of any numbers. */
void as_cache_heap_init_numbers(as_cache_heap *heap, as_mem *mem);
void as_cache_heap_free(as_cache_heap *heap);

/* Makes room for the entries below `capacity`. AS_ERR_OOM: what is in it is unchanged. */
AS_MUST_USE as_status as_cache_heap_reserve(as_cache_heap *heap, uint32_t capacity);

/* Puts in an entry, or gives one that is in it another rank and turn. NaN counts as the
 * smallest rank. */
void as_cache_heap_put(as_cache_heap *heap, uint32_t entry, double rank);

void as_cache_heap_remove(as_cache_heap *heap, uint32_t entry);

static inline bool as_cache_heap_has(const as_cache_heap *heap, uint32_t entry) {
  return entry < heap->capacity && heap->places[entry] != 0;
}

/* What its tables take. */
static inline size_t as_cache_heap_bytes(const as_cache_heap *heap) {
  return heap->capacity * (sizeof *heap->seen.nodes + sizeof *heap->places);
}

/* Whether every entry is where it says and no parent comes behind a child. */
bool as_cache_heap_validate(const as_cache_heap *heap);

#endif
