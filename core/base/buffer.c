/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

enum { AS_BUFFER_MIN_CAPACITY = 64 };

void as_buffer_init(as_buffer *buffer, as_mem *mem) {
  buffer->mem = mem;
  buffer->data = NULL;
  buffer->length = 0;
  buffer->capacity = 0;
}

void as_buffer_free(as_buffer *buffer) {
  as_mem_free(buffer->mem, buffer->data, buffer->capacity);
  as_buffer_init(buffer, buffer->mem);
}

as_status as_buffer_grow(as_buffer *buffer, size_t extra) {
  if (extra > SIZE_MAX / 4 - buffer->length) return AS_ERR_OOM;
  size_t capacity = buffer->capacity ? buffer->capacity : AS_BUFFER_MIN_CAPACITY;
  while (capacity - buffer->length < extra) capacity *= 2;
  void *data = as_mem_resize(buffer->mem, buffer->data, buffer->capacity, capacity);
  if (data == NULL) return AS_ERR_OOM;
  buffer->data = data;
  buffer->capacity = capacity;
  return AS_OK;
}

as_status as_buffer_append_slice(as_buffer *buffer, as_slice slice) {
  return as_buffer_append(buffer, slice.data, slice.length);
}

void as_buffer_drop_front(as_buffer *buffer, size_t length) {
  if (length == 0) return;
  memmove(buffer->data, buffer->data + length, buffer->length - length);
  buffer->length -= length;
}
