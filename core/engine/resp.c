/* SPDX-License-Identifier: MIT */
/* hiredis calls the object functions depth first, which is the order of as_replies. It
 * wants a non-NULL object for each; ours carry nothing, so any non-NULL address will do.
 * The text that createString gets lies in hiredis' own buffer and is copied. hiredis 0.14
 * and 1.x differ in the type of an array's count and in what functions they know: 1.x
 * reads RESP3 too, and a type without a function would leave no node and so a hole in
 * the walk. It also nests without a limit, where 0.14 refuses. */
#include "engine/resp.h"

#include <hiredis/hiredis.h>
#include <stdarg.h>

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

#if HIREDIS_MAJOR >= 1
#define ROOT_TASK(reader) ((reader)->task[0])
#else
#define ROOT_TASK(reader) (&(reader)->rstack[0])
#endif

enum { MAX_DEPTH = 8 };

static const char placeholder;

/* What hiredis gets for every object: it only asks whether it is NULL. */
static void *an_object(void) {
  return (void *)(uintptr_t)&placeholder;
}

static as_resp_reader *reader_of(const redisReadTask *task) {
  return task->privdata;
}

static void *push(const redisReadTask *task, as_reply_type type, int64_t integer,
                  as_slice text) {
  as_resp_reader *reader = reader_of(task);
  if (reader->target == NULL) return an_object();
  if (as_replies_push(reader->target, type, integer, text) != AS_OK) return NULL;
  return an_object();
}

/* Redis repeats the arguments of a command that it does not know (AUTH or HSET may be
 * renamed): passwords and keys do not belong in messages. */
static as_slice without_arguments(as_slice words) {
  static const char HEAD[] = ", with args beginning with";
  const uint8_t *at = memmem(words.data, words.length, HEAD, sizeof HEAD - 1);
  return at == NULL ? words : as_slice_of(words.data, (size_t)(at - words.data));
}

static void *create_string(const redisReadTask *task, char *text, size_t length) {
  as_reply_type type = AS_REPLY_STRING;
  if (task->type == REDIS_REPLY_STATUS) type = AS_REPLY_STATUS;
  if (task->type == REDIS_REPLY_ERROR) type = AS_REPLY_ERROR;
  as_slice words = as_slice_of(text, length);
  return push(task, type, 0, type == AS_REPLY_ERROR ? without_arguments(words) : words);
}

/* How many arrays the element of a task stands in. */
static size_t depth_of(const redisReadTask *task) {
  size_t depth = 0;
  for (const redisReadTask *each = task->parent; each != NULL; each = each->parent)
    depth++;
  return depth;
}

static void *create_array(const redisReadTask *task, element_count count) {
  if (depth_of(task) >= MAX_DEPTH) return NULL;
  return push(task, AS_REPLY_ARRAY, (int64_t)count, as_slice_of(NULL, 0));
}

static void *create_integer(const redisReadTask *task, long long value) {
  return push(task, AS_REPLY_INTEGER, value, as_slice_of(NULL, 0));
}

static void *create_nil(const redisReadTask *task) {
  return push(task, AS_REPLY_NIL, 0, as_slice_of(NULL, 0));
}

static void free_object(void *object) {
  (void)object;
}

#if HIREDIS_MAJOR >= 1
static void *create_double(const redisReadTask *task, double value, char *text,
                           size_t length) {
  (void)value;
  return push(task, AS_REPLY_STRING, 0, as_slice_of(text, length));
}

static void *create_bool(const redisReadTask *task, int value) {
  return push(task, AS_REPLY_INTEGER, value, as_slice_of(NULL, 0));
}
#endif

static const redisReplyObjectFunctions object_functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
    .freeObject = free_object,
#if HIREDIS_MAJOR >= 1
    .createDouble = create_double,
    .createBool = create_bool,
#endif
};

