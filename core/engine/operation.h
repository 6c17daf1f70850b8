/* SPDX-License-Identifier: MIT */
/* as_operation is one thing a caller waits for: one or more commands that leave together
 * and whose replies come back together. It is named by a small slot number that is used
 * again once two things have happened: its replies are no longer owed by the server, and
 * its caller has let go of it. So a late reply can never reach another caller.
 *
 *   submit          server answers            caller releases
 *   QUEUED  ------>  complete, in `done`  ------>  free
 *     |   deadline or cancel                           ^
 *     +---> complete and abandoned: told to the caller,|
 *           but the slot waits in the queue for its reply, which is dropped
 */
#ifndef AS_ENGINE_OPERATION_H
#define AS_ENGINE_OPERATION_H

#include "base/heap.h"
#include "base/list.h"
#include "engine/reply.h"

typedef struct as_operation {
  as_list_node queue_node; /* in its connection's queue, in the order of the wire */
  as_list_node done_node;  /* among the completions not pulled yet */
  as_heap_node deadline;   /* among the deadlines; key in ms */
  uint32_t slot;
  uint32_t connection;      /* which connection's queue it stands in */
  uint32_t commands;        /* replies the caller gets */
  uint32_t replies_seen;    /* replies read from the wire so far */
  size_t replies_counted;   /* nodes of those replies that matter */
  uint32_t commands_walked; /* measured, while it is sent in parts */
  uint64_t walked_bytes;    /* their length */
  uint32_t attempts;        /* streams on which any byte of it went out */
  uint32_t script_reloads;  /* how often its scripts had to be loaded again */
  bool is_atomic;           /* wrapped in MULTI and EXEC */
  bool is_queued;           /* its replies are still owed, or it is not sent yet */
  bool is_held;             /* its caller has not released it */
  bool is_pulled;           /* its completion was handed out */
  bool is_abandoned;        /* completed before its reply came */
  bool is_unwanted;         /* abandoned, and no byte of it is on this stream */
  double submitted_ms;
  double completed_ms;
  uint64_t begin; /* its bytes in the connection's output stream: [begin, end) */
  uint64_t end;
  as_status status;
  as_buffer message; /* why it failed; empty when it did not */
  as_replies replies;
} as_operation;

/* The slots. Owns every operation. */
typedef struct as_operations {
  as_mem *mem;
  as_buffer table; /* as_operation * by slot */
  as_list free;    /* through queue_node */
  as_list done;    /* through done_node, in the order of completion */
  as_heap deadlines;
  uint32_t in_use;
} as_operations;

void as_operations_init(as_operations *operations, as_mem *mem);
void as_operations_free(as_operations *operations);

/* A slot, all fields as new, not held and not queued. */
AS_MUST_USE as_status as_operations_take(as_operations *operations,
                                         as_operation **out_operation);

/* Gives a slot back at once; it must be neither queued, held nor done. */
void as_operations_give(as_operations *operations, as_operation *operation);

/* The operation of a slot that is in use; NULL for any other number. */
as_operation *as_operations_at(const as_operations *operations, uint32_t slot);

/* Ends an operation for its caller: status and message are set, the deadline is gone, and
 * it stands among the completions. No effect on one that is abandoned or not held. */
void as_operations_complete(as_operations *operations, as_operation *operation,
                            as_status status, as_slice message, double now_ms);

/* The caller lets go: of a completion not pulled yet, too. The slot is free as soon as no
 * reply is owed to it. */
void as_operations_release(as_operations *operations, as_operation *operation);

/* The operation left its connection's queue: no reply is owed any more. */
void as_operations_unqueue(as_operations *operations, as_operation *operation);

/* Forgets the replies read so far: the request will be sent again. */
void as_operation_forget_replies(as_operation *operation);

/* Whether every slot is either free or in use; for tests. */
bool as_operations_validate(const as_operations *operations);

#endif
