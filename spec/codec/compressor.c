/* SPDX-License-Identifier: MIT */
/* Every compressor at every level: contents of all kinds come back, nothing is written
 * beyond the room that was given, and what is cut, changed, or stands for another number
 * of bytes is told. Blocks are exactly as long as they are said to be, so that the
 * sanitizers and valgrind see a byte too many. Usage: compressor SEED. */
#include "codec/compressor.h"

#include "check.h"

enum { MAX_CONTENT = 300000, LARGE = 2000, FLIPPED_BYTES = 140 };

typedef struct trial {
  const as_compressor *compressor;
  int level;
  as_compressor_state *state;
} trial;

/* ---- contents ---------------------------------------------------------------------- */

static void fill_random(uint8_t *out, size_t length) {
  for (size_t i = 0; i < length; i++) out[i] = (uint8_t)check_random(256);
}

static void fill_zeros(uint8_t *out, size_t length) {
  memset(out, 0, length);
}

/* Few letters: what entropy coding makes smaller, and matches do not. */
static void fill_letters(uint8_t *out, size_t length) {
  for (size_t i = 0; i < length; i++) out[i] = (uint8_t)('a' + check_random(4));
}

/* As packed auth state: random keys, and names that come again. */
static void fill_records(uint8_t *out, size_t length) {
  static const char NAME[] = "chainKey";
  for (size_t i = 0; i < length; i++) {
    size_t at = i % 40;
    bool is_name = at < sizeof NAME - 1;
    out[i] = is_name ? (uint8_t)NAME[at] : (uint8_t)check_random(256);
  }
}

typedef void (*fill)(uint8_t *out, size_t length);

static const fill FILLS[] = {fill_random, fill_zeros, fill_letters, fill_records};
static const size_t LENGTHS[] = {
    1,   2,    3,     12,    13,    63,    64, 65,  127,  128,    255,    256,
    257, 1000, 16384, 65535, 65536, 65537, 0,  511, 4097, 131072, 131073, MAX_CONTENT};

/* A block of exactly this size. */
static uint8_t *new_block(size_t size) {
  uint8_t *block = malloc(size > 0 ? size : 1);
  CHECK(block != NULL);
  return block;
}

static as_slice new_content(fill fill, size_t length) {
  uint8_t *block = new_block(length);
  fill(block, length);
  return as_slice_of(block, length);
}

static void free_slice(as_slice slice) {
  free((void *)(uintptr_t)slice.data);
}

/* ---- packing ----------------------------------------------------------------------- */

/* Packs into a block of exactly `room` bytes; empty when it does not fit. */
static as_slice pack(const trial *trial, as_slice content, size_t room) {
  uint8_t *block = new_block(room);
  size_t length = SIZE_MAX;
  CHECK(trial->compressor->pack(trial->state, trial->level, content, block, room,
                                &length) == AS_OK);
  CHECK(length <= room);
  /* Moved to a block of its own length. */
  uint8_t *exact = new_block(length);
  memcpy(exact, block, length);
  free(block);
  return as_slice_of(exact, length);
}

static as_status unpack(const trial *trial, as_slice packed, size_t size,
                        as_slice content) {
  uint8_t *block = new_block(size);
  as_status status = trial->compressor->unpack(trial->state, packed, block, size);
  CHECK(status == AS_OK || status == AS_ERR_CORRUPT);
  if (status == AS_OK && size == content.length && content.data != NULL)
    CHECK(memcmp(block, content.data, size) == 0);
  free(block);
  return status;
}

static void check_rooms(const trial *trial, as_slice content, as_slice packed) {
  size_t most = content.length > LARGE ? 1 : 40;
  for (size_t missing = 0; missing <= most && missing <= packed.length; missing++) {
    as_slice again = pack(trial, content, packed.length - missing);
    CHECK(again.length == 0 || (missing == 0 && as_slice_equals(again, packed)));
    free_slice(again);
  }
}

static void check_sizes(const trial *trial, as_slice content, as_slice packed) {
  as_slice none = as_slice_of(NULL, 0);
  size_t size = content.length;
  CHECK(unpack(trial, packed, size, content) == AS_OK);
  CHECK(unpack(trial, packed, size + 1, none) == AS_ERR_CORRUPT);
  if (size > 1) CHECK(unpack(trial, packed, size - 1, none) == AS_ERR_CORRUPT);
  if (size > 2) CHECK(unpack(trial, packed, size / 2, none) == AS_ERR_CORRUPT);
  CHECK(unpack(trial, packed, 3 * size, none) == AS_ERR_CORRUPT);
}

/* ---- damage ------------------------------------------------------------------------ */

