/* SPDX-License-Identifier: MIT */
/* Open addressing with linear probing, at most half full. An entry is live when its group
 * is not older than first_group, so clearing touches no entry: all of them turn empty at
 * once and no probe chain breaks.
 *
 * The hash is SipHash-1-3 (Aumasson and Bernstein 2012). Its key is where the set and its
 * table happen to lie in memory, which the author of a hostile text cannot know. */
#include "codec/key_set.h"

enum { MIN_CAPACITY = 64, MAX_KEPT_CAPACITY = 4096 };

typedef struct as_key_entry {
  uint64_t group;
  uint64_t hash;
  as_slice key;
} as_key_entry;

static uint64_t rotate(uint64_t word, int bits) {
  return word << bits | word >> (64 - bits);
}

static void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[1] = rotate(v[1], 13) ^ v[0];
  v[0] = rotate(v[0], 32);
  v[2] += v[3];
  v[3] = rotate(v[3], 16) ^ v[2];
  v[0] += v[3];
  v[3] = rotate(v[3], 21) ^ v[0];
  v[2] += v[1];
  v[1] = rotate(v[1], 17) ^ v[2];
  v[2] = rotate(v[2], 32);
}

static void sip_absorb(uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  sip_round(v);
  v[0] ^= word;
}

static uint64_t sip_hash(uint64_t key0, uint64_t key1, as_slice text) {
  uint64_t v[4] = {
      key0 ^ UINT64_C(0x736f6d6570736575), key1 ^ UINT64_C(0x646f72616e646f6d),
      key0 ^ UINT64_C(0x6c7967656e657261), key1 ^ UINT64_C(0x7465646279746573)};
  uint64_t word;
  size_t i = 0;
  for (; text.length - i >= sizeof word; i += sizeof word) {
    memcpy(&word, text.data + i, sizeof word);
    sip_absorb(v, word);
  }
  word = (uint64_t)text.length << 56;
  for (int shift = 0; i < text.length; i++, shift += 8) {
    word |= (uint64_t)text.data[i] << shift;
  }
  sip_absorb(v, word);
  v[2] ^= 0xFF;
  for (int i_round = 0; i_round < 3; i_round++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The entry that holds the key, or the empty one where it belongs. */
static as_key_entry *find(const as_key_set *set, const as_key_entry *wanted) {
  size_t mask = set->capacity - 1;
  for (size_t i = (size_t)wanted->hash & mask;; i = (i + 1) & mask) {
    as_key_entry *entry = &set->entries[i];
    if (entry->group < set->first_group) return entry;
    if (entry->hash == wanted->hash && entry->group == wanted->group &&
        as_slice_equals(entry->key, wanted->key)) {
      return entry;
    }
  }
}

static uint64_t hash_of(const as_key_set *set, uint64_t group, as_slice key) {
  uint64_t place = (uint64_t)(uintptr_t)set->entries;
  return sip_hash((uint64_t)(uintptr_t)set ^ rotate(place, 29), place + group, key);
}

static as_status grow(as_key_set *set) {
  as_key_set bigger = *set;
  bigger.capacity = set->capacity > 0 ? set->capacity * 2 : MIN_CAPACITY;
  if (bigger.capacity > SIZE_MAX / sizeof(as_key_entry)) return AS_ERR_OOM;
  bigger.entries = as_mem_alloc_zero(set->mem, bigger.capacity * sizeof(as_key_entry));
  if (bigger.entries == NULL) return AS_ERR_OOM;
  as_key_entry *old = set->entries;
  size_t old_capacity = set->capacity;
  *set = bigger;
  for (size_t i = 0; i < old_capacity; i++) {
    if (old[i].group < set->first_group) continue;
    old[i].hash = hash_of(set, old[i].group, old[i].key);
    *find(set, &old[i]) = old[i];
  }
  as_mem_free(set->mem, old, old_capacity * sizeof(as_key_entry));
  return AS_OK;
}

void as_key_set_init(as_key_set *set, as_mem *mem) {
  set->mem = mem;
  set->entries = NULL;
  set->capacity = 0;
  set->count = 0;
  set->first_group = 1; /* so that zeroed entries are empty */
  set->next_group = 1;
}

void as_key_set_free(as_key_set *set) {
  as_mem_free(set->mem, set->entries, set->capacity * sizeof(as_key_entry));
  as_key_set_init(set, set->mem);
}

void as_key_set_clear(as_key_set *set) {
  if (set->capacity > MAX_KEPT_CAPACITY) {
    as_key_set_free(set);
    return;
  }
  set->first_group = set->next_group;
  set->count = 0;
}

uint64_t as_key_set_new_group(as_key_set *set) {
  return set->next_group++;
}

as_status as_key_set_add(as_key_set *set, uint64_t group, as_slice key,
                         bool *out_is_new) {
  if (set->count >= set->capacity / 2) AS_TRY(grow(set));
  as_key_entry wanted = {group, hash_of(set, group, key), key};
  as_key_entry *entry = find(set, &wanted);
  *out_is_new = entry->group < set->first_group;
  if (!*out_is_new) return AS_OK;
  *entry = wanted;
  set->count++;
  return AS_OK;
}
