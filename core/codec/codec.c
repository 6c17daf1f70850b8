/* SPDX-License-Identifier: MIT */
#include "codec/codec.h"

#include <stdarg.h>
#include <stdio.h>

void as_codec_error_clear(as_codec_error *error) {
  error->offset = 0;
  error->message[0] = '\0';
}

as_status as_codec_error_set(as_codec_error *error, as_status status, size_t offset,
                             const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  error->offset = offset;
  return status;
}

const char *as_codec_error_text(const as_codec_error *error, as_status status) {
  return error->message[0] != '\0' ? error->message : as_status_sentence(status);
}
