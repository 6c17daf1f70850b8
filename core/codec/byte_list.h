/* SPDX-License-Identifier: MIT */
/* Bytes as Node writes them in JSON, "1,2,255": numbers from 0 to 255 with commas between
 * them and nothing else. */
#ifndef AS_CODEC_BYTE_LIST_H
#define AS_CODEC_BYTE_LIST_H

#include "base/buffer.h"

/* Bytes of room that reading may need. */
static inline size_t as_byte_list_room(const uint8_t *list, const uint8_t *end) {
  return (size_t)(end - list) / 2 + 2;
}

/* Reads the list between its brackets: `end` is the closing one; at least three bytes
 * that may be read are before the opening one. False for any other text: what was written
 * to `out` means nothing. */
bool as_byte_list_read(const uint8_t *list, const uint8_t *end, uint8_t *out,
                       size_t *out_count);

/* Appends the list, without brackets. */
AS_MUST_USE as_status as_byte_list_write(as_buffer *out, as_slice bytes);

#endif
