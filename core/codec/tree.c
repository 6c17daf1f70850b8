/* SPDX-License-Identifier: MIT */
#include "codec/tree.h"

/* More than this is given back rather than kept for the next value. */
enum { MAX_KEPT_BYTES = 256 * 1024 };

void as_tree_init(as_tree *tree, as_mem *mem) {
  as_buffer_init(&tree->nodes, mem);
  as_arena_init(&tree->arena, mem);
}

void as_tree_free(as_tree *tree) {
  as_buffer_free(&tree->nodes);
  as_arena_free(&tree->arena);
}

void as_tree_clear(as_tree *tree) {
  if (tree->nodes.capacity > MAX_KEPT_BYTES) as_buffer_free(&tree->nodes);
  as_buffer_clear(&tree->nodes);
  as_arena_clear(&tree->arena);
}
