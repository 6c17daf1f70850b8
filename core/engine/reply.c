/* SPDX-License-Identifier: MIT */
#include "engine/reply.h"

/* A slot that once carried a large reply does not keep more than this. */
enum { AS_REPLIES_KEPT_BYTES = 64 * 1024 };

void as_replies_init(as_replies *replies, as_mem *mem) {
  as_buffer_init(&replies->nodes, mem);
  as_buffer_init(&replies->bytes, mem);
}

void as_replies_free(as_replies *replies) {
  as_buffer_free(&replies->nodes);
  as_buffer_free(&replies->bytes);
}

static void clear_buffer(as_buffer *buffer) {
  if (buffer->capacity > AS_REPLIES_KEPT_BYTES) as_buffer_free(buffer);
  as_buffer_clear(buffer);
}

void as_replies_clear(as_replies *replies) {
  clear_buffer(&replies->nodes);
  clear_buffer(&replies->bytes);
}

void as_replies_truncate(as_replies *replies, size_t count) {
  replies->nodes.length = count * sizeof(as_reply);
}

size_t as_replies_skip(const as_replies *replies, size_t index) {
  size_t owed = 1;
  while (owed > 0) {
    const as_reply *reply = as_replies_at(replies, index);
    if (reply->type == AS_REPLY_ARRAY) owed += (size_t)reply->integer;
    owed--;
    index++;
  }
  return index;
}

as_status as_replies_push(as_replies *replies, as_reply_type type, int64_t integer,
                          as_slice text) {
  as_reply reply = {type, integer, replies->bytes.length, text.length};
  AS_TRY(as_buffer_append_slice(&replies->bytes, text));
  as_status status = as_buffer_append(&replies->nodes, &reply, sizeof reply);
  if (status != AS_OK) replies->bytes.length = reply.offset;
  return status;
}
