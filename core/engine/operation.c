/* SPDX-License-Identifier: MIT */
#include "engine/operation.h"

void as_operations_init(as_operations *operations, as_mem *mem) {
  operations->mem = mem;
  as_buffer_init(&operations->table, mem);
  as_list_init(&operations->free);
  as_list_init(&operations->done);
  as_heap_init(&operations->deadlines, mem);
  operations->in_use = 0;
}

static size_t slot_count(const as_operations *operations) {
  return operations->table.length / sizeof(as_operation *);
}

static as_operation *slot_at(const as_operations *operations, size_t slot) {
  return ((as_operation **)(void *)operations->table.data)[slot];
}

void as_operations_free(as_operations *operations) {
  for (size_t slot = 0; slot < slot_count(operations); slot++) {
    as_operation *operation = slot_at(operations, slot);
    as_replies_free(&operation->replies);
    as_buffer_free(&operation->message);
    as_mem_free(operations->mem, operation, sizeof *operation);
  }
  as_buffer_free(&operations->table);
  as_heap_free(&operations->deadlines);
}

static as_status add_slot(as_operations *operations) {
  as_operation *operation = as_mem_alloc_zero(operations->mem, sizeof *operation);
  if (operation == NULL) return AS_ERR_OOM;
  as_status status = as_buffer_append(&operations->table, &operation, sizeof operation);
  if (status != AS_OK) {
    as_mem_free(operations->mem, operation, sizeof *operation);
    return status;
  }
  operation->slot = (uint32_t)slot_count(operations) - 1;
  as_list_init(&operation->queue_node);
  as_list_init(&operation->done_node);
  as_buffer_init(&operation->message, operations->mem);
  as_replies_init(&operation->replies, operations->mem);
  as_list_push_back(&operations->free, &operation->queue_node);
  return AS_OK;
}

as_status as_operations_take(as_operations *operations, as_operation **out_operation) {
  if (as_list_is_empty(&operations->free)) AS_TRY(add_slot(operations));
  as_operation *operation =
      AS_LIST_OWNER(as_list_first(&operations->free), as_operation, queue_node);
  as_list_remove(&operation->queue_node);
  operation->commands = 0;
  as_operation_forget_replies(operation);
  operation->attempts = 0;
  operation->script_reloads = 0;
  operation->is_atomic = false;
  operation->is_queued = false;
  operation->is_held = false;
  operation->is_pulled = false;
  operation->is_abandoned = false;
  operation->is_unwanted = false;
  operation->status = AS_OK;
  operations->in_use++;
  *out_operation = operation;
  return AS_OK;
}

void as_operations_give(as_operations *operations, as_operation *operation) {
  as_heap_remove(&operations->deadlines, &operation->deadline);
  as_list_remove(&operation->done_node);
  as_replies_clear(&operation->replies);
  as_buffer_clear(&operation->message);
  as_list_push_back(&operations->free, &operation->queue_node);
  operations->in_use--;
}

as_operation *as_operations_at(const as_operations *operations, uint32_t slot) {
  if (slot >= slot_count(operations)) return NULL;
  as_operation *operation = slot_at(operations, slot);
  return operation->is_held || operation->is_queued ? operation : NULL;
}

void as_operations_complete(as_operations *operations, as_operation *operation,
                            as_status status, as_slice message, double now_ms) {
  if (operation->is_abandoned || !operation->is_held) return;
  as_heap_remove(&operations->deadlines, &operation->deadline);
  operation->status = status;
  operation->completed_ms = now_ms;
  as_buffer_clear(&operation->message);
  /* Without memory for the words, the status alone tells. */
  if (as_buffer_append_slice(&operation->message, message) != AS_OK)
    as_buffer_clear(&operation->message);
  as_list_push_back(&operations->done, &operation->done_node);
}

static void give_if_unused(as_operations *operations, as_operation *operation) {
  if (operation->is_held || operation->is_queued) return;
  as_operations_give(operations, operation);
}

void as_operations_release(as_operations *operations, as_operation *operation) {
  as_heap_remove(&operations->deadlines, &operation->deadline);
  as_list_remove(&operation->done_node);
  operation->is_held = false;
  give_if_unused(operations, operation);
}

void as_operations_unqueue(as_operations *operations, as_operation *operation) {
  as_list_remove(&operation->queue_node);
  operation->is_queued = false;
  give_if_unused(operations, operation);
}

void as_operation_forget_replies(as_operation *operation) {
  operation->replies_seen = 0;
  operation->replies_counted = 0;
  operation->commands_walked = 0;
  operation->walked_bytes = 0;
  as_replies_clear(&operation->replies);
}

bool as_operations_validate(const as_operations *operations) {
  size_t free_count = 0;
  for (as_list_node *node = as_list_first(&operations->free); node != NULL;
       node = as_list_after(&operations->free, node)) {
    const as_operation *operation = AS_LIST_OWNER(node, as_operation, queue_node);
    if (operation->is_held || operation->is_queued || operation->deadline.place != 0)
      return false;
    free_count++;
  }
  return free_count + operations->in_use == slot_count(operations) &&
         as_heap_validate(&operations->deadlines);
}
