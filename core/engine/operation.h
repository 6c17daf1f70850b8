/* SPDX-License-Identifier: MIT */
/* as_operation is one thing a caller waits for: a request of its own, or a part of one
 * that it shares with others. It is named by a small slot number that is used again once
 * two things have happened: its replies are no longer owed by the server, and its caller
 * has let go of it. So a late reply can never reach another caller.
 *
 *   submit          server answers            caller releases
 *   WAITING ------>  complete, in `done`  ------>  free
 *     |   deadline or cancel                           ^
 *     +---> complete and abandoned: told to the caller,|
 *           but the slot stays with its request until the reply, which is dropped
 */
#ifndef AS_ENGINE_OPERATION_H
#define AS_ENGINE_OPERATION_H

#include "base/deadlines.h"
#include "engine/request.h"

typedef struct as_operation {
  as_list_node request_node; /* among the operations of its request, or free */
  as_list_node done_node;    /* among the completions not pulled yet */
  as_deadline deadline;      /* among the deadlines */
  as_request *request;       /* NULL: free */
  uint32_t slot;
  uint32_t shape;    /* what its caller will make of the replies; means nothing here */
  uint32_t attempts; /* of its request, when it completed */
  bool is_held;      /* its caller has not released it */
  bool is_pulled;    /* its completion was handed out */
  bool is_complete;
  bool is_abandoned; /* completed before its reply came */
  uint32_t turn;     /* which of the operations joined in the request it is */
  /* READ: elements `first` to first + count - 1 of the reply of command number `command`.
   * WRITE: its part of request->touched. */
  uint32_t command;
  uint32_t first;
  uint32_t count;
  double number; /* READ: the generation it is under, below 0: any; WRITE, once complete:
                    the version that it made */
  size_t first_reply; /* once complete: the node that its replies begin at */
  double submitted_ms;
  double sent_ms; /* of its request, when it completed */
  double completed_ms;
  as_status status;
  as_buffer message; /* why it failed; empty when it did not */
} as_operation;

/* The slots. Owns every operation, and the requests that are free. */
typedef struct as_operations {
  as_mem *mem;
  as_buffer table; /* as_operation * by slot */
  as_list free;    /* through request_node */
  as_list done;    /* through done_node, in the order of completion */
  as_deadlines deadlines;
  as_requests requests;
  uint32_t in_use;
} as_operations;

void as_operations_init(as_operations *operations, as_mem *mem);
void as_operations_free(as_operations *operations);

/* A slot that serves `request`, all fields as new, not held. */
AS_MUST_USE as_status as_operations_take(as_operations *operations, as_request *request,
                                         as_operation **out_operation);

/* Gives a slot back at once; it must be neither held nor done. Its request stays. */
void as_operations_give(as_operations *operations, as_operation *operation);

/* The operation of a slot that is in use; NULL for any other number. */
as_operation *as_operations_at(const as_operations *operations, uint32_t slot);

/* The operation that has a place in its request's list. */
static inline as_operation *as_operation_of(as_list_node *node) {
  return AS_LIST_OWNER(node, as_operation, request_node);
}

/* Ends an operation for its caller: status and message are set, the deadline is gone, and
 * it stands among the completions. No effect on one that is complete or not held. */
void as_operations_complete(as_operations *operations, as_operation *operation,
                            as_status status, as_slice message, double now_ms);

/* The same for all operations of a request. */
void as_operations_complete_all(as_operations *operations, as_request *request,
                                as_status status, as_slice message, double now_ms);

/* The caller lets go: of a completion not pulled yet, too. The slot is free as soon as no
 * reply is owed to it. */
void as_operations_release(as_operations *operations, as_operation *operation);

/* A request left its connection's queue, or the collection: no reply is owed any more.
 * What nobody holds is free then. */
void as_operations_unqueue(as_operations *operations, as_request *request);

/* How many slots there are, in use or free. */
size_t as_operations_slots(const as_operations *operations);

/* Gives back the memory of slots and requests that are free; when none is in use. */
void as_operations_trim(as_operations *operations);

/* Whether every slot is either free or in use; for tests. */
bool as_operations_validate(const as_operations *operations);

#endif
