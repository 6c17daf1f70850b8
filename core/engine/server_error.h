/* SPDX-License-Identifier: MIT */
/* What the server's error replies mean. The first word of an error is its code; a table
 * maps it to a status of ours. */
#ifndef AS_ENGINE_SERVER_ERROR_H
#define AS_ENGINE_SERVER_ERROR_H

#include "base/error.h"
#include "base/slice.h"

/* The error itself: EXEC, when it is refused, says why behind words of its own. */
as_slice as_server_error_cause(as_slice text);

/* The status of an error reply; AS_ERR_SERVER for a code that means nothing special. */
AS_MUST_USE as_status as_server_error_status(as_slice text);

/* Whether it says: not carried out, ask again. */
bool as_server_error_says_later(as_slice text);

#endif
