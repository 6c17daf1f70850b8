/* SPDX-License-Identifier: MIT */
#include "io/lookout.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int as_lookout_open(as_lookout *out_lookout) {
  out_lookout->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  return out_lookout->epoll_fd >= 0 ? 0 : errno;
}

void as_lookout_close(as_lookout *lookout) {
  if (lookout->epoll_fd >= 0) close(lookout->epoll_fd);
  lookout->epoll_fd = -1;
}

/* Of an end or an error epoll tells unasked. */
int as_lookout_add(const as_lookout *lookout, int fd, as_lookout_event event) {
  struct epoll_event wanted = {.events = EPOLLRDHUP, .data.fd = fd};
  if (event == AS_LOOKOUT_BYTES) wanted.events |= EPOLLIN;
  if (epoll_ctl(lookout->epoll_fd, EPOLL_CTL_ADD, fd, &wanted) == 0) return 0;
  if (errno != EEXIST) return errno;
  return epoll_ctl(lookout->epoll_fd, EPOLL_CTL_MOD, fd, &wanted) == 0 ? 0 : errno;
}

void as_lookout_remove(const as_lookout *lookout, int fd) {
  (void)epoll_ctl(lookout->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

int as_lookout_next(const as_lookout *lookout) {
  struct epoll_event event;
  int count = epoll_wait(lookout->epoll_fd, &event, 1, 0);
  if (count == 0) return AS_LOOKOUT_QUIET;
  return count == 1 ? event.data.fd : AS_LOOKOUT_UNKNOWN;
}

long as_lookout_receive(int fd, void *block, size_t size, int *out_failure) {
  *out_failure = 0;
  ssize_t received = recv(fd, block, size, MSG_DONTWAIT);
  if (received > 0) return received;
  if (received == 0) return -1;
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
  *out_failure = errno;
  return -1;
}

bool as_lookout_is_marked(int fd) {
  int is_marked = 0;
  socklen_t length = sizeof is_marked;
  int result = getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &is_marked, &length);
  return result == 0 && is_marked != 0;
}
