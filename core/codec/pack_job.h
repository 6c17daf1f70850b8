/* SPDX-License-Identifier: MIT */
/* What pack.c and pack_record.c share. Nobody else includes this. */
#ifndef AS_CODEC_PACK_JOB_H
#define AS_CODEC_PACK_JOB_H

#include "codec/pack.h"

typedef struct as_pack_job {
  as_packer *packer;
  as_tree *tree;
  as_buffer *out;
  bool is_inside_bytes; /* in the JSON of a Buffer */
} as_pack_job;

/* Tries the records. *out_is_packed is false, and nothing written, for other values. */
AS_MUST_USE as_status as_pack_record(as_pack_job *job, uint32_t node,
                                     bool *out_is_packed);

/* Tries the JSON text of a sender-key, which stands in a Buffer. */
AS_MUST_USE as_status as_pack_sender_key(as_pack_job *job, as_slice json,
                                         bool *out_is_packed);

#endif
