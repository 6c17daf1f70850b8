/* SPDX-License-Identifier: MIT */
/* Strings that come again in a packed value become references (tags 256 and 25,
 * http://cbor.schmorp.de/stringref), when that makes the value much shorter. Real records
 * have hardly any: each of their forms (pack_record.h) says a key once. It pays for
 * records of libraries that write them otherwise, which are packed as any object. */
#ifndef AS_CODEC_REFERENCES_H
#define AS_CODEC_REFERENCES_H

#include "base/buffer.h"

enum { AS_REFERENCES_SLOTS = 128 };

/* A string that was seen. */
typedef struct as_reference_slot {
  size_t offset; /* of its content in the value */
  size_t length;
  size_t number;
  uint64_t value; /* in which value: others' slots are empty */
  bool is_text;
} as_reference_slot;

/* What is kept between values, so that none allocates anew. Owns its memory. */
typedef struct as_references {
  as_reference_slot slots[AS_REFERENCES_SLOTS];
  uint64_t value;
  as_buffer rewritten;
} as_references;

void as_references_init(as_references *references, as_mem *mem);
void as_references_free(as_references *references);

/* Rewrites the item that lies in `out` from `start` to its end, which as_pack wrote, when
 * it becomes 16 bytes shorter by that. AS_ERR_OOM: it is as it was. */
AS_MUST_USE as_status as_references_put(as_references *references, as_buffer *out,
                                        size_t start);

#endif
