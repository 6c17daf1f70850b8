/* SPDX-License-Identifier: MIT */
/* For the small C programs of the specs: CHECK says what failed and ends the program;
 * check_random repeats with the seed given to main; check_mem fails when it is told. */
#ifndef SPEC_BASE_CHECK_H
#define SPEC_BASE_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

static uint32_t check_seed;

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      fprintf(stderr, "%s:%d: %s (seed %u)\n", __FILE__, __LINE__, #condition,           \
              (unsigned)check_seed);                                                     \
      exit(1);                                                                           \
    }                                                                                    \
  } while (0)

static uint64_t check_state;

/* The seed from the command line, for check_random. */
static inline void check_begin(int argc, char **argv) {
  check_seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
  check_state = check_seed * 2654435769u + 88172645463325252u;
}

/* A number from 0 to below - 1 (Marsaglia's xorshift64). */
static inline uint32_t check_random(uint32_t below) {
  check_state ^= check_state << 13;
  check_state ^= check_state >> 7;
  check_state ^= check_state << 17;
  return (uint32_t)(check_state >> 33) % below;
}

/* An allocator over the heap whose calls number `first` to `last`, from 1, fail. */
typedef struct check_mem {
  as_mem mem;
  uint64_t calls;
  uint64_t first;
  uint64_t last;
  uint64_t failed;
} check_mem;

static inline void *check_resize(void *context, void *block, size_t new_size) {
  check_mem *mem = context;
  if (new_size == 0) {
    free(block);
    return NULL;
  }
  mem->calls++;
  if (mem->calls >= mem->first && mem->calls <= mem->last) {
    mem->failed++;
    return NULL;
  }
  return realloc(block, new_size);
}

static inline void check_mem_init(check_mem *mem, uint64_t first, uint64_t last) {
  as_mem_init(&mem->mem);
  mem->mem.resize = check_resize;
  mem->mem.context = mem;
  mem->calls = 0;
  mem->first = first;
  mem->last = last;
  mem->failed = 0;
}

#endif
