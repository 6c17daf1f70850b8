/* SPDX-License-Identifier: MIT */
#include "compressor_target.h"

void fuzz_lz4(as_slice input) {
  fuzz_compressor(&as_lz4, input);
}
