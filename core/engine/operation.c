/* SPDX-License-Identifier: MIT */
#include "engine/operation.h"

void as_operations_init(as_operations *operations, as_mem *mem) {
  operations->mem = mem;
  as_buffer_init(&operations->table, mem);
  as_list_init(&operations->free);
  as_list_init(&operations->done);
  as_deadlines_init(&operations->deadlines, mem);
  as_requests_init(&operations->requests, mem);
  operations->in_use = 0;
}

size_t as_operations_slots(const as_operations *operations) {
  return operations->table.length / sizeof(as_operation *);
}

static as_operation *slot_at(const as_operations *operations, size_t slot) {
  return ((as_operation **)(void *)operations->table.data)[slot];
}

/* Each request that is not free serves an operation at least, or stands in a queue, whose
 * owner has given it back by now. */
void as_operations_free(as_operations *operations) {
  for (size_t slot = 0; slot < as_operations_slots(operations); slot++) {
    as_operation *operation = slot_at(operations, slot);
    as_request *request = operation->request;
    as_list_remove(&operation->request_node);
    if (request != NULL && as_list_is_empty(&request->operations))
      as_request_del(operations->mem, request);
    as_buffer_free(&operation->message);
    as_mem_free(operations->mem, operation, sizeof *operation);
  }
  as_buffer_free(&operations->table);
  as_deadlines_free(&operations->deadlines);
  as_requests_free(&operations->requests);
}

void as_operations_trim(as_operations *operations) {
  if (operations->in_use > 0) return;
  for (size_t slot = 0; slot < as_operations_slots(operations); slot++) {
    as_operation *operation = slot_at(operations, slot);
    as_buffer_free(&operation->message);
    as_mem_free(operations->mem, operation, sizeof *operation);
  }
  as_buffer_free(&operations->table);
  as_list_init(&operations->free);
  as_deadlines_free(&operations->deadlines);
  as_requests_free(&operations->requests);
}

static as_status add_slot(as_operations *operations) {
  as_operation *operation = as_mem_alloc_zero(operations->mem, sizeof *operation);
  if (operation == NULL) return AS_ERR_OOM;
  as_status status = as_buffer_append(&operations->table, &operation, sizeof operation);
  if (status != AS_OK) {
    as_mem_free(operations->mem, operation, sizeof *operation);
    return status;
  }
  operation->slot = (uint32_t)as_operations_slots(operations) - 1;
  as_list_init(&operation->request_node);
  as_list_init(&operation->done_node);
  as_deadline_init(&operation->deadline);
  as_buffer_init(&operation->message, operations->mem);
  as_list_push_back(&operations->free, &operation->request_node);
  return AS_OK;
}

as_status as_operations_take(as_operations *operations, as_request *request,
                             as_operation **out_operation) {
  if (as_list_is_empty(&operations->free)) AS_TRY(add_slot(operations));
  as_operation *operation = as_operation_of(as_list_first(&operations->free));
  as_list_remove(&operation->request_node);
  as_list_push_back(&request->operations, &operation->request_node);
  operation->request = request;
  operation->shape = 0;
  operation->attempts = 0;
  operation->is_held = false;
  operation->is_pulled = false;
  operation->is_complete = false;
  operation->is_abandoned = false;
  operation->command = 0;
  operation->first = 0;
  operation->count = 0;
  operation->number = -1;
  operation->first_reply = 0;
  operation->status = AS_OK;
  operation->turn = request->joined++;
  request->wanted++;
  operations->in_use++;
  *out_operation = operation;
  return AS_OK;
}

void as_operations_give(as_operations *operations, as_operation *operation) {
  as_deadlines_remove(&operations->deadlines, &operation->deadline);
  as_list_remove(&operation->done_node);
  as_list_remove(&operation->request_node);
  operation->request = NULL;
  as_buffer_clear(&operation->message);
  as_list_push_front(&operations->free, &operation->request_node);
  operations->in_use--;
}

as_operation *as_operations_at(const as_operations *operations, uint32_t slot) {
  if (slot >= as_operations_slots(operations)) return NULL;
  as_operation *operation = slot_at(operations, slot);
  return operation->request != NULL ? operation : NULL;
}

void as_operations_complete(as_operations *operations, as_operation *operation,
                            as_status status, as_slice message, double now_ms) {
  if (operation->is_complete || !operation->is_held) return;
  as_deadlines_remove(&operations->deadlines, &operation->deadline);
  operation->is_complete = true;
  operation->status = status;
  operation->attempts = operation->request->attempts;
  operation->sent_ms = operation->request->sent_ms;
  operation->completed_ms = now_ms;
  /* Without memory for the words, the status alone tells. */
  if (as_buffer_append_slice(&operation->message, message) != AS_OK)
    as_buffer_clear(&operation->message);
  as_list_push_back(&operations->done, &operation->done_node);
}

void as_operations_complete_all(as_operations *operations, as_request *request,
                                as_status status, as_slice message, double now_ms) {
  for (as_list_node *node = as_list_first(&request->operations); node != NULL;
       node = as_list_after(&request->operations, node))
    as_operations_complete(operations, as_operation_of(node), status, message, now_ms);
}

/* A request that serves nobody any more and is not owed anything. */
static void give_if_unused(as_operations *operations, as_request *request) {
  if (request->is_queued || !as_list_is_empty(&request->operations)) return;
  as_requests_give(&operations->requests, request);
}

void as_operations_release(as_operations *operations, as_operation *operation) {
  as_request *request = operation->request;
  as_deadlines_remove(&operations->deadlines, &operation->deadline);
  as_list_remove(&operation->done_node);
  operation->is_held = false;
  if (request->is_queued) return;
  as_operations_give(operations, operation);
  give_if_unused(operations, request);
}

void as_operations_unqueue(as_operations *operations, as_request *request) {
  as_list_remove(&request->node);
  request->is_queued = false;
  as_list_node *next;
  for (as_list_node *node = as_list_first(&request->operations); node != NULL;
       node = next) {
    next = as_list_after(&request->operations, node);
    as_operation *operation = as_operation_of(node);
    if (!operation->is_held) as_operations_give(operations, operation);
  }
  give_if_unused(operations, request);
}

bool as_operations_validate(const as_operations *operations) {
  size_t free_count = 0;
  for (as_list_node *node = as_list_first(&operations->free); node != NULL;
       node = as_list_after(&operations->free, node)) {
    const as_operation *operation = as_operation_of(node);
    if (operation->is_held || operation->request != NULL ||
        as_deadline_is_set(&operation->deadline))
      return false;
    free_count++;
  }
  return free_count + operations->in_use == as_operations_slots(operations) &&
         as_deadlines_validate(&operations->deadlines);
}
