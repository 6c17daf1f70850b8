/* SPDX-License-Identifier: MIT */
/* Arguments are encoded as they come, into the collection of their hash, so that sealing
 * is copying: the head of each command, the key, and all its arguments in one piece. */
#include "engine/batch.h"

#include <assert.h>
#include <math.h>

void as_batch_init(as_batch *batch, as_mem *mem, const as_batch_config *config,
                   as_connection *connection, as_lanes *lanes) {
  memset(batch, 0, sizeof *batch);
  batch->config = config;
  batch->connection = connection;
  batch->operations = connection->operations;
  batch->lanes = lanes;
  as_list_init(&batch->collected);
  as_buffer_init(&batch->numbers, mem);
}

static as_request *first_collected(const as_batch *batch) {
  as_list_node *node = as_list_first(&batch->collected);
  return node ? AS_LIST_OWNER(node, as_request, node) : NULL;
}

static as_collection *first_collection(const as_request *request) {
  as_list_node *node = as_list_first(&request->collections);
  return node ? AS_LIST_OWNER(node, as_collection, node) : NULL;
}

static as_collection *collection_after(const as_request *request,
                                       const as_collection *collection) {
  as_list_node *node = as_list_after(&request->collections, &collection->node);
  return node ? AS_LIST_OWNER(node, as_collection, node) : NULL;
}

static void forget_collections(as_batch *batch, as_request *request) {
  as_collection *each;
  while ((each = first_collection(request)) != NULL) {
    batch->bytes -= each->fields.length + each->deletions.length;
    as_lanes_forget(batch->lanes, each);
  }
}

/* A request that will not be sent leaves the collection. */
static void drop(as_batch *batch, as_request *request) {
  as_lane *lane = request->lane;
  forget_collections(batch, request);
  batch->joined -= request->joined;
  lane->open = NULL;
  as_operations_unqueue(batch->operations, request);
  as_lanes_settle(batch->lanes, lane);
}

void as_batch_free(as_batch *batch) {
  as_request *request;
  if (batch->connection == NULL) return;
  while ((request = first_collected(batch)) != NULL) drop(batch, request);
  as_buffer_free(&batch->numbers);
}

/* ---- sealing ---------------------------------------------------------------------- */

/* A command of a key and `count` arguments that are encoded already. */
static as_status write_command(as_buffer *out, const char *name, const as_buffer *key,
                               uint32_t count, const as_buffer *arguments) {
  AS_TRY(as_resp_write_command(out, 2 + (size_t)count));
  AS_TRY(as_resp_write_argument(out, as_slice_text(name)));
  AS_TRY(as_resp_write_argument(out, as_buffer_slice(key)));
  return as_buffer_append_slice(out, as_buffer_slice(arguments));
}

static as_status write_reads(as_request *request, as_buffer *out) {
  for (as_collection *each = first_collection(request); each != NULL;
       each = collection_after(request, each)) {
    AS_TRY(
        write_command(out, "HMGET", &each->hash->key, each->field_count, &each->fields));
    request->commands++;
  }
  if (request->asks_generation) {
    request->commands++;
    AS_TRY(as_resp_write_command(out, 3));
    AS_TRY(as_resp_write_argument(out, as_slice_text("HGET")));
    AS_TRY(as_resp_write_argument(out, as_buffer_slice(&request->lane->meta_key)));
    AS_TRY(as_resp_write_argument(out, as_slice_text("gen")));
  }
  /* For dealing out the replies, which must not fail. */
  return as_buffer_reserve(&request->touched, request->commands * sizeof(uint32_t));
}

/* HSET and HDEL of each hash. Leaves in `numbers` the number of each command, by twice
 * the number of the collection and one more for HDEL. */
static as_status write_changes(as_request *request, as_buffer *out, as_buffer *numbers) {
  as_buffer_clear(numbers);
  for (as_collection *each = first_collection(request); each != NULL;
       each = collection_after(request, each)) {
    const as_buffer *key = &each->hash->key;
    AS_TRY(as_buffer_append(numbers, &request->commands, sizeof request->commands));
    if (each->field_count > 0) {
      AS_TRY(write_command(out, "HSET", key, 2 * each->field_count, &each->fields));
      request->commands++;
    }
    AS_TRY(as_buffer_append(numbers, &request->commands, sizeof request->commands));
    if (each->deletion_count > 0) {
      AS_TRY(write_command(out, "HDEL", key, each->deletion_count, &each->deletions));
      request->commands++;
    }
  }
  return AS_OK;
}

/* One version for each of the writes, and EXISTS of every key that was written, `meta`
 * included (PROTOCOL 4.2). */
