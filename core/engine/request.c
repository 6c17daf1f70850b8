/* SPDX-License-Identifier: MIT */
#include "engine/request.h"

void as_requests_init(as_requests *requests, as_mem *mem) {
  requests->mem = mem;
  as_list_init(&requests->free);
}

void as_requests_free(as_requests *requests) {
  as_list_node *node;
  while ((node = as_list_first(&requests->free)) != NULL) {
    as_list_remove(node);
    as_request_del(requests->mem, AS_LIST_OWNER(node, as_request, node));
  }
}

void as_request_del(as_mem *mem, as_request *request) {
  as_buffer_free(&request->touched);
  as_buffer_free(&request->bytes);
  as_replies_free(&request->replies);
  as_mem_free(mem, request, sizeof *request);
}

static as_status add(as_requests *requests) {
  as_request *request = as_mem_alloc_zero(requests->mem, sizeof *request);
  if (request == NULL) return AS_ERR_OOM;
  as_list_init(&request->node);
  as_list_init(&request->operations);
  as_list_init(&request->collections);
  as_buffer_init(&request->touched, requests->mem);
  as_buffer_init(&request->bytes, requests->mem);
  as_replies_init(&request->replies, requests->mem);
  as_list_push_back(&requests->free, &request->node);
  return AS_OK;
}

as_status as_requests_take(as_requests *requests, as_request **out_request) {
  if (as_list_is_empty(&requests->free)) AS_TRY(add(requests));
  as_request *request = AS_LIST_OWNER(as_list_first(&requests->free), as_request, node);
  as_list_remove(&request->node);
  request->lane = NULL;
  request->kind = AS_REQUEST_COMMANDS;
  request->errand = AS_ERRAND_NONE;
  request->is_atomic = false;
  request->is_queued = false;
  request->is_sealed = false;
  request->is_write = false;
  request->is_parked = false;
  request->is_unwanted = false;
  request->asks_generation = false;
  request->wanted = 0;
  request->commands = 0;
  request->joined = 0;
  request->attempts = 0;
  request->sent_ms = 0;
  request->script_reloads = 0;
  *out_request = request;
  return AS_OK;
}

void as_requests_give(as_requests *requests, as_request *request) {
  as_buffer_clear(&request->touched);
  as_request_forget_replies(request);
  /* The one used last is the one whose memory is still in the processor's cache. */
  as_list_push_front(&requests->free, &request->node);
}

void as_request_forget_replies(as_request *request) {
  request->replies_seen = 0;
  request->replies_counted = 0;
  request->commands_walked = 0;
  request->walked_bytes = 0;
  as_replies_clear(&request->replies);
}

uint32_t as_request_wire_replies(const as_request *request) {
  return request->commands + (request->is_atomic ? 2 : 0);
}
