/* SPDX-License-Identifier: MIT */
#include "codec/tree.h"

void as_tree_init(as_tree *tree, as_mem *mem) {
  as_buffer_init(&tree->nodes, mem);
  as_arena_init(&tree->arena, mem);
}

void as_tree_free(as_tree *tree) {
  as_buffer_free(&tree->nodes);
  as_arena_free(&tree->arena);
}
