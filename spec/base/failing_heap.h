/* SPDX-License-Identifier: MIT */
/* The C library's heap, failing when it is told. A program linked with failing_heap.c and
 * the options of program.FAILING_HEAP has every malloc, calloc and realloc counted, the
 * core's and those of the libraries it is linked with statically (hiredis, zlib). */
#ifndef SPEC_BASE_FAILING_HEAP_H
#define SPEC_BASE_FAILING_HEAP_H

#include <stdint.h>

typedef struct failing_heap {
  uint64_t calls;
  uint64_t first; /* the calls numbered first to last, from 1, fail */
  uint64_t last;
  uint64_t failed;
} failing_heap;

extern failing_heap heap;

/* Counts from 1 again, and fails `in_a_row` calls from number `first` on. */
void failing_heap_begin(uint64_t first, uint64_t in_a_row);

/* No call fails any more; the count of those that failed stays. */
void failing_heap_end(void);

#endif
