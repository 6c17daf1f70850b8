/* SPDX-License-Identifier: MIT */
/* as_cache_groups lists the entries of each session and type, so that all of them can be
 * found when their hash was changed by somebody else, without going through the cache. A
 * group is there as long as it has entries.
 *
 * A group lists its entries in the order in which they expire, so that what expires first
 * is the first of some group, and only groups stand in a heap. Entries of one type live
 * as long as each other, so the place of one is at the end of its group, or near it. */
#ifndef AS_CACHE_GROUPS_H
#define AS_CACHE_GROUPS_H

#include "cache/heap.h"
#include "cache/index.h"
#include "cache/slab.h"

typedef struct as_cache_group {
  uint32_t session;
  uint32_t type;
  uint32_t first; /* entry; 0 in a free group */
  uint32_t last;  /* entry; in a free group the next free one */
} as_cache_group;

typedef struct as_cache_groups {
  as_mem *mem;
  as_cache_index index;   /* code of session and type -> group */
  as_cache_heap expiry;   /* of groups, by `expires` of the first of each */
  as_cache_group *groups; /* by number, from 1 on */
  uint32_t capacity;
  uint32_t free; /* the first of those, 0: none */
  uint64_t seed;
} as_cache_groups;

void as_cache_groups_init(as_cache_groups *groups, as_mem *mem, uint64_t seed);
void as_cache_groups_free(as_cache_groups *groups);

/* Makes sure that there is a group for one more. AS_ERR_OOM: unchanged. */
AS_MUST_USE as_status as_cache_groups_reserve(as_cache_groups *groups);

/* Adds an entry of the slab, by its `expires`, to the group of its session and type;
 * there is room. */
void as_cache_groups_add(as_cache_groups *groups, as_cache_slab *slab, uint32_t number);

/* Takes an entry out of its group. */
void as_cache_groups_remove(as_cache_groups *groups, as_cache_slab *slab,
                            uint32_t number);

/* An entry of a group has another `expires`. */
void as_cache_groups_move(as_cache_groups *groups, as_cache_slab *slab, uint32_t number);

/* All entries have another `expires`, but the order is what it was. */
void as_cache_groups_rank(as_cache_groups *groups, const as_cache_slab *slab);

/* The entry that expires first; 0: none ever does. */
uint32_t as_cache_groups_expiring(const as_cache_groups *groups);

/* An entry of a session and type, 0 when there is none. */
uint32_t as_cache_groups_first(const as_cache_groups *groups, uint32_t session,
                               uint32_t type);

/* What its tables take. */
size_t as_cache_groups_bytes(const as_cache_groups *groups);

/* Whether each entry of the slab is in its group, once, and where it should be. */
bool as_cache_groups_validate(const as_cache_groups *groups, const as_cache_slab *slab);

#endif
