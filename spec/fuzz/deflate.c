/* SPDX-License-Identifier: MIT */
#include "compressor_target.h"

void fuzz_deflate(as_slice input) {
  fuzz_compressor(&as_deflate, input);
}
