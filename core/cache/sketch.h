/* SPDX-License-Identifier: MIT */
/* as_cache_sketch estimates how often keys were used lately, whether they are in the
 * cache or not, in 8 to 16 bytes for each entry that the cache holds (twice as many in a
 * small one): a count-min sketch of counters up to 15 (Einziger, Friedman and Manes:
 * "TinyLFU: A Highly Efficient Cache Admission Policy", 2017). An estimate is seldom
 * above what was added, halved when all counts were, and never below. Without memory it
 * knows nothing: every estimate is 0. */
#ifndef AS_CACHE_SKETCH_H
#define AS_CACHE_SKETCH_H

#include "cache/slab.h"

typedef struct as_cache_sketch {
  authstate_cache_sketch seen;
  const as_cache_slab *slab;
  uint64_t *words; /* 16 counters of 4 bits each */
  uint32_t width;  /* a power of two, or 0 */
  uint32_t turn;   /* of the last use, counted or not */
  uint32_t sample; /* for each entry that the slab holds, so many uses; then all halve */
} as_cache_sketch;

/* Of entries of a slab, which outlives it. */
void as_cache_sketch_init(as_cache_sketch *sketch, const as_cache_slab *slab,
                          uint32_t sample);
void as_cache_sketch_free(as_cache_sketch *sketch);

/* Adds a use of the key of an entry. Where `apart` is set, an entry can be counted by one
 * sketch only. */
void as_cache_sketch_add(as_cache_sketch *sketch, uint32_t entry);

/* Of the key of an entry: 0 to 15. */
uint32_t as_cache_sketch_count(const as_cache_sketch *sketch, uint32_t entry);

#endif
