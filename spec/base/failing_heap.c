/* SPDX-License-Identifier: MIT */
#include "failing_heap.h"

#include <stdbool.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

failing_heap heap = {0, UINT64_MAX, UINT64_MAX, 0};

void failing_heap_begin(uint64_t first, uint64_t in_a_row) {
  heap = (failing_heap){0, first, first + in_a_row - 1, 0};
}

void failing_heap_end(void) {
  heap.first = heap.last = UINT64_MAX;
}

static bool fails(void) {
  heap.calls++;
  if (heap.calls < heap.first || heap.calls > heap.last) return false;
  heap.failed++;
  return true;
}

void *__wrap_malloc(size_t size) {
  return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
  return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size) {
  return fails() ? NULL : __real_realloc(block, size);
}
