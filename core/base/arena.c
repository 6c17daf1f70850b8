/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <assert.h>

enum { FIRST_BYTES = 4096, MAX_KEPT_BYTES = 256 * 1024 };

typedef struct as_arena_block {
  struct as_arena_block *older;
  size_t length; /* given out */
  size_t capacity;
  uint8_t data[];
} as_arena_block;

void as_arena_init(as_arena *arena, as_mem *mem) {
  arena->mem = mem;
  arena->block = NULL;
}

static void free_block(as_arena *arena, as_arena_block *block) {
  as_mem_free(arena->mem, block, sizeof *block + block->capacity);
}

static as_arena_block *add_block(as_arena *arena, size_t length) {
  size_t capacity = arena->block != NULL ? arena->block->capacity : FIRST_BYTES / 2;
  if (length > SIZE_MAX / 4 || capacity > SIZE_MAX / 4) return NULL;
  capacity *= 2;
  if (capacity < length) capacity = length;
  as_arena_block *block = as_mem_alloc(arena->mem, sizeof *block + capacity);
  if (block == NULL) return NULL;
  block->older = arena->block;
  block->length = 0;
  block->capacity = capacity;
  arena->block = block;
  return block;
}

uint8_t *as_arena_take(as_arena *arena, size_t length) {
  as_arena_block *block = arena->block;
  if (block == NULL || length > block->capacity - block->length) {
    block = add_block(arena, length);
    if (block == NULL) return NULL;
  }
  uint8_t *piece = block->data + block->length;
  block->length += length;
  return piece;
}

void as_arena_give_back(as_arena *arena, const uint8_t *piece) {
  as_arena_block *block = arena->block;
  assert(piece >= block->data && piece <= block->data + block->length);
  block->length = (size_t)(piece - block->data);
}

void as_arena_clear(as_arena *arena) {
  as_arena_block *block = arena->block;
  if (block == NULL) return;
  if (block->older == NULL && block->capacity <= MAX_KEPT_BYTES) {
    block->length = 0;
    return;
  }
  as_arena_free(arena);
}

void as_arena_free(as_arena *arena) {
  while (arena->block != NULL) {
    as_arena_block *block = arena->block;
    arena->block = block->older;
    free_block(arena, block);
  }
}
