/* SPDX-License-Identifier: MIT */
/* as_cache_sketch estimates how often keys were used lately, whether they are in the
 * cache or not, in 5 to 11 bytes for each entry that the cache holds (8 to 16 in a small
 * one): a count-min sketch of counters up to 15 (Einziger, Friedman and Manes:
 * "TinyLFU: A Highly Efficient Cache Admission Policy", 2017). An estimate is seldom
 * above what was added, halved when all counts were, and never below. Where uses are to
 * be apart, 2 bytes more for each entry. Without memory it knows nothing: every estimate
 * is 0. */
#ifndef AS_CACHE_SKETCH_H
#define AS_CACHE_SKETCH_H

#include "cache/slab.h"

typedef struct as_cache_sketch {
  authstate_cache_sketch seen;
  const as_cache_slab *slab;
  uint64_t *words;     /* 16 counters of 4 bits each */
  uint16_t *from;      /* by entry: the phase from which on it counts again; 0: any */
  uint32_t width;      /* of `words`: a power of two, or 0 */
  uint32_t from_count; /* of `from`; what is behind it counts */
  uint32_t passed;     /* uses in this phase, counted or not */
  uint16_t phase;
  uint32_t sample; /* for each entry that the slab holds, so many uses; then all halve */
} as_cache_sketch;

/* Of entries of a slab, which outlives it. */
void as_cache_sketch_init(as_cache_sketch *sketch, const as_cache_slab *slab,
                          uint32_t sample);
void as_cache_sketch_free(as_cache_sketch *sketch);

/* Adds a use of the key of an entry. */
void as_cache_sketch_add(as_cache_sketch *sketch, uint32_t entry);

/* Of the key of an entry: 0 to 15. */
uint32_t as_cache_sketch_count(const as_cache_sketch *sketch, uint32_t entry);

/* An entry goes: the next one of its number counts at once. */
void as_cache_sketch_forget(as_cache_sketch *sketch, uint32_t entry);

/* What its tables take. */
static inline size_t as_cache_sketch_bytes(const as_cache_sketch *sketch) {
  return sketch->width * sizeof *sketch->words +
         sketch->from_count * sizeof *sketch->from;
}

#endif
