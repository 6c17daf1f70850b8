/* SPDX-License-Identifier: MIT */
/* as_map finds a number by a byte string. It owns neither: the bytes lie where the caller
 * keeps them, and `key_of` shows those of a number. Open addressing, linear probing; a
 * search gives up after a few places, so that chosen strings cannot make it slow: it then
 * says "not there", and an entry that finds no place is left out. So a map is for what
 * may be missed, such as two equal reads that could share a reply. Emptying costs the
 * same however full it is. */
#ifndef AS_BASE_MAP_H
#define AS_BASE_MAP_H

#include "base/memory.h"
#include "base/slice.h"

enum { AS_MAP_NONE = 0xFFFFFFFF };

typedef struct as_map_entry {
  uint32_t stamp; /* another one than the map's: the place is free */
  uint32_t code;  /* of the bytes */
  uint32_t number;
} as_map_entry;

typedef struct as_map {
  as_mem *mem;
  as_map_entry *entries;
  uint32_t capacity; /* a power of two; 0: no memory yet */
  uint32_t count;
  uint32_t stamp;
} as_map;

/* The bytes of a number that was put in. */
typedef as_slice (*as_map_key)(const void *owner, uint32_t number);

void as_map_init(as_map *map, as_mem *mem);
void as_map_free(as_map *map);

/* Empties the map but keeps its memory. */
void as_map_clear(as_map *map);

/* What find and put go by: the same for equal bytes. */
uint32_t as_map_code(as_slice key);

/* A number whose bytes are `key`, whose code is `code`; or AS_MAP_NONE. */
uint32_t as_map_find(const as_map *map, as_slice key, uint32_t code, as_map_key key_of,
                     const void *owner);

/* Puts in a number, by the code of its bytes. AS_ERR_OOM: unchanged. */
AS_MUST_USE as_status as_map_put(as_map *map, uint32_t code, uint32_t number);

#endif
