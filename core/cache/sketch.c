/* SPDX-License-Identifier: MIT */
/* Four rows share the words: row i of a code is one of 16 counters in a word that another
 * product of the code chooses. Adding raises only those of the four that are smallest
 * (conservative update), which keeps codes that fall together apart for longer.
 *
 * A wider table is the old one twice: a word is chosen by the low bits, so each code
 * finds the counters that it had. */
#include "cache/sketch.h"

#include <string.h>

enum { ROWS = 4, MOST = 15, FIRST_WIDTH = 64 };

static const uint64_t FACTORS[ROWS] = {
    UINT64_C(0x9E3779B97F4A7C15), UINT64_C(0xC2B2AE3D27D4EB4F),
    UINT64_C(0xD6E8FEB86659FD93), UINT64_C(0xA0761D6478BD642F)};

typedef struct counter {
  uint32_t word;
  uint32_t shift;
} counter;

void as_cache_sketch_init(as_cache_sketch *sketch, const as_cache_slab *slab,
                          uint32_t sample) {
  memset(sketch, 0, sizeof *sketch);
  sketch->slab = slab;
  sketch->sample = sample;
}

void as_cache_sketch_free(as_cache_sketch *sketch) {
  as_mem_free(sketch->slab->mem, sketch->words, sketch->width * sizeof *sketch->words);
  as_cache_sketch_init(sketch, sketch->slab, sketch->sample);
}

static counter counter_of(const as_cache_sketch *sketch, uint32_t code, uint32_t row) {
  uint64_t product = (code + UINT64_C(1)) * FACTORS[row];
  product ^= product >> 32;
  uint32_t nibble = row * 4 + (uint32_t)(product >> 29 & 3);
  counter found = {(uint32_t)product & (sketch->width - 1), nibble * 4};
  return found;
}

static uint32_t value_of(const as_cache_sketch *sketch, counter at) {
  return (uint32_t)(sketch->words[at.word] >> at.shift) & MOST;
}

/* Without memory it stays as wide as it is. */
static void widen(as_cache_sketch *sketch) {
  uint32_t width = sketch->width ? sketch->width * 2 : FIRST_WIDTH;
  size_t half = sketch->width * sizeof *sketch->words;
  uint64_t *words =
      as_mem_resize(sketch->slab->mem, sketch->words, half, width * sizeof *words);
  if (words == NULL) return;
  if (sketch->width == 0)
    memset(words, 0, width * sizeof *words);
  else
    memcpy(words + sketch->width, words, half);
  sketch->words = words;
  sketch->width = width;
}

static void halve(as_cache_sketch *sketch) {
  for (uint32_t i = 0; i < sketch->width; i++)
    sketch->words[i] = sketch->words[i] >> 1 & UINT64_C(0x7777777777777777);
  sketch->seen.uses /= 2;
}

static uint32_t count(const as_cache_sketch *sketch, uint32_t code) {
  uint32_t least = sketch->width ? MOST : 0;
  for (uint32_t row = 0; row < ROWS && sketch->width > 0; row++) {
    uint32_t value = value_of(sketch, counter_of(sketch, code, row));
    if (value < least) least = value;
  }
  return least;
}

void as_cache_sketch_add(as_cache_sketch *sketch, uint32_t entry) {
  if (!as_cache_slab_has(sketch->slab, entry)) return;
  uint32_t code = as_cache_slab_at(sketch->slab, entry)->code;
  uint32_t entries = as_cache_slab_count(sketch->slab);
  if (entries > sketch->width || sketch->width == 0) widen(sketch);
  if (sketch->width == 0) return;
  uint32_t least = count(sketch, code);
  for (uint32_t row = 0; row < ROWS && least < MOST; row++) {
    counter at = counter_of(sketch, code, row);
    if (value_of(sketch, at) == least) sketch->words[at.word] += UINT64_C(1) << at.shift;
  }
  sketch->seen.uses++;
  double most = (double)sketch->sample * (entries > FIRST_WIDTH ? entries : FIRST_WIDTH);
  if (sketch->seen.uses >= most) halve(sketch);
}

uint32_t as_cache_sketch_count(const as_cache_sketch *sketch, uint32_t entry) {
  if (!as_cache_slab_has(sketch->slab, entry)) return 0;
  return count(sketch, as_cache_slab_at(sketch->slab, entry)->code);
}
