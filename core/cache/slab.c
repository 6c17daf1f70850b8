/* SPDX-License-Identifier: MIT */
#include "cache/slab.h"

#include <string.h>

/* By how much the tables grow: by little, so that little is unused. */
enum { MORE_SLOTS = 32, SHARE_OF_SLOTS = 32, MOST_SLOTS = 0x7FFFFFFF };

void as_cache_slab_init(as_cache_slab *slab, as_mem *mem, uint32_t unit_bytes,
                        uint64_t seed) {
  memset(slab, 0, sizeof *slab);
  slab->mem = mem;
  slab->unit_bytes = unit_bytes;
  slab->seed = seed;
}

void as_cache_slab_free(as_cache_slab *slab) {
  for (uint32_t number = 1; number < slab->slots; number++)
    if (as_cache_slab_has(slab, number)) as_cache_slab_give(slab, number);
  as_mem_free(slab->mem, slab->entries, slab->slots * sizeof *slab->entries);
  as_mem_free(slab->mem, slab->links, slab->link_count * sizeof *slab->links);
  as_cache_slab_init(slab, slab->mem, slab->unit_bytes, slab->seed);
}

/* ---- room -------------------------------------------------------------------------- */

uint32_t as_cache_slab_wanted(const as_cache_slab *slab) {
  uint32_t more = slab->slots / SHARE_OF_SLOTS;
  if (slab->free != 0) return slab->slots;
  return slab->slots + (more > MORE_SLOTS ? more : MORE_SLOTS);
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

static void put_free(as_cache_slab *slab, uint32_t number) {
  slab->entries[number] = &slab->nobody;
  slab->links[number].newer = slab->free;
  slab->free = number;
}

as_status as_cache_slab_reserve(as_cache_slab *slab, uint32_t slots) {
  uint32_t old = slab->slots;
  if (slots <= old) return AS_OK;
  if (slots > MOST_SLOTS) return AS_ERR_OOM;
  AS_TRY(reserve_links(slab, slots));
  as_cache_entry **entries = as_mem_resize(
      slab->mem, slab->entries, old * sizeof *entries, slots * sizeof *entries);
  if (entries == NULL) return AS_ERR_OOM;
  slab->entries = entries;
  slab->slots = slots;
  if (old == 0) entries[0] = &slab->nobody; /* 0 names none */
  /* Small numbers are given out first. */
  uint32_t first = old ? old : 1;
  for (uint32_t number = slots - 1; number >= first; number--) put_free(slab, number);
  return AS_OK;
}

/* ---- entries ----------------------------------------------------------------------- */

as_slice as_cache_slab_value(const as_cache_slab *slab, const as_cache_entry *entry) {
  as_slice id = as_cache_slab_id(slab, entry);
  uint32_t length =
      entry->size_bytes - (uint32_t)as_cache_slab_size(slab, entry->id_length, 0);
  if (slab->unit_bytes > 0) memcpy(&length, entry + 1, sizeof length);
  return as_slice_of(id.data + id.length, length);
}

static size_t block_bytes(const as_cache_slab *slab, size_t id_length,
                          size_t value_length) {
  return sizeof(as_cache_entry) + as_cache_slab_front(slab) + id_length + value_length;
}

static size_t block_of(const as_cache_slab *slab, const as_cache_entry *entry) {
  size_t value_length = as_cache_slab_value(slab, entry).length;
  return block_bytes(slab, entry->id_length, value_length);
}

uint32_t as_cache_slab_code(const as_cache_slab *slab, uint32_t number) {
  if (number == slab->noted) return slab->noted_code;
  const as_cache_entry *entry = as_cache_slab_at(slab, number);
  as_cache_key key = {entry->session, entry->type, as_cache_slab_id(slab, entry)};
  return as_cache_key_code(&key, slab->seed);
}

static bool is_too_large(size_t id_length, size_t value_length) {
  return id_length > AS_CACHE_MAX_ID || value_length > AS_CACHE_MAX_BLOCK / 4;
}

static void put_value(const as_cache_slab *slab, as_cache_entry *entry, as_slice value) {
  size_t front = as_cache_slab_front(slab);
  uint32_t length = (uint32_t)value.length;
  uint8_t *bytes = (uint8_t *)(entry + 1);
  if (front > 0) memcpy(bytes, &length, sizeof length);
  if (length > 0) memcpy(bytes + front + entry->id_length, value.data, length);
  entry->size_bytes = (uint32_t)as_cache_slab_size(slab, entry->id_length, length);
  entry->state &= (uint8_t)~AS_CACHE_WITHHELD;
}

as_status as_cache_slab_take(as_cache_slab *slab, const as_cache_key *key, as_slice value,
                             uint32_t *out_number) {
  if (is_too_large(key->id.length, value.length)) return AS_ERR_TOO_LARGE;
  size_t block = block_bytes(slab, key->id.length, value.length);
  as_cache_entry *entry = as_mem_alloc(slab->mem, block);
  if (entry == NULL) return AS_ERR_OOM;
  uint32_t number = slab->free;
  slab->free = slab->links[number].newer;
  slab->entries[number] = entry;
  slab->count++;
  *entry = (as_cache_entry){.session = key->session, .type = (uint16_t)key->type};
  entry->id_length = (uint16_t)key->id.length;
  uint8_t *bytes = (uint8_t *)(entry + 1);
  if (key->id.length > 0)
    memcpy(bytes + as_cache_slab_front(slab), key->id.data, key->id.length);
  put_value(slab, entry, value);
  *out_number = number;
  return AS_OK;
}

as_status as_cache_slab_replace(as_cache_slab *slab, uint32_t number, as_slice value) {
  as_cache_entry *entry = as_cache_slab_at(slab, number);
  if (is_too_large(entry->id_length, value.length)) return AS_ERR_TOO_LARGE;
  size_t old = block_of(slab, entry);
  size_t block = block_bytes(slab, entry->id_length, value.length);
  if (block != old) entry = as_mem_resize(slab->mem, entry, old, block);
  if (entry == NULL) return AS_ERR_OOM;
  slab->entries[number] = entry;
  put_value(slab, entry, value);
  return AS_OK;
}

void as_cache_slab_give(as_cache_slab *slab, uint32_t number) {
  as_cache_entry *entry = as_cache_slab_at(slab, number);
  as_mem_free(slab->mem, entry, block_of(slab, entry));
  put_free(slab, number);
  slab->count--;
  if (number == slab->noted) slab->noted = 0;
}

/* ---- what it takes ----------------------------------------------------------------- */

size_t as_cache_slab_bytes(const as_cache_slab *slab) {
  size_t bytes =
      slab->slots * sizeof *slab->entries + slab->link_count * sizeof *slab->links;
  for (uint32_t number = 1; number < slab->slots; number++)
    if (as_cache_slab_has(slab, number))
      bytes += block_of(slab, as_cache_slab_at(slab, number));
  return bytes;
}

bool as_cache_slab_validate(const as_cache_slab *slab) {
  uint32_t held = 0;
  uint32_t free = 0;
  if (slab->nobody.size_bytes != 0 || slab->nobody.state != 0) return false;
  for (uint32_t number = 0; number < slab->slots; number++)
    if (as_cache_slab_has(slab, number)) held++;
  for (uint32_t at = slab->free; at != 0; at = slab->links[at].newer)
    if (as_cache_slab_has(slab, at) || free++ > slab->slots) return false;
  return held == slab->count && (slab->slots == 0 || held + free == slab->slots - 1);
}
