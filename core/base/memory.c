/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void *heap_resize(void *context, void *block, size_t new_size) {
  (void)context;
  if (new_size == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new_size);
}

void as_mem_init(as_mem *mem) {
  mem->resize = heap_resize;
  mem->context = NULL;
  mem->used_bytes = 0;
}

void *as_mem_alloc(as_mem *mem, size_t size) {
  return as_mem_resize(mem, NULL, 0, size);
}

void *as_mem_alloc_zero(as_mem *mem, size_t size) {
  void *block = as_mem_alloc(mem, size);
  if (block != NULL) memset(block, 0, size);
  return block;
}

void *as_mem_resize(as_mem *mem, void *block, size_t old_size, size_t new_size) {
  void *moved = mem->resize(mem->context, block, new_size);
  if (moved == NULL) return NULL;
  mem->used_bytes += new_size - old_size;
  return moved;
}

void as_mem_free(as_mem *mem, void *block, size_t size) {
  if (block == NULL) return;
  mem->resize(mem->context, block, 0);
  mem->used_bytes -= size;
}
