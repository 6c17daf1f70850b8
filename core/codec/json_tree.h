/* SPDX-License-Identifier: MIT */
/* JSON text, RFC 8259, to a tree, for texts that JSON.stringify could have written: no
 * white space, numbers and escapes in its form, no key twice in an object. Only those
 * come back from their structure byte for byte.
 *
 * Byte strings are recognised in exactly three forms: {"type":"Buffer","data":"<base64>"}
 * with canonical base64, {"type":"Buffer","data":[1,2]}, and {"0":1,"1":2}, keys 0 to
 * n - 1 in order, under a name that holds bytes. */
#ifndef AS_CODEC_JSON_TREE_H
#define AS_CODEC_JSON_TREE_H

#include "codec/codec.h"
#include "codec/jsontext.h"
#include "codec/key_set.h"
#include "codec/tree.h"

/* What reading keeps between texts. Owns its memory. */
typedef struct as_json_tree_reader {
  as_names_index names;
  as_key_set keys;
} as_json_tree_reader;

void as_json_tree_reader_init(as_json_tree_reader *reader, as_mem *mem);
void as_json_tree_reader_free(as_json_tree_reader *reader);

/* Appends the text's value to the tree. *out_is_exact is false when JSON.stringify did
 * not write it: the tree is as it was then, but the text has been checked to its end.
 * AS_ERR_CORRUPT: not JSON; *error, if not NULL, has words and the offset. After a
 * failure the tree is as it was. */
AS_MUST_USE as_status as_json_tree_read(as_json_tree_reader *reader, as_slice json,
                                        as_tree *tree, bool *out_is_exact,
                                        as_codec_error *error);

#endif
