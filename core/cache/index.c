/* SPDX-License-Identifier: MIT */
/* Open addressing with linear probing. No place is ever marked as deleted: those behind a
 * removed number move up (Knuth, volume 3, 6.4, algorithm R), so a search ends at the
 * first free place. At most three places of four are taken. */
#include "cache/index.h"

enum { FIRST_CAPACITY = 64 };

void as_cache_index_init(as_cache_index *index, as_mem *mem) {
  memset(index, 0, sizeof *index);
  index->mem = mem;
}

void as_cache_index_free(as_cache_index *index) {
  as_mem_free(index->mem, index->places, index->capacity * sizeof *index->places);
  as_cache_index_init(index, index->mem);
}

as_status as_cache_index_reserve(as_cache_index *index) {
  as_cache_index grown = *index;
  if (index->count + 1 <= index->capacity / 4 * 3) return AS_OK;
  grown.capacity = index->capacity ? index->capacity * 2 : FIRST_CAPACITY;
  grown.count = 0;
  grown.places = as_mem_alloc_zero(index->mem, grown.capacity * sizeof *grown.places);
  if (grown.places == NULL) return AS_ERR_OOM;
  for (uint32_t i = 0; i < index->capacity; i++)
    if (index->places[i].number != 0)
      as_cache_index_put(&grown, index->places[i].code, index->places[i].number);
  as_mem_free(index->mem, index->places, index->capacity * sizeof *index->places);
  *index = grown;
  return AS_OK;
}

void as_cache_index_put(as_cache_index *index, uint32_t code, uint32_t number) {
  uint32_t mask = index->capacity - 1;
  uint32_t at = code & mask;
  while (index->places[at].number != 0) at = (at + 1) & mask;
  index->places[at] = (as_cache_place){code, number};
  index->count++;
}

/* Those behind the hole that may stand in it move there, and leave another hole. */
static void close_hole(as_cache_index *index, uint32_t hole) {
  uint32_t mask = index->capacity - 1;
  for (uint32_t at = (hole + 1) & mask; index->places[at].number != 0;
       at = (at + 1) & mask) {
    uint32_t distance = (at - index->places[at].code) & mask; /* from where it belongs */
    if (distance < ((at - hole) & mask)) continue;
    index->places[hole] = index->places[at];
    hole = at;
  }
  index->places[hole] = (as_cache_place){0, 0};
}

void as_cache_index_remove(as_cache_index *index, uint32_t code, uint32_t number) {
  uint32_t at = 0;
  uint32_t found = as_cache_index_first(index, code, &at);
  while (found != 0 && found != number) found = as_cache_index_next(index, code, &at);
  if (found == 0) return;
  index->count--;
  close_hole(index, (at - 1) & (index->capacity - 1));
}

bool as_cache_index_validate(const as_cache_index *index) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < index->capacity; i++) {
    const as_cache_place *place = &index->places[i];
    if (place->number == 0) continue;
    count++;
    uint32_t at = 0;
    uint32_t found = as_cache_index_first(index, place->code, &at);
    while (found != 0 && found != place->number)
      found = as_cache_index_next(index, place->code, &at);
    if (found == 0) return false;
  }
  return count == index->count && count <= index->capacity / 4 * 3;
}
