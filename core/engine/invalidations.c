/* SPDX-License-Identifier: MIT */
/* Kinds are told apart by the type of their node: a STRING is a key, an INTEGER a stream,
 * a STATUS the reason of a flush, an ERROR the words of a refusal. */
#include "engine/invalidations.h"

/* More than a turn of the loop ever brings: nobody takes them. */
enum { MAX_COUNT = 65536, MAX_BYTES = 8 * 1024 * 1024 };

void as_invalidations_init(as_invalidations *invalidations, as_mem *mem) {
  as_replies_init(&invalidations->list, mem);
  invalidations->is_incomplete = false;
}

void as_invalidations_free(as_invalidations *invalidations) {
  as_replies_free(&invalidations->list);
}

static void put(as_invalidations *invalidations, as_reply_type type, int64_t integer,
                as_slice text) {
  as_replies *list = &invalidations->list;
  if (as_replies_count(list) >= MAX_COUNT || list->bytes.length >= MAX_BYTES) {
    as_replies_clear(list);
    invalidations->is_incomplete = true;
  }
  if (as_replies_push(list, type, integer, text) != AS_OK)
    invalidations->is_incomplete = true;
}

void as_invalidations_put_key(as_invalidations *invalidations, as_slice key) {
  put(invalidations, AS_REPLY_STRING, 0, key);
}

void as_invalidations_put_lost(as_invalidations *invalidations, uint32_t stream) {
  put(invalidations, AS_REPLY_INTEGER, stream, as_slice_of(NULL, 0));
}

void as_invalidations_put_flush(as_invalidations *invalidations, const char *why) {
  put(invalidations, AS_REPLY_STATUS, 0, as_slice_text(why));
}

void as_invalidations_put_refused(as_invalidations *invalidations, as_slice words) {
  put(invalidations, AS_REPLY_ERROR, 0, words);
}

size_t as_invalidations_count(const as_invalidations *invalidations) {
  return as_replies_count(&invalidations->list) + (invalidations->is_incomplete ? 1 : 0);
}

as_invalidation as_invalidations_at(const as_invalidations *invalidations, size_t index) {
  as_invalidation result = {AS_INVALIDATION_FLUSH, as_slice_text("overflow"), 0};
  const as_replies *list = &invalidations->list;
  if (index >= as_replies_count(list)) return result;
  const as_reply *node = as_replies_at(list, index);
  result.text = as_replies_text(list, node);
  if (node->type == AS_REPLY_STRING) result.kind = AS_INVALIDATION_KEY;
  if (node->type == AS_REPLY_ERROR) result.kind = AS_INVALIDATION_REFUSED;
  if (node->type == AS_REPLY_INTEGER) {
    result.kind = AS_INVALIDATION_LOST;
    result.stream = (uint32_t)node->integer;
  }
  return result;
}

void as_invalidations_clear(as_invalidations *invalidations) {
  as_replies_clear(&invalidations->list);
  invalidations->is_incomplete = false;
}
