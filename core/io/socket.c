/* SPDX-License-Identifier: MIT */
/* Under TLS bytes go through a stream (tls_stream.h). One receive is one recv, and all
 * that it completes is decrypted: level-triggered epoll tells of what the kernel still
 * has, and nobody would tell of what lies here. */
#include "io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"

/* Of one recv under TLS. With what may be left of a record before, its plain text fits
 * into 64 KiB. */
enum { CIPHER_BYTES = 32 * 1024 };

static void tell(char *reason, const char *words) {
  snprintf(reason, AS_SOCKET_REASON_SIZE, "%s", words);
}

void as_socket_init(as_socket *out_socket, as_mem *mem) {
  memset(out_socket, 0, sizeof *out_socket);
  out_socket->mem = mem;
  out_socket->fd = -1;
}

static void drop_descriptor(as_socket *peer) {
  if (peer->fd >= 0) close(peer->fd);
  peer->fd = -1;
  peer->state = AS_SOCKET_CLOSED;
  peer->is_reading = false;
  peer->is_heard = false;
  peer->patience_ms = 0;
  as_tls_stream_del(peer->tls);
  peer->tls = NULL;
}

/* The descriptor must not block while it connects, and only then. */
static void become_open(as_socket *peer) {
  int flags = fcntl(peer->fd, F_GETFL);
  (void)fcntl(peer->fd, F_SETFL, flags & ~O_NONBLOCK);
  peer->state = AS_SOCKET_OPEN;
}

void as_socket_close(as_socket *peer) {
  drop_descriptor(peer);
  if (peer->addresses != NULL) freeaddrinfo(peer->addresses);
  peer->addresses = NULL;
  peer->next = NULL;
}

/* ---- moving bytes ----------------------------------------------------------------- */

/* A port with TLS takes a connection, and closes it at the first byte of another sort. */
static as_transfer broken(const as_socket *peer, const char *words, char *reason) {
  bool is_doubtful = peer->addresses != NULL && peer->tls == NULL && !peer->is_heard;
  snprintf(reason, AS_SOCKET_REASON_SIZE, "%s%s", words,
           is_doubtful ? "; perhaps the port is one with TLS (rediss://)" : "");
  return AS_TRANSFER_BROKEN;
}

static as_transfer failed(const as_socket *peer, char *reason) {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return AS_TRANSFER_LATER;
  return broken(peer, strerror(errno), reason);
}

