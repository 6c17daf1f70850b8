/* SPDX-License-Identifier: MIT */
/* Multiply and fold to 128 bits, eight bytes at a time, after Wang Yi's wyhash: the seed
 * goes into every product. The last eight bytes of a long id may be taken twice. */
#include "cache/key.h"

static const uint64_t FIRST = UINT64_C(0xA0761D6478BD642F);
static const uint64_t SECOND = UINT64_C(0xE7037ED1A0B428DB);

static uint64_t fold(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t read_word(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

static uint64_t last_word(as_slice id) {
  uint64_t word = 0;
  if (id.length >= sizeof word) return read_word(id.data + id.length - sizeof word);
  for (size_t i = 0; i < id.length; i++) word = word << 8 | id.data[i];
  return word;
}

uint32_t as_cache_key_code(const as_cache_key *key, uint64_t seed) {
  uint64_t code = fold(((uint64_t)key->session << 32 | key->type) ^ FIRST ^ seed,
                       (uint64_t)key->id.length ^ SECOND ^ seed);
  for (size_t at = 0; at + sizeof code < key->id.length; at += sizeof code)
    code = fold(read_word(key->id.data + at) ^ FIRST ^ seed, code ^ SECOND);
  code = fold(last_word(key->id) ^ FIRST ^ seed, code ^ SECOND);
  return (uint32_t)(code ^ code >> 32);
}
