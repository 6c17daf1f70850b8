/* SPDX-License-Identifier: MIT */
/* as_tree is a value as a flat list of nodes, in the order of its text: an array or
 * object comes before all that it contains. It stands between what a value is made of (a
 * JSON text, a Lua table) and its stored form, so that the rules of packing are written
 * once. A tree owns its nodes and its arena; what nodes point to lies in the arena or is
 * borrowed from the source, which must outlive the tree's next clear. */
#ifndef AS_CODEC_TREE_H
#define AS_CODEC_TREE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "codec/names.h"

typedef enum as_tree_kind {
  AS_TREE_NULL,
  AS_TREE_FALSE,
  AS_TREE_TRUE,
  AS_TREE_NUMBER,
  AS_TREE_STRING, /* text: WTF-8 */
  AS_TREE_BYTES,  /* text: the bytes themselves */
  AS_TREE_ARRAY,
  AS_TREE_OBJECT,
} as_tree_kind;

/* How a byte string is written in JSON. */
typedef enum as_byte_form {
  AS_BYTE_FORM_BASE64, /* {"type":"Buffer","data":"AQI="} */
  AS_BYTE_FORM_ARRAY,  /* {"type":"Buffer","data":[1,2]} */
  AS_BYTE_FORM_OBJECT, /* {"0":1,"1":2} */
} as_byte_form;

typedef struct as_tree_node {
  uint8_t kind;
  uint8_t form;       /* bytes: as_byte_form */
  bool has_surrogate; /* text: at least one lone surrogate */
  bool key_has_surrogate;
  int32_t name; /* of a member: its place in names.h, or AS_NAME_OTHER */
  union {
    double number;
    as_slice text;
    struct {
      uint32_t count; /* elements or members */
      uint32_t end;   /* the node behind all that it contains */
    } inside;
  };
  as_slice key; /* of a member: its name, WTF-8 */
} as_tree_node;

typedef struct as_tree {
  as_buffer nodes;
  as_arena arena;
} as_tree;

/* An empty tree that holds no memory yet. */
void as_tree_init(as_tree *tree, as_mem *mem);
void as_tree_free(as_tree *tree);

/* Forgets all nodes but keeps the memory. */
static inline void as_tree_clear(as_tree *tree) {
  as_buffer_clear(&tree->nodes);
  if (!as_arena_is_empty(&tree->arena)) as_arena_clear(&tree->arena);
}

static inline uint32_t as_tree_count(const as_tree *tree) {
  return (uint32_t)(tree->nodes.length / sizeof(as_tree_node));
}

/* The i-th node, valid until the next add. */
static inline as_tree_node *as_tree_at(const as_tree *tree, uint32_t i) {
  return (as_tree_node *)(void *)tree->nodes.data + i;
}

/* Forgets the nodes from the i-th on. */
static inline void as_tree_cut(as_tree *tree, uint32_t i) {
  tree->nodes.length = i * sizeof(as_tree_node);
}

/* Appends a node of no name; NULL: out of memory, or 2^31 nodes. */
static inline as_tree_node *as_tree_add(as_tree *tree, as_tree_kind kind) {
  as_buffer *nodes = &tree->nodes;
  if (nodes->length >= (size_t)INT32_MAX * sizeof(as_tree_node) ||
      as_buffer_reserve(nodes, sizeof(as_tree_node)) != AS_OK) {
    return NULL;
  }
  as_tree_node *node = (as_tree_node *)(void *)(nodes->data + nodes->length);
  nodes->length += sizeof *node;
  node->kind = (uint8_t)kind;
  node->form = AS_BYTE_FORM_BASE64;
  node->has_surrogate = false;
  node->key_has_surrogate = false;
  node->name = AS_NAME_OTHER;
  node->key = as_slice_of(NULL, 0);
  return node;
}

/* The node behind the i-th and all that it contains. */
static inline uint32_t as_tree_after(const as_tree *tree, uint32_t i) {
  const as_tree_node *node = as_tree_at(tree, i);
  return node->kind >= AS_TREE_ARRAY ? node->inside.end : i + 1;
}

#endif
