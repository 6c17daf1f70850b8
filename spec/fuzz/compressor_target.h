/* SPDX-License-Identifier: MIT */
/* What the targets of all compressors do, each with its own. */
#ifndef SPEC_FUZZ_COMPRESSOR_TARGET_H
#define SPEC_FUZZ_COMPRESSOR_TARGET_H

#include "codec/compressor.h"
#include "fuzz.h"

/* The first two bytes of the input choose a size and a level. The rest is unpacked as it
 * stands, to that size and to what it really has; then it is packed, into any room, and
 * must come back. */
void fuzz_compressor(const as_compressor *compressor, as_slice input);

#endif
