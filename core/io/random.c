/* SPDX-License-Identifier: MIT */
#include "io/random.h"

#include <sys/random.h>

as_status as_random_fill(void *block, size_t length) {
  /* Up to 256 bytes are never delivered in part. */
  return getrandom(block, length, 0) == (ssize_t)length ? AS_OK : AS_ERR_UNSUPPORTED;
}
