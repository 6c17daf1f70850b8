/* SPDX-License-Identifier: MIT */
/* Raw DEFLATE by zlib. A stream is made once and reset for each content; zlib allocates
 * what it needs for it by itself. */
#include <zlib.h>

#include "codec/compressor.h"

/* Negative: without the header and checksum of zlib. */
enum { RAW_WINDOW_BITS = -15, MEMORY_LEVEL = 8 };

typedef struct as_deflate_packer {
  z_stream stream;
  int level;
} as_deflate_packer;

typedef struct as_deflate_unpacker {
  z_stream stream;
} as_deflate_unpacker;

static size_t deflate_bound(size_t length) {
  /* The largest of those of deflateBound, which needs a stream to choose a smaller. */
  return length + ((length + 7) >> 3) + ((length + 63) >> 6) + 11;
}

/* ---- packing ---------------------------------------------------------------------- */

static void free_packer(as_compressor_state *state) {
  as_mem_free(state->mem, state->deflate_packer, sizeof *state->deflate_packer);
  state->deflate_packer = NULL;
}

static as_status make_packer(as_compressor_state *state, int level) {
  as_deflate_packer *packer = as_mem_alloc_zero(state->mem, sizeof *packer);
  if (packer == NULL) return AS_ERR_OOM;
  state->deflate_packer = packer;
  packer->level = level;
  int result = deflateInit2(&packer->stream, level, Z_DEFLATED, RAW_WINDOW_BITS,
                            MEMORY_LEVEL, Z_DEFAULT_STRATEGY);
  if (result == Z_OK) return AS_OK;
  free_packer(state);
  return AS_ERR_OOM;
}

static void end_packer(as_compressor_state *state) {
  if (state->deflate_packer == NULL) return;
  deflateEnd(&state->deflate_packer->stream);
  free_packer(state);
}

/* The stream at its beginning. A level is for its life: a store has one. */
static as_status begin_packing(as_compressor_state *state, int level) {
  as_deflate_packer *packer = state->deflate_packer;
  if (packer != NULL && packer->level == level) {
    (void)deflateReset(&packer->stream);
    return AS_OK;
  }
  end_packer(state);
  return make_packer(state, level);
}

static as_status deflate_pack(as_compressor_state *state, int level, as_slice content,
                              uint8_t *out, size_t room, size_t *out_length) {
  AS_TRY(begin_packing(state, level));
  z_stream *stream = &state->deflate_packer->stream;
  if (room > UINT32_MAX) room = UINT32_MAX;
  stream->next_in = (Bytef *)(uintptr_t)content.data;
  stream->avail_in = (uInt)content.length;
  stream->next_out = out;
  stream->avail_out = (uInt)room;
  bool is_whole = deflate(stream, Z_FINISH) == Z_STREAM_END;
  *out_length = is_whole ? room - stream->avail_out : 0;
  return AS_OK;
}

/* ---- unpacking -------------------------------------------------------------------- */

static void free_unpacker(as_compressor_state *state) {
  as_mem_free(state->mem, state->deflate_unpacker, sizeof *state->deflate_unpacker);
  state->deflate_unpacker = NULL;
}

static as_status begin_unpacking(as_compressor_state *state) {
  as_deflate_unpacker *unpacker = state->deflate_unpacker;
  if (unpacker != NULL) {
    (void)inflateReset(&unpacker->stream);
    return AS_OK;
  }
  unpacker = as_mem_alloc_zero(state->mem, sizeof *unpacker);
  if (unpacker == NULL) return AS_ERR_OOM;
  state->deflate_unpacker = unpacker;
  if (inflateInit2(&unpacker->stream, RAW_WINDOW_BITS) == Z_OK) return AS_OK;
  free_unpacker(state);
  return AS_ERR_OOM;
}

static as_status deflate_unpack(as_compressor_state *state, as_slice packed, uint8_t *out,
                                size_t size) {
  AS_TRY(begin_unpacking(state));
  z_stream *stream = &state->deflate_unpacker->stream;
  stream->next_in = (Bytef *)(uintptr_t)packed.data;
  stream->avail_in = (uInt)packed.length;
  stream->next_out = out;
  stream->avail_out = (uInt)size;
  int result = inflate(stream, Z_FINISH);
  if (result == Z_MEM_ERROR) return AS_ERR_OOM;
  bool is_exact =
      result == Z_STREAM_END && stream->avail_in == 0 && stream->avail_out == 0;
  return is_exact ? AS_OK : AS_ERR_CORRUPT;
}

void as_deflate_free(as_compressor_state *state) {
  end_packer(state);
  if (state->deflate_unpacker != NULL) {
    inflateEnd(&state->deflate_unpacker->stream);
    free_unpacker(state);
  }
}

const as_compressor as_deflate = {
    .name = "deflate",
    .code = 3,
    .default_level = 6,
    .min_level = 1,
    .max_level = 9,
    .bound = deflate_bound,
    .pack = deflate_pack,
    .unpack = deflate_unpack,
};
