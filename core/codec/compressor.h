/* SPDX-License-Identifier: MIT */
/* A compressor is one struct of functions: lz4.c, zstd.c and deflate.c each have one, and
 * a new one is a row in compressor.c. It turns bytes into fewer bytes and knows nothing
 * of envelopes.
 *
 *   name      code  format                                    levels
 *   lz4       1     one LZ4 block                             1
 *   zstd      2     one Zstandard frame (RFC 8878)            3
 *   deflate   3     raw DEFLATE (RFC 1951), no header         1 to 9
 *
 * None of the formats says reliably how large the content is, so whoever keeps a packed
 * content keeps its size beside it, and gives it back to `unpack`. */
#ifndef AS_CODEC_COMPRESSOR_H
#define AS_CODEC_COMPRESSOR_H

#include <stdint.h>

#include "base/memory.h"
#include "base/slice.h"

enum {
  /* More is neither packed nor unpacked: the libraries count in int. */
  AS_COMPRESSOR_MAX_BYTES = 1 << 30,
  AS_COMPRESSOR_MAX_CODE = 3,
};

/* What the compressors keep between two calls, so that a value allocates nothing. One is
 * enough for all of them. Each pointer belongs to the compressor it is named after, and
 * is NULL until that is first used. The libraries allocate inside of theirs by
 * themselves: about 270 KiB for deflate and 2 MiB for zstd at most. */
typedef struct as_compressor_state {
  as_mem *mem;
  void *lz4;
  void *zstd_packer;
  void *zstd_unpacker;
  struct as_deflate_packer *deflate_packer;
  struct as_deflate_unpacker *deflate_unpacker;
} as_compressor_state;

typedef struct as_compressor {
  const char *name;
  uint8_t code; /* in the header of an envelope: 1 to AS_COMPRESSOR_MAX_CODE */
  int default_level;
  int min_level;
  int max_level;

  /* How long packed content can become. `length` is at most AS_COMPRESSOR_MAX_BYTES. */
  size_t (*bound)(size_t length);

  /* Packs a content of 1 to AS_COMPRESSOR_MAX_BYTES bytes into at most `room` bytes at
   * `out`, which nothing else may overlap. *out_length is 0 when it does not fit, which
   * with the bound as room never happens; what was written then means nothing. The same
   * content at the same level gives the same bytes. AS_ERR_OOM: no memory for the
   * compressor's own state. */
  as_status (*pack)(as_compressor_state *state, int level, as_slice content, uint8_t *out,
                    size_t room, size_t *out_length);

  /* Writes the `size` bytes that `packed` stands for to `out`, never more. Neither is
   * longer than AS_COMPRESSOR_MAX_BYTES. AS_ERR_CORRUPT: it is damaged, or stands for
   * more or fewer bytes, or something follows it. AS_ERR_OOM as above. */
  as_status (*unpack)(as_compressor_state *state, as_slice packed, uint8_t *out,
                      size_t size);
} as_compressor;

extern const as_compressor as_lz4, as_zstd, as_deflate;

void as_compressor_state_init(as_compressor_state *state, as_mem *mem);

/* Gives the memory back; the state is usable again. */
void as_compressor_state_free(as_compressor_state *state);

/* What as_compressor_state_free calls. */
void as_lz4_free(as_compressor_state *state);
void as_zstd_free(as_compressor_state *state);
void as_deflate_free(as_compressor_state *state);

/* The compressor of a code of 1 to AS_COMPRESSOR_MAX_CODE. */
const as_compressor *as_compressor_of_code(unsigned code);

/* The compressor of a name, NULL for none. */
const as_compressor *as_compressor_named(const char *name);

#endif
