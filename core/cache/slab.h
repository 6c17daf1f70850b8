/* SPDX-License-Identifier: MIT */
/* as_cache_slab holds the entries and names each by a number from 1 on, which is used
 * again after the entry is gone. An entry is one block, its header with id and value
 * behind it, so memory follows what is cached and not what once was; the slab is the
 * table of the blocks. Where there is no entry stands one without size. */
#ifndef AS_CACHE_SLAB_H
#define AS_CACHE_SLAB_H

#include "base/memory.h"
#include "cache/key.h"
#include "cache/visible.h"

typedef struct as_cache_entry {
  authstate_cache_entry seen;
  uint32_t code; /* of its key */
  uint32_t id_length;
  uint32_t group; /* and its neighbours in it, see groups.h */
  uint32_t group_before;
  uint32_t group_behind;
  uint32_t counts_from; /* use of a sketch from which on it counts again; 0: any */
  uint8_t queue;        /* whose link it has in `links`; 0: nobody's */
  uint8_t bytes[];      /* the id, the value */
} as_cache_entry;

/* The neighbours of an entry in a queue, see queue.h; 0: none. */
typedef struct as_cache_link {
  uint32_t older;
  uint32_t newer;
} as_cache_link;

/* What an entry takes of tables, on average: its place in the slab, in the index, and in
 * one queue. */
enum { AS_CACHE_SHARE_BYTES = 32 };

/* Larger ones are refused. */
enum { AS_CACHE_MAX_BLOCK = 0x3FFFFFFF };

typedef struct as_cache_slab {
  as_mem *mem;
  authstate_cache_entry **entries; /* by number */
  as_cache_link *links;            /* by number */
  uint32_t *free;                  /* a stack of free numbers */
  uint32_t slots;                  /* numbers below it are given out; 0 or more than 1 */
  uint32_t link_count;             /* of links: slots, or more where memory was lacking */
  uint32_t free_count;
  uint32_t unit_bytes; /* what each entry counts as; 0: what it takes */
  authstate_cache_entry nobody;
} as_cache_slab;

/* An empty one. unit_bytes: see the field. */
void as_cache_slab_init(as_cache_slab *slab, as_mem *mem, uint32_t unit_bytes);

/* Gives back all entries, too. */
void as_cache_slab_free(as_cache_slab *slab);

/* How many slots there will be once a number is free. */
uint32_t as_cache_slab_wanted(const as_cache_slab *slab);

/* Makes it so many. AS_ERR_OOM: unchanged. */
AS_MUST_USE as_status as_cache_slab_reserve(as_cache_slab *slab, uint32_t slots);

/* A new entry with a copy of the key's id and of the value, all else 0 but session, type,
 * size_bytes and value. A number must be free. AS_ERR_OOM, AS_ERR_TOO_LARGE: unchanged.
 */
AS_MUST_USE as_status as_cache_slab_take(as_cache_slab *slab, const as_cache_key *key,
                                         as_slice value, uint32_t *out_number);

/* Another value for an entry, and its size_bytes. AS_ERR_OOM, AS_ERR_TOO_LARGE:
 * unchanged. */
AS_MUST_USE as_status as_cache_slab_replace(as_cache_slab *slab, uint32_t number,
                                            as_slice value);

/* The entry is gone, its number free. */
void as_cache_slab_give(as_cache_slab *slab, uint32_t number);

/* How many entries there are. */
static inline uint32_t as_cache_slab_count(const as_cache_slab *slab) {
  return slab->slots == 0 ? 0 : slab->slots - 1 - slab->free_count;
}

static inline bool as_cache_slab_has(const as_cache_slab *slab, uint32_t number) {
  return number < slab->slots && slab->entries[number]->size_bytes != 0;
}

/* An entry that there is; valid until it is replaced or given back. */
static inline as_cache_entry *as_cache_slab_at(const as_cache_slab *slab,
                                               uint32_t number) {
  return (as_cache_entry *)(void *)slab->entries[number];
}

static inline as_slice as_cache_entry_id(const as_cache_entry *entry) {
  return as_slice_of(entry->bytes, entry->id_length);
}

/* Bytes of the block of an entry. */
static inline size_t as_cache_entry_block(size_t id_length, size_t value_length) {
  return sizeof(as_cache_entry) + id_length + value_length;
}

/* What it takes, entries included. */
size_t as_cache_slab_bytes(const as_cache_slab *slab);

bool as_cache_slab_validate(const as_cache_slab *slab);

#endif
