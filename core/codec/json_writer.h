/* SPDX-License-Identifier: MIT */
/* Strings and numbers as JSON.stringify writes them: the escapes \" \\ \b \f \n \r \t, \u
 * with lower case digits for other control characters and for lone surrogates, anything
 * else as it is. */
#ifndef AS_CODEC_JSON_WRITER_H
#define AS_CODEC_JSON_WRITER_H

#include "base/buffer.h"

/* Appends a string in quotes, as JSON.stringify writes it. The text must be WTF-8. */
AS_MUST_USE as_status as_json_write_string(as_buffer *out, as_slice text);

/* How many bytes as_json_write_string appends. */
size_t as_json_string_length(as_slice text);

/* Appends a finite number. */
AS_MUST_USE as_status as_json_write_number(as_buffer *out, double value);

#endif
