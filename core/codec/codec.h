/* SPDX-License-Identifier: MIT */
/* What all of the codec shares: how deep a value may nest, and as_codec_error, which says
 * in words why a value could not be read or written. The codec turns bytes into bytes: it
 * knows neither Lua nor Redis, and does no I/O. */
#ifndef AS_CODEC_CODEC_H
#define AS_CODEC_CODEC_H

#include <stddef.h>

#include "base/error.h"

enum {
  /* Arrays and objects inside each other; a plain value has none. A byte string is one
   * level, because in JSON it is an object. */
  AS_CODEC_MAX_LEVELS = 256,
  AS_CODEC_MESSAGE_BYTES = 512,
};

/* The caller owns it; no initialisation is needed. After a failure `message` is a
 * sentence without full stop, or empty when the status says it all (AS_ERR_OOM). */
typedef struct as_codec_error {
  size_t offset; /* the byte of the text or stored value that is wrong, from 0 */
  char message[AS_CODEC_MESSAGE_BYTES];
} as_codec_error;

/* No failure yet: offset 0, no message. */
void as_codec_error_clear(as_codec_error *error);

/* Notes a failure and returns `status`, so that it can end a function. A message longer
 * than the room is cut. */
AS_MUST_USE as_status as_codec_error_set(as_codec_error *error, as_status status,
                                         size_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The words of a failure: the message, or the status' own sentence. Lives as long as
 * `error`. */
const char *as_codec_error_text(const as_codec_error *error, as_status status);

#endif
