/* SPDX-License-Identifier: MIT */
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

static void tell(char *reason, const char *words) {
  snprintf(reason, AS_SOCKET_REASON_SIZE, "%s", words);
}

void as_socket_init(as_socket *out_socket) {
  memset(out_socket, 0, sizeof *out_socket);
  out_socket->fd = -1;
}

static void drop_descriptor(as_socket *peer) {
  if (peer->fd >= 0) close(peer->fd);
  peer->fd = -1;
  peer->state = AS_SOCKET_CLOSED;
  peer->patience_ms = 0;
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

/* Makes a descriptor and starts connecting it; the socket is closed again on failure. */
static bool start(as_socket *peer, int family, const struct sockaddr *address,
                  socklen_t length, char *reason) {
  peer->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (peer->fd < 0) {
    tell(reason, strerror(errno));
    return false;
  }
  if (connect(peer->fd, address, length) == 0) {
    become_open(peer);
    return true;
  }
  if (errno == EINPROGRESS) {
    peer->state = AS_SOCKET_CONNECTING;
    return true;
  }
  tell(reason, strerror(errno));
  drop_descriptor(peer);
  return false;
}

static bool connect_unix(as_socket *peer, const char *path, char *reason) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, path, strlen(path) + 1);
  return start(peer, AF_UNIX, (const struct sockaddr *)&address, sizeof address, reason);
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
    if (!start(peer, each->ai_family, each->ai_addr, each->ai_addrlen, reason)) continue;
    set_tcp_options(peer, address);
    return true;
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
  if (address->path[0] != '\0') return connect_unix(peer, address->path, reason);
  return connect_tcp(peer, address, reason);
}

bool as_socket_finish_connect(as_socket *peer, const as_address *address, char *reason) {
  int failure = 0;
  socklen_t length = sizeof failure;
  if (getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &failure, &length) != 0) failure = errno;
  if (failure == 0) {
    become_open(peer);
    return true;
  }
  tell(reason, strerror(failure));
  drop_descriptor(peer);
  return connect_next(peer, address, reason);
}

static as_transfer failed(char *reason) {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return AS_TRANSFER_LATER;
  tell(reason, strerror(errno));
  return AS_TRANSFER_BROKEN;
}

as_transfer as_socket_send(as_socket *peer, as_slice bytes, size_t *out_length,
                           char *reason) {
  ssize_t sent = send(peer->fd, bytes.data, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return failed(reason);
  *out_length = (size_t)sent;
  return AS_TRANSFER_SOME;
}

as_transfer as_socket_receive(as_socket *peer, void *block, size_t size, bool waits,
                              size_t *out_length, char *reason) {
  ssize_t received = recv(peer->fd, block, size, waits ? 0 : MSG_DONTWAIT);
  if (received < 0) return failed(reason);
  if (received == 0) {
    tell(reason, "the server closed the connection");
    return AS_TRANSFER_BROKEN;
  }
  *out_length = (size_t)received;
  return AS_TRANSFER_SOME;
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
