/* SPDX-License-Identifier: MIT */
#include "compressor_target.h"

static const size_t MAX_BYTES = 1 << 18;

/* A block of exactly `size` bytes, so that writing beyond it is seen. */
static uint8_t *new_block(size_t size) {
  uint8_t *block = malloc(size);
  EXPECT(block != NULL);
  return block;
}

static as_status unpack(const as_compressor *compressor, as_compressor_state *state,
                        as_slice packed, uint8_t *out, size_t size) {
  as_status status = compressor->unpack(state, packed, out, size);
  EXPECT(status == AS_OK || status == AS_ERR_CORRUPT);
  return status;
}

/* What anybody may have written, taken for `size` bytes. */
static void take_apart(const as_compressor *compressor, as_compressor_state *state,
                       as_slice packed, size_t size) {
  uint8_t *first = new_block(size), *second = new_block(size + 1);
  if (unpack(compressor, state, packed, first, size) == AS_OK) {
    /* The same again; and it is no byte more. */
    EXPECT(unpack(compressor, state, packed, second, size) == AS_OK);
    EXPECT(memcmp(first, second, size) == 0);
    EXPECT(unpack(compressor, state, packed, second, size + 1) == AS_ERR_CORRUPT);
  }
  free(first);
  free(second);
}

static void put_together(const as_compressor *compressor, as_compressor_state *state,
                         int level, as_slice content, size_t less) {
  size_t bound = compressor->bound(content.length), length, again;
  uint8_t *packed = new_block(bound), *back = new_block(content.length);
  EXPECT(compressor->pack(state, level, content, packed, bound, &length) == AS_OK);
  EXPECT(length > 0 && length <= bound);
  EXPECT(unpack(compressor, state, as_slice_of(packed, length), back, content.length) ==
         AS_OK);
  EXPECT(memcmp(back, content.data, content.length) == 0);
  size_t room = less < length ? length - less : 0;
  uint8_t *narrow = new_block(room > 0 ? room : 1);
  EXPECT(compressor->pack(state, level, content, narrow, room, &again) == AS_OK);
  EXPECT(again == 0 || (less == 0 && again == length));
  EXPECT(again == 0 || memcmp(narrow, packed, length) == 0);
  free(narrow);
  free(packed);
  free(back);
}

void fuzz_compressor(const as_compressor *compressor, as_slice input) {
  as_mem mem;
  as_compressor_state state;
  uint8_t choice = fuzz_take_byte(&input), wide = fuzz_take_byte(&input);
  size_t size = 1 + (size_t)choice * (wide % 8 == 0 ? 1024 : wide);
  int levels = compressor->max_level - compressor->min_level + 1;
  EXPECT(size <= MAX_BYTES);
  as_mem_init(&mem);
  as_compressor_state_init(&state, &mem);
  take_apart(compressor, &state, input, size);
  if (input.length > 0) {
    put_together(compressor, &state, compressor->min_level + wide % levels, input,
                 choice % 4);
  }
  as_compressor_state_free(&state);
  EXPECT(mem.used_bytes == 0);
}
