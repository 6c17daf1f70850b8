/* SPDX-License-Identifier: MIT */
#include "io/random.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

enum { MAX_BYTES = 256, PAGE_BYTES = 4096 };

/* A page of its own. All zero, as in a child: nothing is left. */
struct as_random_pool {
  size_t left; /* of the bytes, the first ones */
  uint8_t bytes[MAX_BYTES];
};

as_status as_random_fill(void *block, size_t length) {
  /* Up to 256 bytes are never delivered in part. */
  return length <= MAX_BYTES && getrandom(block, length, 0) == (ssize_t)length
             ? AS_OK
             : AS_ERR_UNSUPPORTED;
}

as_random_pool *as_random_pool_new(void) {
  void *page =
      mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return NULL;
  if (madvise(page, PAGE_BYTES, MADV_WIPEONFORK) != 0) {
    munmap(page, PAGE_BYTES);
    return NULL;
  }
  return page;
}

void as_random_pool_del(as_random_pool *pool) {
  if (pool != NULL) munmap(pool, PAGE_BYTES);
}

as_status as_random_pool_take(as_random_pool *pool, void *block, size_t length) {
  if (pool == NULL || length > MAX_BYTES) return as_random_fill(block, length);
  if (pool->left < length) {
    AS_TRY(as_random_fill(pool->bytes, MAX_BYTES));
    pool->left = MAX_BYTES;
  }
  pool->left -= length;
  memcpy(block, pool->bytes + pool->left, length);
  return AS_OK;
}