static as_transfer send_bytes(as_socket *peer, as_slice bytes, size_t *out_length,
                              char *reason) {
  ssize_t sent = send(peer->fd, bytes.data, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return failed(peer, reason);
  *out_length = (size_t)sent;
  return AS_TRANSFER_SOME;
}

static as_transfer receive_bytes(as_socket *peer, void *block, size_t size, bool waits,
                                 size_t *out_length, char *reason) {
  ssize_t received = recv(peer->fd, block, size, waits ? 0 : MSG_DONTWAIT);
  peer->is_drained = received < (ssize_t)size;
  if (received < 0) return failed(peer, reason);
  if (received == 0) return broken(peer, "the server closed the connection", reason);
  peer->is_heard = true;
  *out_length = (size_t)received;
  return AS_TRANSFER_SOME;
}

/* Feeds the TLS stream with what the socket has. */
static as_transfer pull(as_socket *peer, bool waits, char *reason) {
  uint8_t block[CIPHER_BYTES];
  size_t length = 0;
  as_transfer result = receive_bytes(peer, block, sizeof block, waits, &length, reason);
  if (result != AS_TRANSFER_SOME) return result;
  as_status status = as_tls_stream_feed(peer->tls, as_slice_of(block, length));
  if (status == AS_OK) return AS_TRANSFER_SOME;
  tell(reason, as_status_sentence(status));
  return AS_TRANSFER_BROKEN;
}

/* Sends what the TLS stream has to send. SOME: all of it. */
static as_transfer push(as_socket *peer, char *reason) {
  for (;;) {
    as_slice bytes = as_tls_stream_output(peer->tls);
    if (bytes.length == 0) return AS_TRANSFER_SOME;
    size_t length = 0;
    as_transfer result = send_bytes(peer, bytes, &length, reason);
    if (result != AS_TRANSFER_SOME) return result;
    as_tls_stream_sent(peer->tls, length);
  }
}

/* ---- connecting ------------------------------------------------------------------- */

/* A server that refuses us says why and closes: then we fail to send, and its words are
 * still to be read. */
static void ask_why(as_socket *peer, char *reason) {
  char words[AS_SOCKET_REASON_SIZE];
  uint8_t block[CIPHER_BYTES];
  size_t length;
  bool is_done;
  if (pull(peer, false, words) != AS_TRANSFER_SOME) return;
  if (peer->state == AS_SOCKET_CONNECTING) {
    if (!as_tls_stream_handshake(peer->tls, &is_done, words)) tell(reason, words);
    return;
  }
  as_tls_read result;
  do {
    result = as_tls_stream_read(peer->tls, block, sizeof block, &length, words);
  } while (result == AS_TLS_READ_SOME);
  if (result == AS_TLS_READ_END) tell(reason, words);
}

/* Goes on with the handshake as far as the socket allows. */
static bool shake_hands(as_socket *peer, char *reason) {
  char words[AS_SOCKET_REASON_SIZE];
  for (;;) {
    bool is_done = false;
    if (!as_tls_stream_handshake(peer->tls, &is_done, reason)) {
      (void)push(peer, words); /* tells the server why */
      return false;
    }
    as_transfer sent = push(peer, reason);
    if (sent == AS_TRANSFER_BROKEN) {
      ask_why(peer, reason);
      return false;
    }
    if (is_done) {
      become_open(peer);
      return true;
    }
    peer->is_reading = sent == AS_TRANSFER_SOME;
    if (!peer->is_reading) return true;
    switch (pull(peer, false, words)) {
      case AS_TRANSFER_SOME:
        continue;
      case AS_TRANSFER_LATER:
        return true;
      case AS_TRANSFER_BROKEN:
        snprintf(reason, AS_SOCKET_REASON_SIZE, "in the TLS handshake: %.200s", words);
        return false;
    }
  }
}

/* The other side has taken the connection. */
static bool establish(as_socket *peer, const as_address *address, char *reason) {
  if (address->tls == NULL) {
    become_open(peer);
    return true;
  }
  peer->state = AS_SOCKET_CONNECTING;
  as_status status =
      as_tls_stream_new(peer->mem, address->tls, address->host, &peer->tls, reason);
  if (status == AS_OK) return shake_hands(peer, reason);
  if (status == AS_ERR_OOM) tell(reason, as_status_sentence(status));
  return false;
}

typedef enum as_start { START_FAILED, START_PENDING, START_CONNECTED } as_start;

/* Makes a descriptor and starts connecting it; the socket is closed again on failure. */
static as_start start(as_socket *peer, int family, const struct sockaddr *address,
                      socklen_t length, char *reason) {
  peer->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (peer->fd < 0) {
    tell(reason, strerror(errno));
    return START_FAILED;
  }
  if (connect(peer->fd, address, length) == 0) return START_CONNECTED;
  if (errno == EINPROGRESS) {
    peer->state = AS_SOCKET_CONNECTING;
    return START_PENDING;
  }
  tell(reason, strerror(errno));
  drop_descriptor(peer);
  return START_FAILED;
}

static bool connect_unix(as_socket *peer, const as_address *target, char *reason) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, target->path, strlen(target->path) + 1);
  switch (
      start(peer, AF_UNIX, (const struct sockaddr *)&address, sizeof address, reason)) {
    case START_CONNECTED:
      become_open(peer);
      return true;
    case START_PENDING:
      return true;
    case START_FAILED:
      return false;
  }
  return false;
}

static void set_tcp_options(const as_socket *peer, const as_address *address) {
  int no_delay = address->no_delay;
  int keep_alive = address->keep_alive;
  /* They tune; a socket without them still works. */
  (void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay);
  (void)setsockopt(peer->fd, SOL_SOCKET, SO_KEEPALIVE, &keep_alive, sizeof keep_alive);
}

