/* SPDX-License-Identifier: MIT */
/* From a tree to its stored CBOR (packed.h). Text that is base64, digits or a jid, number
 * lists, JSON inside Buffers, well-known names and well-known records are stored as what
 * they are; each rule applies only where unpacking gives the same text back, and else the
 * value is stored plainly. */
#ifndef AS_CODEC_PACK_H
#define AS_CODEC_PACK_H

#include "base/buffer.h"
#include "codec/json_tree.h"
#include "codec/references.h"
#include "codec/tree.h"

/* What packing keeps between values, so that none allocates anew. Owns its memory. */
typedef struct as_packer {
  as_json_tree_reader json;
  as_buffer iterations; /* of the sender-key state being packed */
  as_references references;
} as_packer;

void as_packer_init(as_packer *packer, as_mem *mem);
void as_packer_free(as_packer *packer);

/* Appends one item with the value of the tree's first node. Nodes for JSON inside of
 * Buffers are added to the tree. After a failure `out` is as it was. */
AS_MUST_USE as_status as_pack(as_packer *packer, as_tree *tree, as_buffer *out);

/* Appends the whole item of a text that is only digits, as as_pack would: such a value (a
 * lid-mapping) is so small that going through a tree would take most of the time.
 * *out_is_packed is false, and nothing appended, for any other text. */
AS_MUST_USE as_status as_pack_digits(as_slice text, as_buffer *out, bool *out_is_packed);

#endif