static as_status write_ending(as_request *request, as_buffer *out) {
  char number[16];
  size_t at = sizeof number;
  for (uint32_t left = request->joined; left > 0; left /= 10)
    number[--at] = (char)('0' + left % 10);
  AS_TRY(as_resp_write_command(out, 4));
  AS_TRY(as_resp_write_argument(out, as_slice_text("HINCRBY")));
  AS_TRY(as_resp_write_argument(out, as_buffer_slice(&request->lane->meta_key)));
  AS_TRY(as_resp_write_argument(out, as_slice_text("ver")));
  AS_TRY(as_resp_write_argument(out, as_slice_of(number + at, sizeof number - at)));
  size_t keys = 0;
  for (as_collection *each = first_collection(request); each != NULL;
       each = collection_after(request, each))
    keys++;
  AS_TRY(as_resp_write_command(out, 2 + keys));
  AS_TRY(as_resp_write_argument(out, as_slice_text("EXISTS")));
  for (as_collection *each = first_collection(request); each != NULL;
       each = collection_after(request, each))
    AS_TRY(as_resp_write_argument(out, as_buffer_slice(&each->hash->key)));
  AS_TRY(as_resp_write_argument(out, as_buffer_slice(&request->lane->meta_key)));
  request->commands += 2;
  return AS_OK;
}

static as_status write_transaction(as_batch *batch, as_request *request, as_buffer *out) {
  AS_TRY(as_resp_write_words(out, "MULTI", NULL));
  AS_TRY(write_changes(request, out, &batch->numbers));
  AS_TRY(write_ending(request, out));
  AS_TRY(as_resp_write_words(out, "EXEC", NULL));
  uint32_t *touched = (uint32_t *)(void *)request->touched.data;
  const uint32_t *numbers = (const uint32_t *)(const void *)batch->numbers.data;
  for (size_t i = 0; i < request->touched.length / sizeof *touched; i++)
    touched[i] = numbers[touched[i]];
  return AS_OK;
}

static void seal(as_batch *batch, as_request *request, double now_ms) {
  as_connection *connection = batch->connection;
  if (request->wanted == 0) {
    drop(batch, request);
    return;
  }
  as_connection_begin(connection, request);
  as_status status = request->kind == AS_REQUEST_READ
                         ? write_reads(request, &connection->output)
                         : write_transaction(batch, request, &connection->output);
  if (status != AS_OK) {
    as_connection_rollback(connection, request);
    as_operations_complete_all(batch->operations, request, status,
                               as_slice_text(as_status_sentence(status)), now_ms);
    drop(batch, request);
    return;
  }
  forget_collections(batch, request);
  batch->joined -= request->joined;
  request->lane->open = NULL;
  as_list_remove(&request->node);
  as_connection_submit(connection, request, now_ms);
}

void as_batch_seal_lane(as_batch *batch, as_lane *lane, double now_ms) {
  if (lane->open != NULL) seal(batch, lane->open, now_ms);
}

void as_batch_flush(as_batch *batch, as_flush_reason reason, double now_ms) {
  as_request *request;
  /* Also without an operation: what is left of one that failed is dropped. */
  while ((request = first_collected(batch)) != NULL) seal(batch, request, now_ms);
  if (batch->count == 0) return;
  batch->totals.batches++;
  batch->totals.operations += batch->count;
  batch->totals.flushed[reason]++;
  batch->count = 0;
}

void as_batch_count(as_batch *batch, double now_ms) {
  if (batch->count++ == 0) batch->oldest_ms = now_ms;
  if (batch->count >= batch->config->size)
    as_batch_flush(batch, AS_FLUSH_SIZE, now_ms);
  else if (now_ms >= as_batch_deadline_ms(batch))
    as_batch_flush(batch, AS_FLUSH_AGE, now_ms);
}

void as_batch_trim(as_batch *batch) {
  as_buffer_free(&batch->numbers);
}

double as_batch_deadline_ms(const as_batch *batch) {
  return batch->count == 0 ? INFINITY : batch->oldest_ms + batch->config->window_ms;
}

/* ---- collecting ------------------------------------------------------------------- */

/* Whether what a lane collects must not be joined: it is of another kind, or nobody waits
 * for it any more, who were told that it is not sent. */
static bool is_closed_to(const as_request *open, as_request_kind kind) {
  return open->kind != kind || open->wanted == 0;
}