as_status as_resp_reader_init(as_resp_reader *reader, as_mem *mem) {
  reader->target = NULL;
  reader->mem = mem;
  reader->reader = redisReaderCreateWithFunctions(
      (redisReplyObjectFunctions *)(uintptr_t)&object_functions);
  if (reader->reader == NULL) return AS_ERR_OOM;
  reader->reader->privdata = reader;
  return AS_OK;
}

void as_resp_reader_free(as_resp_reader *reader) {
  if (reader->reader != NULL) redisReaderFree(reader->reader);
  reader->reader = NULL;
}

as_status as_resp_reader_reset(as_resp_reader *reader) {
  as_resp_reader fresh;
  AS_TRY(as_resp_reader_init(&fresh, reader->mem));
  as_resp_reader_free(reader);
  *reader = fresh;
  reader->reader->privdata = reader;
  return AS_OK;
}

as_status as_resp_reader_feed(as_resp_reader *reader, as_slice bytes) {
  int result = redisReaderFeed(reader->reader, (const char *)bytes.data, bytes.length);
  return result == REDIS_OK ? AS_OK : AS_ERR_OOM;
}

as_status as_resp_reader_next(as_resp_reader *reader, as_replies *target,
                              bool *out_complete) {
  void *object = NULL;
  reader->target = target;
  *out_complete = false;
  if (redisReaderGetReply(reader->reader, &object) != REDIS_OK)
    return reader->reader->err == REDIS_ERR_OOM ? AS_ERR_OOM : AS_ERR_SERVER;
  *out_complete = object != NULL;
  return AS_OK;
}

bool as_resp_reader_is_amid(const as_resp_reader *reader) {
  const redisReader *inner = reader->reader;
  /* ridx counts the arrays that are open; of a scalar nothing is consumed before it is
   * whole but its first byte, which sets the type. */
  if (inner->pos < inner->len || inner->ridx > 0) return true;
  return inner->ridx == 0 && ROOT_TASK(inner)->type >= 0;
}

const char *as_resp_reader_error(const as_resp_reader *reader) {
  return reader->reader->errstr;
}

/* Appends `kind`, a decimal number and CRLF: "*3\r\n", "$12\r\n". */
static as_status write_head(as_buffer *out, char kind, size_t number) {
  char text[24];
  size_t at = sizeof text;
  text[--at] = '\n';
  text[--at] = '\r';
  do {
    text[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  text[--at] = kind;
  return as_buffer_append(out, text + at, sizeof text - at);
}

as_status as_resp_write_command(as_buffer *out, size_t arguments) {
  return write_head(out, '*', arguments);
}

as_status as_resp_write_argument(as_buffer *out, as_slice argument) {
  AS_TRY(write_head(out, '$', argument.length));
  AS_TRY(as_buffer_append_slice(out, argument));
  return as_buffer_append(out, "\r\n", 2);
}

/* The number of a head; moves *at behind it. */
static size_t read_head(const uint8_t **at) {
  size_t number = 0;
  for ((*at)++; **at != '\r'; (*at)++) number = number * 10 + (size_t)(**at - '0');
  *at += 2;
  return number;
}

size_t as_resp_command_length(const uint8_t *request) {
  const uint8_t *at = request;
  for (size_t arguments = read_head(&at); arguments > 0; arguments--) {
    size_t length = read_head(&at);
    at += length + 2;
  }
  return (size_t)(at - request);
}

as_status as_resp_write_words(as_buffer *out, const char *word, ...) {
  va_list words;
  size_t count = 0;
  va_start(words, word);
  for (const char *each = word; each != NULL; each = va_arg(words, const char *)) count++;
  va_end(words);
  AS_TRY(as_resp_write_command(out, count));
  as_status status = AS_OK;
  va_start(words, word);
  for (const char *each = word; each != NULL && status == AS_OK;
       each = va_arg(words, const char *))
    status = as_resp_write_argument(out, as_slice_text(each));
  va_end(words);
  return status;
}
