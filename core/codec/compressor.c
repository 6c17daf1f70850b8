/* SPDX-License-Identifier: MIT */
#include "codec/compressor.h"

#include <assert.h>

/* By code, from 1. */
static const as_compressor *const COMPRESSORS[AS_COMPRESSOR_MAX_CODE] = {
    &as_lz4, &as_zstd, &as_deflate};

void as_compressor_state_init(as_compressor_state *state, as_mem *mem) {
  *state = (as_compressor_state){.mem = mem};
}

void as_compressor_state_free(as_compressor_state *state) {
  as_lz4_free(state);
  as_zstd_free(state);
  as_deflate_free(state);
}

const as_compressor *as_compressor_of_code(unsigned code) {
  assert(code >= 1 && code <= AS_COMPRESSOR_MAX_CODE);
  return COMPRESSORS[code - 1];
}

const as_compressor *as_compressor_named(const char *name) {
  for (int i = 0; i < AS_COMPRESSOR_MAX_CODE; i++) {
    if (strcmp(COMPRESSORS[i]->name, name) == 0) return COMPRESSORS[i];
  }
  return NULL;
}
