/* SPDX-License-Identifier: MIT */
#include "compressor_target.h"

void fuzz_zstd(as_slice input) {
  fuzz_compressor(&as_zstd, input);
}
