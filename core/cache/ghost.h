/* SPDX-License-Identifier: MIT */
/* as_cache_ghost remembers entries that are gone, the oldest of them forgotten first: the
 * codes of their keys, 12 to 40 bytes each. Two keys in four billion have the same code,
 * so it may seldom remember what was never there. Without memory it forgets. */
#ifndef AS_CACHE_GHOST_H
#define AS_CACHE_GHOST_H

#include "cache/index.h"
#include "cache/slab.h"

typedef struct as_cache_ghost {
  authstate_cache_ghost seen;
  const as_cache_slab *slab;
  as_cache_index index; /* code -> turn, of those that are remembered */
  uint32_t *ring;       /* codes, by turn */
  uint32_t capacity;    /* of the ring: a power of two, or 0 */
  uint32_t oldest;      /* turn of the oldest; 1 or more */
  uint32_t next;        /* turn of the next one */
} as_cache_ghost;

/* Of entries of a slab, which outlives it. */
void as_cache_ghost_init(as_cache_ghost *ghost, const as_cache_slab *slab);
void as_cache_ghost_free(as_cache_ghost *ghost);

/* Remembers the key of an entry as the newest, and in all at most as many as the slab
 * holds entries. */
void as_cache_ghost_add(as_cache_ghost *ghost, uint32_t entry);

/* Whether the key of an entry is remembered. */
bool as_cache_ghost_has(const as_cache_ghost *ghost, uint32_t entry);

/* Forgets the key of an entry. */
void as_cache_ghost_remove(as_cache_ghost *ghost, uint32_t entry);

bool as_cache_ghost_validate(const as_cache_ghost *ghost);

#endif