/* The request of a kind that a lane collects; what cannot be joined is sealed first. */
static as_status collect(as_batch *batch, as_lane *lane, as_request_kind kind,
                         double now_ms, as_request **out_request) {
  if (lane->open != NULL && is_closed_to(lane->open, kind))
    seal(batch, lane->open, now_ms);
  if (lane->open == NULL) {
    as_request *request;
    AS_TRY(as_requests_take(&batch->operations->requests, &request));
    request->kind = kind;
    request->lane = lane;
    request->connection = batch->connection->number;
    request->is_queued = true;
    request->is_atomic = kind == AS_REQUEST_WRITE;
    request->is_write = kind == AS_REQUEST_WRITE;
    lane->open = request;
    as_lane_owe(lane);
    as_list_push_back(&batch->collected, &request->node);
  }
  *out_request = lane->open;
  return AS_OK;
}

static as_status collection_of(as_batch *batch, as_hash *hash, as_request *request,
                               as_collection **out_collection) {
  bool is_new = hash->open == NULL;
  AS_TRY(as_lanes_collect(batch->lanes, hash, request, out_collection));
  if (!is_new) return AS_OK;
  const as_collection *before =
      (*out_collection)->node.previous == &request->collections
          ? NULL
          : AS_LIST_OWNER((*out_collection)->node.previous, as_collection, node);
  (*out_collection)->number = before ? before->number + 1 : 0;
  (*out_collection)->draft = 0;
  return AS_OK;
}

static as_slice field_of(const void *owner, uint32_t element) {
  const as_collection *collection = owner;
  const as_field_place *place =
      (const as_field_place *)(const void *)collection->places.data + element;
  return as_slice_of(collection->fields.data + place->offset, place->length);
}

/* Whether `fields` are asked for already, in this order, beginning with *out_element.
 * `code` is that of the first one. */
static bool find_run(const as_collection *collection, const as_slice *fields,
                     size_t count, uint32_t code, uint32_t *out_element) {
  uint32_t first =
      as_map_find(&collection->elements, fields[0], code, field_of, collection);
  if (first == AS_MAP_NONE || collection->field_count - first < count) return false;
  for (size_t i = 1; i < count; i++)
    if (!as_slice_equals(field_of(collection, first + (uint32_t)i), fields[i]))
      return false;
  *out_element = first;
  return true;
}

static as_status append_field(as_batch *batch, as_collection *collection, as_slice field,
                              uint32_t code) {
  size_t before = collection->fields.length;
  as_field_place place = {.length = (uint32_t)field.length};
  as_status status = as_resp_write_argument(&collection->fields, field);
  if (status == AS_OK) {
    place.offset = (uint32_t)(collection->fields.length - 2 - field.length);
    status = as_buffer_append(&collection->places, &place, sizeof place);
  }
  if (status != AS_OK) {
    collection->fields.length = before;
    return status;
  }
  batch->bytes += collection->fields.length - before;
  uint32_t element = collection->field_count++;
  return as_map_put(&collection->elements, code, element);
}

/* Asks for fields, those that are not asked for already; from *out_element on. */
static as_status ask_for(as_batch *batch, as_collection *collection,
                         const as_slice *fields, size_t count, uint32_t *out_element) {
  uint32_t code = as_map_code(fields[0]);
  if (find_run(collection, fields, count, code, out_element)) return AS_OK;
  *out_element = collection->field_count;
  AS_TRY(append_field(batch, collection, fields[0], code));
  for (size_t i = 1; i < count; i++)
    AS_TRY(append_field(batch, collection, fields[i], as_map_code(fields[i])));
  return AS_OK;
}

as_status as_batch_read(as_batch *batch, as_hash *hash, const as_slice *fields,
                        size_t count, double generation, double now_ms,
                        as_operation **out_operation) {
  as_request *request;
  as_collection *collection;
  as_operation *operation;
  AS_TRY(collect(batch, hash->lane, AS_REQUEST_READ, now_ms, &request));
  AS_TRY(collection_of(batch, hash, request, &collection));
  uint32_t element = 0;
  AS_TRY(ask_for(batch, collection, fields, count, &element));
  AS_TRY(as_operations_take(batch->operations, request, &operation));
  operation->command = collection->number;
  operation->first = element;
  operation->count = (uint32_t)count;
  operation->number = generation;
  batch->joined++;
  if (generation >= 0) request->asks_generation = true;
  *out_operation = operation;
  return AS_OK;
}

/* ---- plain writes ----------------------------------------------------------------- */

/* HDEL follows HSET in a request, so a write that comes after a deletion would be undone
 * by it: a request that deletes is not joined any more. */
static bool has_deletions(const as_request *request) {
  for (const as_collection *each = first_collection(request); each != NULL;
       each = collection_after(request, each))
    if (each->deletion_count > 0) return true;
  return false;
}

