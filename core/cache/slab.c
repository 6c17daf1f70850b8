/* SPDX-License-Identifier: MIT */
#include "cache/slab.h"

#include <string.h>

enum { FIRST_SLOTS = 64 };

void as_cache_slab_init(as_cache_slab *slab, as_mem *mem, uint32_t unit_bytes) {
  memset(slab, 0, sizeof *slab);
  slab->mem = mem;
  slab->unit_bytes = unit_bytes;
}

void as_cache_slab_free(as_cache_slab *slab) {
  for (uint32_t number = 1; number < slab->slots; number++)
    if (as_cache_slab_has(slab, number)) as_cache_slab_give(slab, number);
  as_mem_free(slab->mem, slab->entries, slab->slots * sizeof *slab->entries);
  as_mem_free(slab->mem, slab->free, slab->slots * sizeof *slab->free);
  as_mem_free(slab->mem, slab->links, slab->link_count * sizeof *slab->links);
  as_cache_slab_init(slab, slab->mem, slab->unit_bytes);
}

/* A quarter more, so that little is unused. */
uint32_t as_cache_slab_wanted(const as_cache_slab *slab) {
  if (slab->free_count > 0) return slab->slots;
  if (slab->slots == 0) return FIRST_SLOTS;
  return slab->slots + slab->slots / 4;
}

static as_status reserve_links(as_cache_slab *slab, uint32_t count) {
  size_t old = slab->link_count * sizeof *slab->links;
  if (count <= slab->link_count) return AS_OK;
  as_cache_link *links =
      as_mem_resize(slab->mem, slab->links, old, count * sizeof *links);
  if (links == NULL) return AS_ERR_OOM;
  slab->links = links;
  slab->link_count = count;
  return AS_OK;
}

as_status as_cache_slab_reserve(as_cache_slab *slab, uint32_t slots) {
  uint32_t old = slab->slots;
  if (slots <= old) return AS_OK;
  AS_TRY(reserve_links(slab, slots));
  uint32_t *free = as_mem_alloc(slab->mem, slots * sizeof *free);
  if (free == NULL) return AS_ERR_OOM;
  authstate_cache_entry **entries = as_mem_resize(
      slab->mem, slab->entries, old * sizeof *entries, slots * sizeof *entries);
  if (entries == NULL) {
    as_mem_free(slab->mem, free, slots * sizeof *free);
    return AS_ERR_OOM;
  }
  if (old == 0) entries[0] = &slab->nobody; /* 0 names none */
  uint32_t first = old ? old : 1;
  uint32_t count = 0;
  /* Small numbers are given out first. */
  for (uint32_t number = slots - 1; number >= first; number--) {
    entries[number] = &slab->nobody;
    free[count++] = number;
  }
  if (slab->free_count > 0)
    memcpy(free + count, slab->free, slab->free_count * sizeof *free);
  as_mem_free(slab->mem, slab->free, old * sizeof *free);
  slab->entries = entries;
  slab->free = free;
  slab->free_count += count;
  slab->slots = slots;
  return AS_OK;
}

static void put_value(const as_cache_slab *slab, as_cache_entry *entry, as_slice value) {
  size_t block = as_cache_entry_block(entry->id_length, value.length);
  uint8_t *place = entry->bytes + entry->id_length;
  if (value.length > 0) memcpy(place, value.data, value.length);
  entry->seen.withheld = false;
  entry->seen.value = place;
  entry->seen.value_length = (uint32_t)value.length;
  entry->seen.size_bytes =
      slab->unit_bytes ? slab->unit_bytes : (uint32_t)block + AS_CACHE_SHARE_BYTES;
}

static bool is_too_large(size_t id_length, size_t value_length) {
  return id_length > AS_CACHE_MAX_BLOCK / 4 || value_length > AS_CACHE_MAX_BLOCK / 4;
}

as_status as_cache_slab_take(as_cache_slab *slab, const as_cache_key *key, as_slice value,
                             uint32_t *out_number) {
  if (is_too_large(key->id.length, value.length)) return AS_ERR_TOO_LARGE;
  size_t block = as_cache_entry_block(key->id.length, value.length);
  as_cache_entry *entry = as_mem_alloc(slab->mem, block);
  if (entry == NULL) return AS_ERR_OOM;
  memset(entry, 0, sizeof *entry);
  entry->seen.session = key->session;
  entry->seen.type = key->type;
  entry->id_length = (uint32_t)key->id.length;
  if (key->id.length > 0) memcpy(entry->bytes, key->id.data, key->id.length);
  put_value(slab, entry, value);
  *out_number = slab->free[--slab->free_count];
  slab->entries[*out_number] = &entry->seen;
  return AS_OK;
}

as_status as_cache_slab_replace(as_cache_slab *slab, uint32_t number, as_slice value) {
  as_cache_entry *entry = as_cache_slab_at(slab, number);
  if (is_too_large(entry->id_length, value.length)) return AS_ERR_TOO_LARGE;
  size_t old = as_cache_entry_block(entry->id_length, entry->seen.value_length);
  size_t block = as_cache_entry_block(entry->id_length, value.length);
  if (block != old) entry = as_mem_resize(slab->mem, entry, old, block);
  if (entry == NULL) return AS_ERR_OOM;
  put_value(slab, entry, value);
  slab->entries[number] = &entry->seen;
  return AS_OK;
}

void as_cache_slab_give(as_cache_slab *slab, uint32_t number) {
  as_cache_entry *entry = as_cache_slab_at(slab, number);
  size_t block = as_cache_entry_block(entry->id_length, entry->seen.value_length);
  as_mem_free(slab->mem, entry, block);
  slab->entries[number] = &slab->nobody;
  slab->free[slab->free_count++] = number;
}

size_t as_cache_slab_bytes(const as_cache_slab *slab) {
  size_t bytes = slab->slots * (sizeof *slab->entries + sizeof *slab->free) +
                 slab->link_count * sizeof *slab->links;
  for (uint32_t number = 1; number < slab->slots; number++) {
    if (!as_cache_slab_has(slab, number)) continue;
    const as_cache_entry *entry = as_cache_slab_at(slab, number);
    bytes += as_cache_entry_block(entry->id_length, entry->seen.value_length);
  }
  return bytes;
}

bool as_cache_slab_validate(const as_cache_slab *slab) {
  uint32_t held = 0;
  if (slab->nobody.size_bytes != 0) return false;
  for (uint32_t number = 0; number < slab->slots; number++)
    if (as_cache_slab_has(slab, number)) held++;
  for (uint32_t i = 0; i < slab->free_count; i++)
    if (slab->entries[slab->free[i]] != &slab->nobody) return false;
  return held == as_cache_slab_count(slab);
}
