/* SPDX-License-Identifier: MIT */
/* as_cache_index finds numbers by a code of 32 bits. It does not know what a code stands
 * for: several numbers may have the same one, and the caller goes through them with
 * `first` and `next` and compares. Codes come from a secret seed (key.h), so nobody
 * outside can choose ids that fall on one place. */
#ifndef AS_CACHE_INDEX_H
#define AS_CACHE_INDEX_H

#include "base/memory.h"
#include "base/slice.h"

typedef struct as_cache_place {
  uint32_t code;
  uint32_t number; /* 0: free */
} as_cache_place;

typedef struct as_cache_index {
  as_mem *mem;
  as_cache_place *places;
  uint32_t capacity; /* a power of two, or 0 */
  uint32_t count;
} as_cache_index;

void as_cache_index_init(as_cache_index *index, as_mem *mem);
void as_cache_index_free(as_cache_index *index);

/* Makes room for one more, so that the next put cannot fail. AS_ERR_OOM: unchanged. */
AS_MUST_USE as_status as_cache_index_reserve(as_cache_index *index);

/* Puts in a number above 0, for which there is room. */
void as_cache_index_put(as_cache_index *index, uint32_t code, uint32_t number);

/* Takes a number out; no effect when it is not there. */
void as_cache_index_remove(as_cache_index *index, uint32_t code, uint32_t number);

/* The number from place *at on that has this code, 0 when there is none; *at becomes the
 * place behind it. */
static inline uint32_t as_cache_index_next(const as_cache_index *index, uint32_t code,
                                           uint32_t *at) {
  for (;;) {
    const as_cache_place *place = &index->places[*at & (index->capacity - 1)];
    if (place->number == 0) return 0;
    *at += 1;
    if (place->code == code) return place->number;
  }
}

/* The first number that has this code, 0 when there is none. */
static inline uint32_t as_cache_index_first(const as_cache_index *index, uint32_t code,
                                            uint32_t *at) {
  if (index->count == 0) return 0;
  *at = code;
  return as_cache_index_next(index, code, at);
}

/* What its table takes. */
static inline size_t as_cache_index_bytes(const as_cache_index *index) {
  return index->capacity * sizeof *index->places;
}

/* Whether every number is found from where its code says. */
bool as_cache_index_validate(const as_cache_index *index);

#endif