static bool connect_next(as_socket *peer, const as_address *address, char *reason) {
  while (peer->next != NULL) {
    struct addrinfo *each = peer->next;
    peer->next = each->ai_next;
    as_start started =
        start(peer, each->ai_family, each->ai_addr, each->ai_addrlen, reason);
    if (started == START_FAILED) continue;
    set_tcp_options(peer, address);
    return started == START_PENDING || establish(peer, address, reason);
  }
  return false;
}

static bool connect_tcp(as_socket *peer, const as_address *address, char *reason) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
  int failure = getaddrinfo(address->host, address->port, &hints, &peer->addresses);
  if (failure != 0) {
    peer->addresses = NULL;
    tell(reason, gai_strerror(failure));
    return false;
  }
  peer->next = peer->addresses;
  return connect_next(peer, address, reason);
}

bool as_socket_connect(as_socket *peer, const as_address *address, char *reason) {
  as_socket_close(peer);
  if (address->path[0] != '\0') return connect_unix(peer, address, reason);
  return connect_tcp(peer, address, reason);
}

bool as_socket_finish_connect(as_socket *peer, const as_address *address, char *reason) {
  if (peer->tls != NULL) return shake_hands(peer, reason);
  int failure = 0;
  socklen_t length = sizeof failure;
  if (getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &failure, &length) != 0) failure = errno;
  if (failure == 0) return establish(peer, address, reason);
  tell(reason, strerror(failure));
  drop_descriptor(peer);
  return connect_next(peer, address, reason);
}

/* ---- an open one ------------------------------------------------------------------ */

as_transfer as_socket_flush(as_socket *peer, char *reason) {
  if (peer->tls == NULL) return AS_TRANSFER_SOME;
  as_transfer result = push(peer, reason);
  if (result == AS_TRANSFER_BROKEN) ask_why(peer, reason);
  return result;
}

as_transfer as_socket_send(as_socket *peer, as_slice bytes, size_t *out_length,
                           char *reason) {
  char later[AS_SOCKET_REASON_SIZE];
  if (peer->tls == NULL) return send_bytes(peer, bytes, out_length, reason);
  as_transfer flushed = as_socket_flush(peer, reason);
  if (flushed != AS_TRANSFER_SOME) return flushed;
  if (!as_tls_stream_write(peer->tls, bytes, out_length, reason))
    return AS_TRANSFER_BROKEN;
  (void)push(peer, later); /* should it fail, the next flush does too */
  return AS_TRANSFER_SOME;
}

static as_transfer read_tls(as_socket *peer, void *block, size_t size, size_t *out_length,
                            char *reason) {
  as_tls_read result = as_tls_stream_read(peer->tls, block, size, out_length, reason);
  if (as_tls_stream_has_input(peer->tls)) peer->is_drained = false;
  if (result == AS_TLS_READ_NONE) return AS_TRANSFER_LATER;
  return result == AS_TLS_READ_SOME ? AS_TRANSFER_SOME : AS_TRANSFER_BROKEN;
}

as_transfer as_socket_receive(as_socket *peer, void *block, size_t size, bool waits,
                              size_t *out_length, char *reason) {
  if (peer->tls == NULL)
    return receive_bytes(peer, block, size, waits, out_length, reason);
  /* What came with the end of the handshake. */
  if (as_tls_stream_has_input(peer->tls)) {
    as_transfer result = read_tls(peer, block, size, out_length, reason);
    if (result != AS_TRANSFER_LATER) return result;
  }
  as_transfer pulled = pull(peer, waits, reason);
  if (pulled != AS_TRANSFER_SOME) return pulled;
  return read_tls(peer, block, size, out_length, reason);
}

bool as_socket_set_patience(as_socket *peer, double patience_ms) {
  if (peer->patience_ms == patience_ms) return true;
  struct timeval patience = {.tv_sec = (time_t)(patience_ms / 1000)};
  patience.tv_usec = (suseconds_t)((patience_ms - (double)patience.tv_sec * 1000) * 1000);
  if (setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
    return false;
  peer->patience_ms = patience_ms;
  return true;
}
