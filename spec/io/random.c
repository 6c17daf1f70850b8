/* SPDX-License-Identifier: MIT */
/* A pool of random bytes, in a process and in a child of it. */
#include "io/random.h"

#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { PIECE_BYTES = 12, PIECES = 200 };

typedef uint8_t piece[PIECE_BYTES];

static bool is_among(const uint8_t *wanted, piece *pieces, int count) {
  for (int i = 0; i < count; i++) {
    if (memcmp(wanted, pieces[i], PIECE_BYTES) == 0) return true;
  }
  return false;
}

static void take_all(as_random_pool *pool, piece *pieces) {
  for (int i = 0; i < PIECES; i++) {
    CHECK(as_random_pool_take(pool, pieces[i], PIECE_BYTES) == AS_OK);
    CHECK(!is_among(pieces[i], pieces, i));
  }
}

/* What the child takes from the pool of its parent. */
static void take_in_child(as_random_pool *pool, piece *pieces) {
  int ends[2], status;
  CHECK(pipe(ends) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    take_all(pool, pieces);
    bool is_written = write(ends[1], pieces, PIECES * sizeof *pieces) ==
                      (ssize_t)(PIECES * sizeof *pieces);
    _exit(is_written ? 0 : 1);
  }
  CHECK(read(ends[0], pieces, PIECES * sizeof *pieces) ==
        (ssize_t)(PIECES * sizeof *pieces));
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  close(ends[0]);
  close(ends[1]);
}

int main(void) {
  static piece ours[PIECES], theirs[PIECES];
  uint8_t block[256];
  as_random_pool *pool = as_random_pool_new();
  CHECK(pool != NULL);
  /* So that the child begins with a pool that has bytes left. */
  CHECK(as_random_pool_take(pool, block, 1) == AS_OK);
  take_in_child(pool, theirs);
  take_all(pool, ours);
  for (int i = 0; i < PIECES; i++) CHECK(!is_among(ours[i], theirs, PIECES));
  CHECK(as_random_pool_take(pool, block, sizeof block) == AS_OK);
  CHECK(as_random_pool_take(pool, block, sizeof block + 1) == AS_ERR_UNSUPPORTED);
  CHECK(as_random_pool_take(NULL, block, PIECE_BYTES) == AS_OK);
  as_random_pool_del(pool);
  as_random_pool_del(NULL);
  return 0;
}
