/* SPDX-License-Identifier: MIT */
/* What the replies of a request mean for each of the operations that it serves. An error
 * belongs to the operation that caused it: a hash of another type fails those that read
 * or wrote it, and no other. */
#ifndef AS_ENGINE_ANSWER_H
#define AS_ENGINE_ANSWER_H

#include "engine/operation.h"

/* The first error among the replies of a request, NULL when there is none. */
const as_reply *as_answer_error(const as_request *request);

/* Completes every operation of a request all of whose replies are there. */
void as_answer_deal(as_operations *operations, as_request *request, double now_ms);

#endif