as_status as_batch_begin_write(as_batch *batch, as_lane *lane, double now_ms) {
  assert(batch->draft == NULL);
  if (lane->open != NULL && has_deletions(lane->open)) seal(batch, lane->open, now_ms);
  AS_TRY(collect(batch, lane, AS_REQUEST_WRITE, now_ms, &batch->draft));
  batch->draft_number++;
  if (batch->draft_number == 0) batch->draft_number = 1;
  batch->draft_bytes = batch->bytes;
  batch->draft_touched = batch->draft->touched.length;
  return AS_OK;
}

/* The collection of a hash, noted as it was before the draft. */
static as_status draft_collection(as_batch *batch, as_hash *hash,
                                  as_collection **out_collection) {
  AS_TRY(collection_of(batch, hash, batch->draft, out_collection));
  as_collection *collection = *out_collection;
  if (collection->draft == batch->draft_number) return AS_OK;
  collection->draft = batch->draft_number;
  collection->draft_fields = collection->fields.length;
  collection->draft_deletions = collection->deletions.length;
  collection->draft_field_count = collection->field_count;
  collection->draft_deletion_count = collection->deletion_count;
  return AS_OK;
}

static as_status touch(as_batch *batch, uint32_t number, bool is_first) {
  if (!is_first) return AS_OK;
  return as_buffer_append(&batch->draft->touched, &number, sizeof number);
}

as_status as_batch_set(as_batch *batch, as_hash *hash, as_slice field, as_slice value) {
  as_collection *collection;
  AS_TRY(draft_collection(batch, hash, &collection));
  size_t before = collection->fields.length;
  AS_TRY(as_resp_write_argument(&collection->fields, field));
  AS_TRY(as_resp_write_argument(&collection->fields, value));
  AS_TRY(touch(batch, 2 * collection->number,
               collection->field_count == collection->draft_field_count));
  collection->field_count++;
  batch->bytes += collection->fields.length - before;
  return AS_OK;
}

as_status as_batch_remove(as_batch *batch, as_hash *hash, as_slice field) {
  as_collection *collection;
  AS_TRY(draft_collection(batch, hash, &collection));
  size_t before = collection->deletions.length;
  AS_TRY(as_resp_write_argument(&collection->deletions, field));
  AS_TRY(touch(batch, 2 * collection->number + 1,
               collection->deletion_count == collection->draft_deletion_count));
  collection->deletion_count++;
  batch->bytes += collection->deletions.length - before;
  return AS_OK;
}

as_status as_batch_end_write(as_batch *batch, as_operation **out_operation) {
  as_request *draft = batch->draft;
  as_operation *operation;
  AS_TRY(as_operations_take(batch->operations, draft, &operation));
  operation->first = (uint32_t)(batch->draft_touched / sizeof(uint32_t));
  operation->count =
      (uint32_t)(draft->touched.length / sizeof(uint32_t)) - operation->first;
  batch->joined++;
  batch->draft = NULL;
  *out_operation = operation;
  return AS_OK;
}

void as_batch_withdraw(as_batch *batch, as_operation *operation) {
  as_request *request = operation->request;
  request->wanted--;
  request->joined--;
  batch->joined--;
  if (request->kind == AS_REQUEST_WRITE) batch->draft = request;
  as_operations_give(batch->operations, operation);
}

void as_batch_rollback_write(as_batch *batch) {
  as_request *draft = batch->draft;
  for (as_collection *each = first_collection(draft); each != NULL;
       each = collection_after(draft, each)) {
    if (each->draft != batch->draft_number) continue;
    each->fields.length = each->draft_fields;
    each->deletions.length = each->draft_deletions;
    each->field_count = each->draft_field_count;
    each->deletion_count = each->draft_deletion_count;
  }
  draft->touched.length = batch->draft_touched;
  batch->bytes = batch->draft_bytes;
  batch->draft = NULL;
}

bool as_batch_validate(const as_batch *batch) {
  size_t bytes = 0;
  uint32_t joined = 0;
  for (as_list_node *node = as_list_first(&batch->collected); node != NULL;
       node = as_list_after(&batch->collected, node)) {
    const as_request *request = AS_LIST_OWNER(node, as_request, node);
    if (!request->is_queued || request->is_sealed || request->lane->open != request)
      return false;
    joined += request->joined;
    for (const as_collection *each = first_collection(request); each != NULL;
         each = collection_after(request, each)) {
      if (each->hash->open != each || each->hash->lane != request->lane) return false;
      bytes += each->fields.length + each->deletions.length;
    }
  }
  return bytes == batch->bytes && joined == batch->joined;
}
