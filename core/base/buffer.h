/* SPDX-License-Identifier: MIT */
/* as_buffer owns a growing run of bytes. Appending may move it: a pointer into it is
 * valid until the next append or reserve. Capacity doubles, so appending n bytes one by
 * one costs O(n). After a failed append the buffer is as it was. */
#ifndef AS_BASE_BUFFER_H
#define AS_BASE_BUFFER_H

#include "base/memory.h"
#include "base/slice.h"

typedef struct as_buffer {
  as_mem *mem;
  uint8_t *data;
  size_t length;
  size_t capacity;
} as_buffer;

/* An empty buffer that holds no memory yet. */
void as_buffer_init(as_buffer *buffer, as_mem *mem);

/* Gives the memory back; the buffer is empty and usable again. */
void as_buffer_free(as_buffer *buffer);

/* Makes the capacity large enough; what reserve calls when it is not. */
AS_MUST_USE as_status as_buffer_grow(as_buffer *buffer, size_t extra);

/* Makes room for `extra` more bytes after length. AS_ERR_OOM: unchanged. */
AS_MUST_USE static inline as_status as_buffer_reserve(as_buffer *buffer, size_t extra) {
  if (extra <= buffer->capacity - buffer->length) return AS_OK;
  return as_buffer_grow(buffer, extra);
}

/* Appends bytes; `data` must not point into the buffer itself. */
AS_MUST_USE static inline as_status as_buffer_append(as_buffer *buffer, const void *data,
                                                     size_t length) {
  if (length == 0) return AS_OK;
  AS_TRY(as_buffer_reserve(buffer, length));
  memcpy(buffer->data + buffer->length, data, length);
  buffer->length += length;
  return AS_OK;
}

AS_MUST_USE as_status as_buffer_append_slice(as_buffer *buffer, as_slice slice);

AS_MUST_USE static inline as_status as_buffer_append_byte(as_buffer *buffer,
                                                          uint8_t byte) {
  AS_TRY(as_buffer_reserve(buffer, 1));
  buffer->data[buffer->length++] = byte;
  return AS_OK;
}

/* Drops the first `length` bytes and moves the rest to the front. */
void as_buffer_drop_front(as_buffer *buffer, size_t length);

/* Empties the buffer but keeps its memory. */
static inline void as_buffer_clear(as_buffer *buffer) {
  buffer->length = 0;
}

/* Borrows the whole content, until the next append. */
static inline as_slice as_buffer_slice(const as_buffer *buffer) {
  return as_slice_of(buffer->data, buffer->length);
}

#endif
