/* SPDX-License-Identifier: MIT */
#ifndef AS_IO_RANDOM_H
#define AS_IO_RANDOM_H

#include <stddef.h>

#include "base/error.h"

/* Fills a block with bytes from the kernel's generator (getrandom). At most 256 bytes. */
AS_MUST_USE as_status as_random_fill(void *block, size_t length);

#endif
