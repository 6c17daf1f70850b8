/* SPDX-License-Identifier: MIT */
/* as_socket: a stream socket to a unix path or a TCP host, under TLS where the address
 * says so. A host name may have several addresses; they are tried one after the other
 * until one takes the connection. Nothing waits but name resolution, and receive where it
 * is asked to. */
#ifndef AS_IO_SOCKET_H
#define AS_IO_SOCKET_H

#include <netdb.h>
#include <stdbool.h>

#include "base/slice.h"
#include "io/tls_stream.h"

enum {
  AS_SOCKET_MAX_HOST = 255,
  AS_SOCKET_MAX_PATH = 107, /* sun_path without its NUL */
  AS_SOCKET_REASON_SIZE = AS_TLS_REASON_SIZE
};

/* Where a server listens. */
typedef struct as_address {
  char path[AS_SOCKET_MAX_PATH + 1]; /* not empty: a unix socket */
  char host[AS_SOCKET_MAX_HOST + 1];
  char port[8];
  bool no_delay;     /* TCP_NODELAY */
  bool keep_alive;   /* SO_KEEPALIVE */
  const as_tls *tls; /* borrowed; NULL: without TLS, as to a unix path */
} as_address;

typedef enum as_socket_state {
  AS_SOCKET_CLOSED,
  AS_SOCKET_CONNECTING, /* the handshake of TLS included */
  AS_SOCKET_OPEN
} as_socket_state;

typedef struct as_socket {
  as_mem *mem;
  as_socket_state state;
  bool is_reading;    /* while CONNECTING: it goes on when readable, else when writable */
  bool is_drained;    /* the last receive took all there was */
  bool is_heard;      /* the other side has sent a byte */
  int fd;             /* -1 when CLOSED */
  double patience_ms; /* how long a receive that waits does so; 0: not set yet */
  struct addrinfo *addresses; /* owned; NULL for a unix socket */
  struct addrinfo *next;      /* to be tried should the present one fail */
  as_tls_stream *tls;         /* owned; NULL: without TLS, or not begun */
} as_socket;

void as_socket_init(as_socket *out_socket, as_mem *mem);

/* Begins to connect. State CONNECTING or OPEN on success; false: `reason` says why.
 * Resolving a host name blocks. */
bool as_socket_connect(as_socket *peer, const as_address *address, char *reason);

/* To be called when a CONNECTING socket is ready for what it waits for, or in error:
 * OPEN, still CONNECTING (perhaps to the next address), or false with the reason. A new
 * descriptor may have been made. */
bool as_socket_finish_connect(as_socket *peer, const as_address *address, char *reason);

/* Closes and frees, without a word to the other side; no effect on a closed one. */
void as_socket_close(as_socket *peer);

typedef enum as_transfer {
  AS_TRANSFER_SOME,  /* *out_length bytes moved */
  AS_TRANSFER_LATER, /* the socket is not ready */
  AS_TRANSFER_BROKEN /* the stream ended; `reason` says why */
} as_transfer;

/* Under TLS, what was moved may still have to be flushed; of what broke in the flush, all
 * that was moved before counts as sent. */
as_transfer as_socket_send(as_socket *peer, as_slice bytes, size_t *out_length,
                           char *reason);

/* Sends what send has left behind. SOME: nothing is left. */
as_transfer as_socket_flush(as_socket *peer, char *reason);

/* `waits`: for the first byte, at most as long as the patience set before. Under TLS that
 * byte may be of a record that is not whole: LATER. `size`: at least 64 KiB. */
as_transfer as_socket_receive(as_socket *peer, void *block, size_t size, bool waits,
                              size_t *out_length, char *reason);

/* Sets how long a receive that waits does so, in ms above 0. Setting the same again costs
 * nothing. False: the system refuses. */
bool as_socket_set_patience(as_socket *peer, double patience_ms);

#endif
