/* SPDX-License-Identifier: MIT */
/* as_cache_slab holds the entries and names each by a number from 1 on, which is used
 * again after the entry is gone. An entry is one block, so memory follows what is cached
 * and not what once was; the slab is the table of the blocks.
 *
 *     offset          size           what
 *     0               56             what all have alike
 *     56              id_length      id
 *     56 + id_length  all behind it  value
 *
 * How long a value is follows from size_bytes. Where entries count as `unit_bytes`
 * instead, its length stands in front of the id, four bytes. Where there is no entry
 * stands one without size. */
#ifndef AS_CACHE_SLAB_H
#define AS_CACHE_SLAB_H

#include "base/memory.h"
#include "cache/key.h"
#include "cache/visible.h"

typedef authstate_cache_entry as_cache_entry;

/* In `state`: not served until it has another value. The other bits: the number of the
 * queue whose link it has, 0: none's. */
enum { AS_CACHE_WITHHELD = 0x80 };

/* As `expires`. */
enum { AS_CACHE_NEVER = 0xFFFFFFFF };

/* The neighbours of an entry in a queue, see queue.h; 0: none. */
typedef struct as_cache_link {
  uint32_t older;
  uint32_t newer;
} as_cache_link;

/* What an entry takes of tables, on average: its place in the slab, its link, and its
 * place in the index. */
enum { AS_CACHE_SHARE_BYTES = 30 };

/* Larger ones are refused, as are longer ids. */
enum { AS_CACHE_MAX_BLOCK = 0x3FFFFFFF, AS_CACHE_MAX_ID = 0xFFFF };

typedef struct as_cache_slab {
  as_mem *mem;
  uint64_t seed;            /* of the codes of keys */
  as_cache_entry **entries; /* by number */
  as_cache_link *links;     /* by number */
  uint32_t slots;           /* numbers below it are given out; 0 or more than 1 */
  uint32_t link_count;      /* of `links`: slots, or more where memory was lacking */
  uint32_t count;           /* of entries */
  uint32_t free;            /* the first free number, 0: none; its link has the next */
  uint32_t unit_bytes;      /* what each entry counts as; 0: what it takes */
  uint32_t noted;           /* an entry, 0: none, whose code is `noted_code` */
  uint32_t noted_code;
  as_cache_entry nobody;
} as_cache_slab;

/* An empty one. unit_bytes, seed: see the fields. */
void as_cache_slab_init(as_cache_slab *slab, as_mem *mem, uint32_t unit_bytes,
                        uint64_t seed);

/* Gives back all entries, too. */
void as_cache_slab_free(as_cache_slab *slab);

/* How many slots there will be once a number is free. */
uint32_t as_cache_slab_wanted(const as_cache_slab *slab);

/* Makes it so many. AS_ERR_OOM: what is there is unchanged. */
AS_MUST_USE as_status as_cache_slab_reserve(as_cache_slab *slab, uint32_t slots);

/* A new entry with a copy of the key's id and of the value, all else 0 but session, type
 * and size_bytes. A number must be free. AS_ERR_OOM, AS_ERR_TOO_LARGE: unchanged. */
AS_MUST_USE as_status as_cache_slab_take(as_cache_slab *slab, const as_cache_key *key,
                                         as_slice value, uint32_t *out_number);

/* Another value for an entry, and its size_bytes; it is not withheld any more.
 * AS_ERR_OOM, AS_ERR_TOO_LARGE: unchanged. */
AS_MUST_USE as_status as_cache_slab_replace(as_cache_slab *slab, uint32_t number,
                                            as_slice value);

/* The entry is gone, its number free. */
void as_cache_slab_give(as_cache_slab *slab, uint32_t number);

/* An entry; one without size where there is none. The number is below `slots`. */
static inline as_cache_entry *as_cache_slab_at(const as_cache_slab *slab,
                                               uint32_t number) {
  return slab->entries[number];
}

static inline bool as_cache_slab_has(const as_cache_slab *slab, uint32_t number) {
  return number < slab->slots && slab->entries[number]->size_bytes != 0;
}

/* Bytes in front of the id. */
static inline size_t as_cache_slab_front(const as_cache_slab *slab) {
  return slab->unit_bytes > 0 ? sizeof(uint32_t) : 0;
}

/* The id and the value of an entry, valid until it is replaced or given back. */
static inline as_slice as_cache_slab_id(const as_cache_slab *slab,
                                        const as_cache_entry *entry) {
  const uint8_t *bytes = (const uint8_t *)(entry + 1);
  return as_slice_of(bytes + as_cache_slab_front(slab), entry->id_length);
}

as_slice as_cache_slab_value(const as_cache_slab *slab, const as_cache_entry *entry);

/* The code of the key of an entry that there is; quick for the one that `note_code` was
 * told last. */
uint32_t as_cache_slab_code(const as_cache_slab *slab, uint32_t number);

static inline void as_cache_slab_note_code(as_cache_slab *slab, uint32_t number,
                                           uint32_t code) {
  slab->noted = number;
  slab->noted_code = code;
}

/* What an entry counts as. */
static inline size_t as_cache_slab_size(const as_cache_slab *slab, size_t id_length,
                                        size_t value_length) {
  if (slab->unit_bytes > 0) return slab->unit_bytes;
  return AS_CACHE_SHARE_BYTES + sizeof(as_cache_entry) + id_length + value_length;
}

/* What it takes, entries included. */
size_t as_cache_slab_bytes(const as_cache_slab *slab);

bool as_cache_slab_validate(const as_cache_slab *slab);

#endif
