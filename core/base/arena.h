/* SPDX-License-Identifier: MIT */
/* as_arena gives out bytes that never move and are all taken back at once. It owns them:
 * blocks from its as_mem, each at least twice as large as the one before. Pieces are not
 * aligned: they are for text and bytes. */
#ifndef AS_BASE_ARENA_H
#define AS_BASE_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

typedef struct as_arena {
  as_mem *mem;
  struct as_arena_block *block; /* the newest, or NULL */
} as_arena;

/* An empty arena that holds no memory yet. */
void as_arena_init(as_arena *arena, as_mem *mem);

/* `length` bytes, valid until clear or free. NULL: out of memory, nothing has changed. */
uint8_t *as_arena_take(as_arena *arena, size_t length);

static inline bool as_arena_is_empty(const as_arena *arena) {
  return arena->block == NULL;
}

/* Takes back the piece that was given out last; once. */
void as_arena_give_back(as_arena *arena, const uint8_t *piece);

/* Takes all pieces back; keeps one block of moderate size. */
void as_arena_clear(as_arena *arena);

/* Gives all memory back; the arena is empty and usable again. */
void as_arena_free(as_arena *arena);

#endif
