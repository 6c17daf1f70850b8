/* SPDX-License-Identifier: MIT */
#include "engine/answer.h"

#include "engine/server_error.h"

static const char *const NOT_HASHES = "the reply has not the shape of fields of hashes";

typedef struct verdict {
  as_status status;
  as_slice message;
} verdict;

static verdict fine(void) {
  verdict result = {AS_OK, {(const uint8_t *)"", 0}};
  return result;
}

static verdict fault(const char *message) {
  verdict result = {AS_ERR_SERVER, as_slice_text(message)};
  return result;
}

/* What an error reply means; fine for any other. */
static verdict judge(const as_request *request, const as_reply *reply) {
  verdict result = fine();
  if (reply->type != AS_REPLY_ERROR) return result;
  result.message = as_replies_text(&request->replies, reply);
  result.status = as_server_error_status(result.message);
  return result;
}

const as_reply *as_answer_error(const as_request *request) {
  for (size_t i = 0; i < as_replies_count(&request->replies); i++) {
    const as_reply *reply = as_replies_at(&request->replies, i);
    if (reply->type == AS_REPLY_ERROR) return reply;
  }
  return NULL;
}

/* Of a transaction whose commands were all queued: whether it was carried out. */
static verdict judge_transaction(const as_request *request) {
  const as_reply *exec = as_replies_at(&request->replies, 0);
  if (exec->type == AS_REPLY_ERROR) return judge(request, exec);
  if (exec->type == AS_REPLY_ARRAY && exec->integer == (int64_t)request->commands)
    return fine();
  return fault("the transaction was discarded");
}

/* ---- commands of one caller ------------------------------------------------------- */

static void deal_commands(as_operations *operations, as_request *request, double now_ms) {
  const as_reply *error = as_answer_error(request);
  verdict result = error ? judge(request, error) : fine();
  if (error == NULL && request->is_atomic) result = judge_transaction(request);
  as_operation *operation = as_operation_of(as_list_first(&request->operations));
  operation->first_reply = request->is_atomic ? 1 : 0; /* after the array of EXEC */
  as_operations_complete(operations, operation, result.status, result.message, now_ms);
}

/* ---- joined reads ----------------------------------------------------------------- */

/* The generation in the reply at `index`: 0 when nothing is stored, below 0 when it is no
 * number. */
static double generation_of(const as_request *request, size_t index) {
  const as_reply *reply = as_replies_at(&request->replies, index);
  if (reply->type == AS_REPLY_NIL) return 0;
  if (reply->type != AS_REPLY_STRING || reply->length > 16) return -1;
  as_slice text = as_replies_text(&request->replies, reply);
  double number = 0;
  for (size_t i = 0; i < text.length; i++) {
    if (text.data[i] < '0' || text.data[i] > '9') return -1;
    number = number * 10 + (text.data[i] - '0');
  }
  return number;
}

/* The verdict on an operation whose fields are in the array at `index`; the generation
 * is at `guard`. */
static verdict judge_read(const as_request *request, const as_operation *operation,
                          size_t index, size_t guard) {
  const as_reply *reply = as_replies_at(&request->replies, index);
  if (reply->type == AS_REPLY_ERROR) return judge(request, reply);
  if (reply->type != AS_REPLY_ARRAY ||
      reply->integer < (int64_t)operation->first + operation->count)
    return fault(NOT_HASHES);
  if (operation->number < 0) return fine();
  verdict result = judge(request, as_replies_at(&request->replies, guard));
  if (result.status != AS_OK) return result;
  if (generation_of(request, guard) != operation->number) {
    result.status = AS_ERR_FENCED;
    result.message =
        as_slice_text("another generation of the session is stored; load it again");
  }
  return result;
}

/* Where the reply of each command begins; `touched` was made large enough when the
 * request was sealed. */
static const uint32_t *find_replies(as_request *request) {
  uint32_t *begins = (uint32_t *)(void *)request->touched.data;
  size_t index = 0;
  for (uint32_t command = 0; command < request->commands; command++) {
    begins[command] = (uint32_t)index;
    index = as_replies_skip(&request->replies, index);
  }
  return begins;
}

static void deal_reads(as_operations *operations, as_request *request, double now_ms) {
  const uint32_t *begins = find_replies(request);
  size_t guard = begins[request->commands - 1];
  for (as_list_node *node = as_list_first(&request->operations); node != NULL;
       node = as_list_after(&request->operations, node)) {
    as_operation *operation = as_operation_of(node);
    size_t index = begins[operation->command];
    verdict result = judge_read(request, operation, index, guard);
    operation->first_reply = index + 1 + operation->first;
    as_operations_complete(operations, operation, result.status, result.message, now_ms);
  }
}

/* ---- joined plain writes ---------------------------------------------------------- */

/* Every reply of a transaction of plain writes is one node; else they would be taken for
 * those of other commands. */
static bool has_flat_replies(const as_request *request) {
  return as_replies_count(&request->replies) == 1 + (size_t)request->commands;
}

/* Reply `command` of EXEC. */
static const as_reply *reply_in_exec(const as_request *request, uint32_t command) {
  return as_replies_at(&request->replies, 1 + (size_t)command);
}

static verdict judge_write(const as_request *request, const as_operation *operation) {
  const uint32_t *touched = (const uint32_t *)(const void *)request->touched.data;
  for (uint32_t i = 0; i < operation->count; i++) {
    const as_reply *reply = reply_in_exec(request, touched[operation->first + i]);
    verdict result = judge(request, reply);
    if (result.status == AS_OK && reply->type != AS_REPLY_INTEGER)
      result = fault(NOT_HASHES);
    if (result.status != AS_OK) return result;
  }
  const as_reply *version = reply_in_exec(request, request->commands - 2);
  verdict result = judge(request, version);
  if (result.status == AS_OK && version->type != AS_REPLY_INTEGER)
    return fault(NOT_HASHES);
  return result;
}

static void deal_writes(as_operations *operations, as_request *request, double now_ms) {
  /* The first reply that is kept is that of EXEC, unless queueing failed. */
  verdict whole = judge_transaction(request);
  if (whole.status == AS_OK && !has_flat_replies(request)) whole = fault(NOT_HASHES);
  for (as_list_node *node = as_list_first(&request->operations); node != NULL;
       node = as_list_after(&request->operations, node)) {
    as_operation *operation = as_operation_of(node);
    verdict result = whole.status == AS_OK ? judge_write(request, operation) : whole;
    if (result.status == AS_OK) {
      double newest = (double)reply_in_exec(request, request->commands - 2)->integer;
      operation->number = newest - (request->joined - 1 - operation->turn);
    }
    as_operations_complete(operations, operation, result.status, result.message, now_ms);
  }
}

void as_answer_deal(as_operations *operations, as_request *request, double now_ms) {
  switch (request->kind) {
    case AS_REQUEST_COMMANDS:
      deal_commands(operations, request, now_ms);
      return;
    case AS_REQUEST_READ:
      deal_reads(operations, request, now_ms);
      return;
    case AS_REQUEST_WRITE:
      deal_writes(operations, request, now_ms);
      return;
  }
}
