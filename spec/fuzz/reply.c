/* SPDX-License-Identifier: MIT */
/* The input is what a server sends. However the bytes are cut, the same replies come out,
 * and an error in the same place; each reply is a whole tree; and replies written as RESP
 * are read as the same replies. The first byte chooses the cuts. */
#include "engine/resp.h"
#include "fuzz.h"

/* What came out of one stream. */
typedef struct outcome {
  as_replies replies; /* all replies, one after the other */
  size_t count;       /* whole replies */
  as_status status;
} outcome;

static void check_tree(const as_replies *replies, size_t first) {
  EXPECT(as_replies_skip(replies, first) == as_replies_count(replies));
  for (size_t i = first; i < as_replies_count(replies); i++) {
    const as_reply *reply = as_replies_at(replies, i);
    if (reply->type == AS_REPLY_ARRAY) EXPECT(reply->integer >= 0);
    EXPECT(reply->offset + reply->length <= replies->bytes.length);
    EXPECT(as_replies_text(replies, reply).length == reply->length);
  }
}

/* Reads all whole replies that are there. */
static void read_on(as_resp_reader *reader, outcome *outcome, size_t *first) {
  bool is_complete = true;
  while (outcome->status == AS_OK && is_complete) {
    outcome->status = as_resp_reader_next(reader, &outcome->replies, &is_complete);
    if (outcome->status != AS_OK) {
      EXPECT(as_resp_reader_error(reader)[0] != '\0');
      continue;
    }
    if (!is_complete) continue;
    EXPECT(as_replies_count(&outcome->replies) > *first);
    check_tree(&outcome->replies, *first);
    *first = as_replies_count(&outcome->replies);
    outcome->count++;
  }
}

static void read_stream(as_slice bytes, uint32_t cuts, as_mem *mem, outcome *outcome) {
  as_resp_reader reader;
  size_t first = 0;
  as_replies_init(&outcome->replies, mem);
  outcome->count = 0;
  outcome->status = as_resp_reader_init(&reader, mem);
  EXPECT(outcome->status == AS_OK);
  while (bytes.length > 0 && outcome->status == AS_OK) {
    size_t most = bytes.length < 40 ? bytes.length : 40;
    size_t length = cuts > 0 ? 1 + fuzz_random(&cuts, (uint32_t)most) : bytes.length;
    if (length > bytes.length) length = bytes.length;
    uint8_t *part = fuzz_copy(as_slice_of(bytes.data, length));
    EXPECT(as_resp_reader_feed(&reader, as_slice_of(part, length)) == AS_OK);
    free(part);
    bytes = as_slice_of(bytes.data + length, bytes.length - length);
    read_on(&reader, outcome, &first);
    if (outcome->status == AS_OK && !as_resp_reader_is_amid(&reader))
      EXPECT(as_replies_count(&outcome->replies) == first);
  }
  as_replies_truncate(&outcome->replies, first);
  as_resp_reader_free(&reader);
}

static void check_same(const outcome *a, const outcome *b) {
  EXPECT(a->count == b->count && a->status == b->status);
  EXPECT(as_replies_count(&a->replies) == as_replies_count(&b->replies));
  for (size_t i = 0; i < as_replies_count(&a->replies); i++) {
    const as_reply *left = as_replies_at(&a->replies, i);
    const as_reply *right = as_replies_at(&b->replies, i);
    EXPECT(left->type == right->type && left->integer == right->integer);
    EXPECT(as_slice_equals(as_replies_text(&a->replies, left),
                           as_replies_text(&b->replies, right)));
  }
}

static void write_reply(as_buffer *out, const as_replies *replies,
                        const as_reply *reply) {
  static const char MARKS[] = {
      [AS_REPLY_STRING] = '$',  [AS_REPLY_STATUS] = '+', [AS_REPLY_ERROR] = '-',
      [AS_REPLY_INTEGER] = ':', [AS_REPLY_NIL] = '$',    [AS_REPLY_ARRAY] = '*'};
  char head[32];
  as_slice text = as_replies_text(replies, reply);
  long long number = reply->type == AS_REPLY_STRING ? (long long)reply->length
                     : reply->type == AS_REPLY_NIL  ? -1
                                                    : (long long)reply->integer;
  bool is_line = reply->type == AS_REPLY_STATUS || reply->type == AS_REPLY_ERROR;
  int length =
      is_line ? snprintf(head, sizeof head, "%c", MARKS[reply->type])
              : snprintf(head, sizeof head, "%c%lld\r\n", MARKS[reply->type], number);
  EXPECT(as_buffer_append(out, head, (size_t)length) == AS_OK);
  if (!is_line && reply->type != AS_REPLY_STRING) return;
  EXPECT(as_buffer_append_slice(out, text) == AS_OK);
  EXPECT(as_buffer_append(out, "\r\n", 2) == AS_OK);
}

static void check_rewritten(const outcome *expected, as_mem *mem) {
  as_buffer stream;
  outcome again;
  as_buffer_init(&stream, mem);
  for (size_t i = 0; i < as_replies_count(&expected->replies); i++)
    write_reply(&stream, &expected->replies, as_replies_at(&expected->replies, i));
  read_stream(as_buffer_slice(&stream), 0, mem, &again);
  EXPECT(again.status == AS_OK);
  again.status = expected->status; /* which may be of what followed the last reply */
  check_same(expected, &again);
  as_replies_free(&again.replies);
  as_buffer_free(&stream);
}

void fuzz_reply(as_slice input) {
  as_mem mem;
  outcome whole, cut;
  as_mem_init(&mem);
  uint32_t cuts = fuzz_take_byte(&input) + 1u;
  read_stream(input, 0, &mem, &whole);
  read_stream(input, cuts, &mem, &cut);
  check_same(&whole, &cut);
  check_rewritten(&whole, &mem);
  as_replies_free(&whole.replies);
  as_replies_free(&cut.replies);
  EXPECT(mem.used_bytes == 0);
}
