/* SPDX-License-Identifier: MIT */
/* Random pieces, none of which may move or touch another, with an allocator that fails.
 */
#include "base/arena.h"

#include <string.h>

#include "check.h"

enum { MAX_PIECES = 300, STEPS = 3000, LARGE = 300 * 1024, KEPT = 256 * 1024 + 64 };

/* What was given out, filled with a byte of its own. */
typedef struct piece {
  uint8_t *data;
  size_t length;
  uint8_t fill;
} piece;

static piece pieces[MAX_PIECES];
static size_t count;
static bool is_last_there; /* the piece given out last was not given back */

static void check_pieces(void) {
  for (size_t i = 0; i < count; i++) {
    for (size_t at = 0; at < pieces[i].length; at++)
      CHECK(pieces[i].data[at] == pieces[i].fill);
  }
}

static size_t random_length(void) {
  switch (check_random(20)) {
    case 0:
      return 0;
    case 1:
      return check_random(LARGE);
    case 2:
      return 4096 - check_random(3);
    default:
      return check_random(200);
  }
}

static void take(as_arena *arena, check_mem *mem) {
  size_t length = random_length(), used_bytes = mem->mem.used_bytes;
  uint64_t failed = mem->failed;
  if (count == MAX_PIECES) return;
  uint8_t *data = as_arena_take(arena, length);
  CHECK((data == NULL) == (mem->failed > failed));
  if (data == NULL) {
    CHECK(mem->mem.used_bytes == used_bytes);
    return;
  }
  piece *piece = &pieces[count++];
  piece->data = data;
  piece->length = length;
  piece->fill = (uint8_t)check_random(256);
  memset(data, piece->fill, length);
  is_last_there = true;
}

/* What was given back is given out again, without memory. */
static void give_back(as_arena *arena, check_mem *mem) {
  size_t used_bytes = mem->mem.used_bytes;
  if (!is_last_there) return;
  piece *last = &pieces[count - 1];
  as_arena_give_back(arena, last->data);
  CHECK(as_arena_take(arena, last->length) == last->data);
  as_arena_give_back(arena, last->data);
  CHECK(mem->mem.used_bytes == used_bytes);
  count--;
  is_last_there = false;
}

static void clear(as_arena *arena, check_mem *mem) {
  as_arena_clear(arena);
  count = 0;
  is_last_there = false;
  CHECK(mem->mem.used_bytes <= KEPT);
}

static void check_random_steps(uint64_t first_failing) {
  check_mem mem;
  as_arena arena;
  check_mem_init(&mem, first_failing, first_failing + check_random(3));
  as_arena_init(&arena, &mem.mem);
  CHECK(as_arena_is_empty(&arena) && mem.mem.used_bytes == 0);
  count = 0;
  is_last_there = false;
  for (int i = 0; i < STEPS; i++) {
    uint32_t choice = check_random(100);
    if (choice < 90) {
      take(&arena, &mem);
    } else if (choice < 98) {
      give_back(&arena, &mem);
    } else if (choice == 98) {
      check_pieces();
    } else {
      check_pieces();
      clear(&arena, &mem);
    }
  }
  check_pieces();
  as_arena_free(&arena);
  CHECK(as_arena_is_empty(&arena) && mem.mem.used_bytes == 0);
  as_arena_free(&arena);
  CHECK(as_arena_take(&arena, 10) != NULL);
  as_arena_free(&arena);
  CHECK(mem.mem.used_bytes == 0);
}

/* Many small pieces cost few blocks, and after clear none at all. */
static void check_blocks(void) {
  enum { PIECES = 100000, LENGTH = 44, FEW = 14 };
  check_mem mem;
  as_arena arena;
  check_mem_init(&mem, 0, 0);
  as_arena_init(&arena, &mem.mem);
  for (int i = 0; i < PIECES; i++) CHECK(as_arena_take(&arena, LENGTH) != NULL);
  CHECK(mem.calls <= FEW);
  CHECK(mem.mem.used_bytes <= 4 * PIECES * LENGTH);
  as_arena_clear(&arena);
  uint64_t calls = mem.calls;
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < 50; i++) CHECK(as_arena_take(&arena, LENGTH) != NULL);
    as_arena_clear(&arena);
  }
  CHECK(mem.calls <= calls + 1);
  as_arena_free(&arena);
}

/* A length that no machine has is refused, without overflow. */
static void check_length(void) {
  check_mem mem;
  as_arena arena;
  check_mem_init(&mem, 0, 0);
  as_arena_init(&arena, &mem.mem);
  CHECK(as_arena_take(&arena, SIZE_MAX) == NULL);
  CHECK(as_arena_take(&arena, SIZE_MAX - 16) == NULL);
  CHECK(as_arena_take(&arena, 1) != NULL);
  CHECK(as_arena_take(&arena, SIZE_MAX) == NULL);
  CHECK(as_arena_take(&arena, SIZE_MAX / 2) == NULL);
  as_arena_free(&arena);
  CHECK(mem.mem.used_bytes == 0);
}

int main(int argc, char **argv) {
  check_begin(argc, argv);
  check_random_steps(UINT64_MAX - 9);
  for (uint64_t call = 1; call < 20; call++) check_random_steps(call);
  check_blocks();
  check_length();
  return 0;
}
