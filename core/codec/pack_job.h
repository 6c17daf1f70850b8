/* SPDX-License-Identifier: MIT */
/* What pack.c and pack_record.c share. Nobody else includes this. */
#ifndef AS_CODEC_PACK_JOB_H
#define AS_CODEC_PACK_JOB_H

#include "codec/pack.h"

enum { AS_PACK_STRINGS = 32 };

typedef struct as_pack_job {
  as_packer *packer;
  as_tree *tree;
  as_buffer *out;
  bool is_inside_bytes;              /* in the JSON of a Buffer */
  bool has_byte_map;                 /* an object that readers may take for bytes */
  bool has_repeats;                  /* a long string seems to have come again */
  uint32_t strings[AS_PACK_STRINGS]; /* what tells long strings apart, by itself */
} as_pack_job;

/* Tries the records. *out_is_packed is false, and nothing written, for other values. */
AS_MUST_USE as_status as_pack_record(as_pack_job *job, uint32_t node,
                                     bool *out_is_packed);

/* Tries the JSON text of a sender-key, which stands in a Buffer. */
AS_MUST_USE as_status as_pack_sender_key(as_pack_job *job, as_slice json,
                                         bool *out_is_packed);

#endif
