/* SPDX-License-Identifier: MIT */
/* RESP2, the Redis serialization protocol: requests are written into a buffer, replies
 * are read by hiredis' reader, whose object functions append to an as_replies.
 * https://redis.io/docs/latest/develop/reference/protocol-spec/ */
#ifndef AS_ENGINE_RESP_H
#define AS_ENGINE_RESP_H

#include <hiredis/read.h>

#include "engine/reply.h"

typedef struct as_resp_reader {
  redisReader *reader;
  as_replies *target; /* where the nodes of the reply being read go; NULL: dropped */
  as_mem *mem;
} as_resp_reader;

AS_MUST_USE as_status as_resp_reader_init(as_resp_reader *reader, as_mem *mem);
void as_resp_reader_free(as_resp_reader *reader);

/* Forgets every byte fed: a new stream begins. */
AS_MUST_USE as_status as_resp_reader_reset(as_resp_reader *reader);

/* Takes bytes as they came from the socket. */
AS_MUST_USE as_status as_resp_reader_feed(as_resp_reader *reader, as_slice bytes);

/* Reads on until one whole reply is in `target` (NULL drops it). *out_complete is false
 * when more bytes are needed; call again with the same target. AS_ERR_SERVER: the bytes
 * are not RESP, and the stream is beyond repair; as_resp_reader_error says why. */
AS_MUST_USE as_status as_resp_reader_next(as_resp_reader *reader, as_replies *target,
                                          bool *out_complete);

/* Whether a reply has begun and is not whole yet. */
bool as_resp_reader_is_amid(const as_resp_reader *reader);

/* hiredis' words for a broken stream; valid until the reset. */
const char *as_resp_reader_error(const as_resp_reader *reader);

/* Appends the head of a command of `arguments` arguments; that many
 * as_resp_write_argument must follow. */
AS_MUST_USE as_status as_resp_write_command(as_buffer *out, size_t arguments);
AS_MUST_USE as_status as_resp_write_argument(as_buffer *out, as_slice argument);

/* The length in bytes of the command that begins at `request`, written by the functions
 * here. */
size_t as_resp_command_length(const uint8_t *request);

/* Appends a whole command of text arguments, ended by NULL. */
AS_MUST_USE as_status as_resp_write_words(as_buffer *out, const char *word, ...);

#endif
