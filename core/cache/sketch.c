/* SPDX-License-Identifier: MIT */
/* The words are in blocks of a cache line. A code has one block, and in it four counters,
 * each in a quarter of its own, so that a use costs one line. Adding raises only those of
 * the four that are smallest (conservative update), which keeps codes that fall together
 * apart for longer.
 *
 * A wider table is the old one twice: a block is chosen by the low bits, so each code
 * finds the counters that it had. */
#include "cache/sketch.h"

#include <string.h>

enum {
  ROWS = 4,
  MOST = 15,
  BLOCK = 8,
  FIRST_WIDTH = 128,
  FEW = 64,
  SMALL = 512,
  PHASES = 64
};

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
  as_mem *mem = sketch->slab->mem;
  as_mem_free(mem, sketch->words, sketch->width * sizeof *sketch->words);
  as_mem_free(mem, sketch->from, sketch->from_count * sizeof *sketch->from);
  as_cache_sketch_init(sketch, sketch->slab, sketch->sample);
}

/* The counters of a code, one of each row, and the smallest of them. The low half of the
 * product chooses the block, five bits each of the high half a counter of 32. */
static uint32_t find(const as_cache_sketch *sketch, uint32_t code, counter *out_rows) {
  uint64_t product = (code + UINT64_C(1)) * UINT64_C(0x9E3779B97F4A7C15);
  uint32_t block = ((uint32_t)(product >> 32) ^ code) & (sketch->width / BLOCK - 1);
  uint64_t choice = product * UINT64_C(0xD6E8FEB86659FD93) >> 32;
  uint32_t least = MOST;
  for (uint32_t row = 0; row < ROWS; row++, choice >>= 5) {
    uint32_t word = block * BLOCK + row * 2 + (uint32_t)(choice & 1);
    counter at = {word, (uint32_t)(choice >> 1 & 15) * 4};
    uint32_t value = (uint32_t)(sketch->words[word] >> at.shift) & MOST;
    if (value < least) least = value;
    out_rows[row] = at;
  }
  return least;
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

static void raise(as_cache_sketch *sketch, uint32_t code) {
  counter rows[ROWS];
  uint32_t least = find(sketch, code, rows);
  for (uint32_t row = 0; row < ROWS && least < MOST; row++) {
    uint64_t *word = &sketch->words[rows[row].word];
    if ((*word >> rows[row].shift & MOST) == least)
      *word += UINT64_C(1) << rows[row].shift;
  }
}

/* Where an entry has the phase from which on it counts again; NULL without memory. */
static uint16_t *from_of(as_cache_sketch *sketch, uint32_t entry) {
  uint32_t old = sketch->from_count;
  uint32_t count = sketch->slab->slots;
  if (entry < old) return &sketch->from[entry];
  uint16_t *from = as_mem_resize(sketch->slab->mem, sketch->from, old * sizeof *from,
                                 count * sizeof *from);
  if (from == NULL) return NULL;
  memset(from + old, 0, (count - old) * sizeof *from);
  sketch->from = from;
  sketch->from_count = count;
  return &from[entry];
}

/* Whether this use is far enough from the last one of the entry that counted: a number of
 * phases, each of one use or, where they are many, a part of them. Phases go round: what
 * is less than half of all away is before or behind. */
static bool is_apart(as_cache_sketch *sketch, uint32_t entry) {
  uint64_t uses = (uint64_t)sketch->seen.apart * sketch->slab->count;
  uint64_t length = uses < PHASES ? 1 : uses / PHASES;
  if (uses == 0) return true;
  if (++sketch->passed >= length) {
    sketch->passed = 0;
    sketch->phase++;
  }
  uint16_t *from = from_of(sketch, entry);
  if (from == NULL) return true;
  if (*from != 0 && (int16_t)(sketch->phase - *from) < 0) return false;
  *from = (uint16_t)(sketch->phase + uses / length);
  if (*from == 0) *from = 1;
  return true;
}

void as_cache_sketch_add(as_cache_sketch *sketch, uint32_t entry) {
  if (!as_cache_slab_has(sketch->slab, entry)) return;
  uint32_t entries = sketch->slab->count;
  if (!is_apart(sketch, entry)) return;
  if (entries > sketch->width / 2 * 3 ||
      (entries * 2 > sketch->width && entries <= SMALL))
    widen(sketch);
  if (sketch->width == 0) return;
  raise(sketch, as_cache_slab_code(sketch->slab, entry));
  sketch->seen.uses++;
  double most = (double)sketch->sample * (entries > FEW ? entries : FEW);
  if (sketch->seen.uses >= most) halve(sketch);
}

uint32_t as_cache_sketch_count(const as_cache_sketch *sketch, uint32_t entry) {
  counter rows[ROWS];
  if (sketch->width == 0 || !as_cache_slab_has(sketch->slab, entry)) return 0;
  return find(sketch, as_cache_slab_code(sketch->slab, entry), rows);
}

void as_cache_sketch_forget(as_cache_sketch *sketch, uint32_t entry) {
  if (entry < sketch->from_count) sketch->from[entry] = 0;
}
