/* SPDX-License-Identifier: MIT */
/* Zstandard frames without the content's size, which is kept beside them, and without a
 * checksum. The contexts are libzstd's and allocate by themselves. */
#include <zstd.h>
#include <zstd_errors.h>

#include "codec/compressor.h"

enum { LEVEL = 3 };

static size_t zstd_bound(size_t length) {
  return ZSTD_compressBound(length);
}

static ZSTD_CCtx *new_packer(void) {
  ZSTD_CCtx *packer = ZSTD_createCCtx();
  if (packer == NULL) return NULL;
  if (!ZSTD_isError(ZSTD_CCtx_setParameter(packer, ZSTD_c_contentSizeFlag, 0))) {
    return packer;
  }
  ZSTD_freeCCtx(packer);
  return NULL;
}

static as_status zstd_pack(as_compressor_state *state, int level, as_slice content,
                           uint8_t *out, size_t room, size_t *out_length) {
  if (state->zstd_packer == NULL) state->zstd_packer = new_packer();
  ZSTD_CCtx *packer = state->zstd_packer;
  if (packer == NULL) return AS_ERR_OOM;
  size_t length = ZSTD_CCtx_setParameter(packer, ZSTD_c_compressionLevel, level);
  if (!ZSTD_isError(length)) {
    length = ZSTD_compress2(packer, out, room, content.data, content.length);
  }
  *out_length = ZSTD_isError(length) ? 0 : length;
  if (*out_length > 0 || ZSTD_getErrorCode(length) == ZSTD_error_dstSize_tooSmall) {
    return AS_OK;
  }
  return AS_ERR_OOM;
}

/* One frame and nothing behind it: libzstd would go on with a second one. */
static as_status zstd_unpack(as_compressor_state *state, as_slice packed, uint8_t *out,
                             size_t size) {
  if (ZSTD_findFrameCompressedSize(packed.data, packed.length) != packed.length) {
    return AS_ERR_CORRUPT;
  }
  if (state->zstd_unpacker == NULL) state->zstd_unpacker = ZSTD_createDCtx();
  if (state->zstd_unpacker == NULL) return AS_ERR_OOM;
  size_t length =
      ZSTD_decompressDCtx(state->zstd_unpacker, out, size, packed.data, packed.length);
  return length == size ? AS_OK : AS_ERR_CORRUPT;
}

void as_zstd_free(as_compressor_state *state) {
  ZSTD_freeCCtx(state->zstd_packer);
  ZSTD_freeDCtx(state->zstd_unpacker);
  state->zstd_packer = state->zstd_unpacker = NULL;
}

const as_compressor as_zstd = {
    .name = "zstd",
    .code = 2,
    .default_level = LEVEL,
    .min_level = LEVEL,
    .max_level = LEVEL,
    .bound = zstd_bound,
    .pack = zstd_pack,
    .unpack = zstd_unpack,
};
