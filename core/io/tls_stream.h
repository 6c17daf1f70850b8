/* SPDX-License-Identifier: MIT */
/* as_tls_stream is one connection under TLS, between the bytes of the socket and those of
 * the program. It makes no system call: the socket feeds it with what it received, and
 * sends its output.
 *
 *   program --write--> [ stream ] --output, sent--> socket
 *   program <--read--- [ stream ] <--feed---------- socket
 *
 * What `write` has taken will leave, or the stream breaks: it cannot be taken back. */
#ifndef AS_IO_TLS_STREAM_H
#define AS_IO_TLS_STREAM_H

#include "base/slice.h"
#include "io/tls.h"

typedef struct as_tls_stream as_tls_stream;

/* A stream to the server that `host` names. AS_ERR_UNSUPPORTED: `reason` says why. It
 * needs `tls` no more than the call lasts. */
AS_MUST_USE as_status as_tls_stream_new(as_mem *mem, const as_tls *tls, const char *host,
                                        as_tls_stream **out_stream, char *reason);

/* Says nothing to the other side: after a fork that would end the parent's stream. NULL
 * is accepted. */
void as_tls_stream_del(as_tls_stream *stream);

/* Goes on with the handshake as far as what was fed allows. False: it failed, `reason`
 * says why, and what is left to send tells the other side. */
bool as_tls_stream_handshake(as_tls_stream *stream, bool *out_done, char *reason);

/* Takes bytes of the socket. AS_ERR_OOM: the stream is lost. */
AS_MUST_USE as_status as_tls_stream_feed(as_tls_stream *stream, as_slice bytes);

/* What is to be sent next, empty for nothing; valid until the next call. */
as_slice as_tls_stream_output(as_tls_stream *stream);
void as_tls_stream_sent(as_tls_stream *stream, size_t length);

/* Encrypts bytes of the program, as many as *out_length says, at least one. False: the
 * stream is lost. After the handshake only. */
bool as_tls_stream_write(as_tls_stream *stream, as_slice bytes, size_t *out_length,
                         char *reason);

typedef enum as_tls_read {
  AS_TLS_READ_SOME, /* *out_length bytes */
  AS_TLS_READ_NONE, /* the next record is not whole */
  AS_TLS_READ_END   /* the other side ended the stream, or it is damaged: `reason` */
} as_tls_read;

/* Decrypts the whole records that were fed: all of them when `size` is what was fed since
 * the last read, and 32 KiB. At least 16 KiB. */
as_tls_read as_tls_stream_read(as_tls_stream *stream, void *block, size_t size,
                               size_t *out_length, char *reason);

/* Whether read would find something without being fed. */
bool as_tls_stream_has_input(const as_tls_stream *stream);

#endif
