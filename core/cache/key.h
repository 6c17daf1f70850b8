/* SPDX-License-Identifier: MIT */
/* as_cache_key names a record: the numbers that the caller gave to the session and to the
 * type, and the bytes of the id, borrowed. */
#ifndef AS_CACHE_KEY_H
#define AS_CACHE_KEY_H

#include "base/slice.h"

typedef struct as_cache_key {
  uint32_t session;
  uint32_t type;
  as_slice id;
} as_cache_key;

/* What an index goes by: the same for equal keys. Ids come from other people, so `seed`
 * is secret: without it nobody finds ids of the same code. */
uint32_t as_cache_key_code(const as_cache_key *key, uint64_t seed);

#endif