static void check_cuts(const trial *trial, as_slice content, as_slice packed) {
  size_t step = packed.length / (content.length > LARGE ? 4 : 300) + 1;
  for (size_t length = 0; length < packed.length; length += step) {
    uint8_t *cut = new_block(length);
    memcpy(cut, packed.data, length);
    CHECK(unpack(trial, as_slice_of(cut, length), content.length, as_slice_of(NULL, 0)) ==
          AS_ERR_CORRUPT);
    free(cut);
  }
}

/* What Zstandard skips is not ours: the same value must not have two forms. */
static void check_skippable(const trial *trial, as_slice content, as_slice packed) {
  static const uint8_t SKIPPED[] = {0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0};
  uint8_t *longer = new_block(packed.length + sizeof SKIPPED);
  memcpy(longer, packed.data, packed.length);
  memcpy(longer + packed.length, SKIPPED, sizeof SKIPPED);
  CHECK(unpack(trial, as_slice_of(longer, packed.length + sizeof SKIPPED), content.length,
               as_slice_of(NULL, 0)) == AS_ERR_CORRUPT);
  memcpy(longer, SKIPPED, sizeof SKIPPED);
  memcpy(longer + sizeof SKIPPED, packed.data, packed.length);
  CHECK(unpack(trial, as_slice_of(longer, packed.length + sizeof SKIPPED), content.length,
               as_slice_of(NULL, 0)) == AS_ERR_CORRUPT);
  free(longer);
}

static void check_tail(const trial *trial, as_slice content, as_slice packed) {
  uint8_t *longer = new_block(2 * packed.length);
  memcpy(longer, packed.data, packed.length);
  memcpy(longer + packed.length, packed.data, packed.length);
  CHECK(unpack(trial, as_slice_of(longer, packed.length + 1), content.length,
               as_slice_of(NULL, 0)) == AS_ERR_CORRUPT);
  CHECK(unpack(trial, as_slice_of(longer, 2 * packed.length), content.length,
               as_slice_of(NULL, 0)) == AS_ERR_CORRUPT);
  free(longer);
}

/* A change may give other bytes, as many of them; never more, never a crash. */
static void check_flips(const trial *trial, as_slice content, as_slice packed) {
  if (packed.length > FLIPPED_BYTES) return;
  uint8_t *changed = new_block(packed.length);
  memcpy(changed, packed.data, packed.length);
  for (size_t bit = 0; bit < 8 * packed.length; bit++) {
    changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    (void)unpack(trial, as_slice_of(changed, packed.length), content.length,
                 as_slice_of(NULL, 0));
    changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
  /* The state is as good as before. */
  CHECK(unpack(trial, packed, content.length, content) == AS_OK);
  free(changed);
}

/* ---- all of it --------------------------------------------------------------------- */

static void try_content(const trial *trial, as_slice content) {
  as_slice packed = pack(trial, content, trial->compressor->bound(content.length));
  as_slice again = pack(trial, content, 2 * trial->compressor->bound(content.length));
  CHECK(packed.length > 0 && as_slice_equals(packed, again));
  free_slice(again);
  check_sizes(trial, content, packed);
  check_rooms(trial, content, packed);
  check_cuts(trial, content, packed);
  check_tail(trial, content, packed);
  if (trial->compressor == &as_zstd) check_skippable(trial, content, packed);
  check_flips(trial, content, packed);
  free_slice(packed);
}

static void try_compressor(const trial *trial) {
  for (size_t i = 0; i < sizeof FILLS / sizeof *FILLS; i++) {
    for (size_t j = 0; j < sizeof LENGTHS / sizeof *LENGTHS; j++) {
      size_t length = LENGTHS[j] > 0 ? LENGTHS[j] : 1 + check_random(2000);
      as_slice content = new_content(FILLS[i], length);
      try_content(trial, content);
      free_slice(content);
    }
  }
}

int main(int argc, char **argv) {
  as_mem mem;
  as_compressor_state state;
  check_begin(argc, argv);
  as_mem_init(&mem);
  as_compressor_state_init(&state, &mem);
  CHECK(as_compressor_named("gzip") == NULL);
  for (unsigned code = 1; code <= AS_COMPRESSOR_MAX_CODE; code++) {
    const as_compressor *compressor = as_compressor_of_code(code);
    CHECK(compressor->code == code);
    CHECK(as_compressor_named(compressor->name) == compressor);
    for (int level = compressor->min_level; level <= compressor->max_level; level += 4) {
      const trial trial = {compressor, level, &state};
      try_compressor(&trial);
    }
  }
  as_compressor_state_free(&state);
  CHECK(mem.used_bytes == 0);
  as_compressor_state_free(&state);
  return 0;
}
