/* SPDX-License-Identifier: MIT */
/* as_key_set tells whether a key was seen before in its group: the members of one JSON
 * object are one group. One set serves all objects of a text and all texts after it; a
 * key costs O(1) whoever chose it, because the hash is keyed. It owns its table and
 * borrows the keys, which must stay until as_key_set_clear. */
#ifndef AS_CODEC_KEY_SET_H
#define AS_CODEC_KEY_SET_H

#include "base/memory.h"
#include "base/slice.h"

typedef struct as_key_set {
  as_mem *mem;
  struct as_key_entry *entries;
  size_t capacity; /* a power of two, or 0 */
  size_t count;
  uint64_t first_group; /* entries of earlier groups count as empty */
  uint64_t next_group;
} as_key_set;

/* An empty set that holds no memory yet. */
void as_key_set_init(as_key_set *set, as_mem *mem);

/* Gives the memory back; the set is empty and usable again. */
void as_key_set_free(as_key_set *set);

/* Forgets all keys in constant time and keeps the memory unless it is much. */
void as_key_set_clear(as_key_set *set);

/* The number of a new, empty group. */
uint64_t as_key_set_new_group(as_key_set *set);

/* Adds a key to a group; *out_is_new is false when it was there. After AS_ERR_OOM the set
 * is as it was. */
AS_MUST_USE as_status as_key_set_add(as_key_set *set, uint64_t group, as_slice key,
                                     bool *out_is_new);

#endif
