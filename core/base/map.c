/* SPDX-License-Identifier: MIT */
#include "base/map.h"

enum { FIRST_CAPACITY = 64, PROBES = 16 };

void as_map_init(as_map *map, as_mem *mem) {
  memset(map, 0, sizeof *map);
  map->mem = mem;
  map->stamp = 1;
}

void as_map_free(as_map *map) {
  as_mem_free(map->mem, map->entries, map->capacity * sizeof *map->entries);
  as_map_init(map, map->mem);
}

void as_map_clear(as_map *map) {
  map->count = 0;
  map->stamp++;
  if (map->stamp != 0) return;
  map->stamp = 1;
  if (map->entries != NULL) memset(map->entries, 0, map->capacity * sizeof *map->entries);
}

static uint64_t fold(uint64_t code, uint64_t word) {
  code = (code ^ word) * UINT64_C(0xD6E8FEB86659FD93);
  return code ^ code >> 32;
}

/* Multiply and fold, eight bytes at a time: quick, and good enough for a table. The last
 * eight of a long string may be taken twice. */
uint32_t as_map_code(as_slice key) {
  uint64_t code = key.length * UINT64_C(0x9E3779B97F4A7C15);
  uint64_t word = 0;
  size_t at = 0;
  for (; at + sizeof word <= key.length; at += sizeof word) {
    memcpy(&word, key.data + at, sizeof word);
    code = fold(code, word);
  }
  if (at == key.length) return (uint32_t)code;
  word = 0;
  if (key.length > sizeof word)
    memcpy(&word, key.data + key.length - sizeof word, sizeof word);
  else
    for (size_t i = at; i < key.length; i++) word = word << 8 | key.data[i];
  return (uint32_t)fold(code, word);
}

uint32_t as_map_find(const as_map *map, as_slice key, uint32_t code, as_map_key key_of,
                     const void *owner) {
  if (map->count == 0) return AS_MAP_NONE;
  for (uint32_t probe = 0; probe < PROBES; probe++) {
    const as_map_entry *entry = &map->entries[(code + probe) & (map->capacity - 1)];
    if (entry->stamp != map->stamp) return AS_MAP_NONE;
    if (entry->code == code && as_slice_equals(key_of(owner, entry->number), key))
      return entry->number;
  }
  return AS_MAP_NONE;
}

/* Places are never emptied one by one, so the first free one ends every search. */
static bool place(as_map *map, uint32_t code, uint32_t number) {
  for (uint32_t probe = 0; probe < PROBES; probe++) {
    as_map_entry *entry = &map->entries[(code + probe) & (map->capacity - 1)];
    if (entry->stamp == map->stamp) continue;
    entry->stamp = map->stamp;
    entry->code = code;
    entry->number = number;
    map->count++;
    return true;
  }
  return false;
}

static as_status grow(as_map *map) {
  as_map grown = *map;
  grown.capacity = map->capacity ? map->capacity * 2 : FIRST_CAPACITY;
  grown.count = 0;
  grown.entries = as_mem_alloc_zero(map->mem, grown.capacity * sizeof *grown.entries);
  if (grown.entries == NULL) return AS_ERR_OOM;
  for (uint32_t i = 0; i < map->capacity; i++)
    if (map->entries[i].stamp == map->stamp)
      (void)place(&grown, map->entries[i].code, map->entries[i].number);
  as_mem_free(map->mem, map->entries, map->capacity * sizeof *map->entries);
  *map = grown;
  return AS_OK;
}

as_status as_map_put(as_map *map, uint32_t code, uint32_t number) {
  if (map->count + 1 > map->capacity / 2) AS_TRY(grow(map));
  (void)place(map, code, number);
  return AS_OK;
}
