/* SPDX-License-Identifier: MIT */
/* LZ4 blocks. The state is liblz4's table of positions, which it clears by itself before
 * each block; unpacking needs none. */
#include <limits.h>
#include <lz4.h>

#include "codec/compressor.h"

enum { LEVEL = 1 };

static size_t lz4_bound(size_t length) {
  return (size_t)LZ4_compressBound((int)length);
}

static as_status lz4_pack(as_compressor_state *state, int level, as_slice content,
                          uint8_t *out, size_t room, size_t *out_length) {
  if (state->lz4 == NULL)
    state->lz4 = as_mem_alloc(state->mem, (size_t)LZ4_sizeofState());
  if (state->lz4 == NULL) return AS_ERR_OOM;
  if (room > INT_MAX) room = INT_MAX;
  *out_length = (size_t)LZ4_compress_fast_extState(state->lz4, (const char *)content.data,
                                                   (char *)out, (int)content.length,
                                                   (int)room, level);
  return AS_OK;
}

static as_status lz4_unpack(as_compressor_state *state, as_slice packed, uint8_t *out,
                            size_t size) {
  (void)state;
  int length = LZ4_decompress_safe((const char *)packed.data, (char *)out,
                                   (int)packed.length, (int)size);
  return length >= 0 && (size_t)length == size ? AS_OK : AS_ERR_CORRUPT;
}

void as_lz4_free(as_compressor_state *state) {
  if (state->lz4 == NULL) return;
  as_mem_free(state->mem, state->lz4, (size_t)LZ4_sizeofState());
  state->lz4 = NULL;
}

const as_compressor as_lz4 = {
    .name = "lz4",
    .code = 1,
    .default_level = LEVEL,
    .min_level = LEVEL,
    .max_level = LEVEL,
    .bound = lz4_bound,
    .pack = lz4_pack,
    .unpack = lz4_unpack,
};
