/* SPDX-License-Identifier: MIT */
/* as_json_sink appends what it receives to a buffer as JSON text, written as
 * JSON.stringify writes it. */
#ifndef AS_CODEC_JSON_SINK_H
#define AS_CODEC_JSON_SINK_H

#include "base/buffer.h"
#include "codec/sink.h"

typedef struct as_json_sink {
  as_sink sink;
  as_buffer *out;
  as_byte_form form;
  size_t start; /* where the text begins in `out` */
} as_json_sink;

/* `form`: of bytes that are stored without one. */
void as_json_sink_init(as_json_sink *json, as_buffer *out, as_byte_form form);

#endif
