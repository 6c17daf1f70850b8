/* SPDX-License-Identifier: MIT */
/* as_lookout tells what can be read now from sockets that somebody else holds and waits
 * for, such as those of nginx: an epoll set of their descriptors, asked without waiting.
 * To ask costs one system call, however many there are. A descriptor that its holder
 * closes leaves the set by itself. */
#ifndef AS_IO_LOOKOUT_H
#define AS_IO_LOOKOUT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct as_lookout {
  int epoll_fd; /* -1: closed */
} as_lookout;

typedef enum as_lookout_event {
  AS_LOOKOUT_BYTES, /* bytes, or the end of the stream */
  AS_LOOKOUT_END    /* the end of the stream, or an error, only */
} as_lookout_event;

enum {
  AS_LOOKOUT_QUIET = -1,
  AS_LOOKOUT_UNKNOWN = -2 /* it is closed, or the system does not tell */
};

/* Returns 0 or errno. */
int as_lookout_open(as_lookout *out_lookout);
void as_lookout_close(as_lookout *lookout);

/* Takes in a connected socket. Returns 0 or errno. */
int as_lookout_add(const as_lookout *lookout, int fd, as_lookout_event event);

/* No effect on a descriptor that has left. */
void as_lookout_remove(const as_lookout *lookout, int fd);

/* A descriptor where the event is; it goes on to be told until what is there was read. Or
 * AS_LOOKOUT_QUIET, AS_LOOKOUT_UNKNOWN. */
int as_lookout_next(const as_lookout *lookout);

/* Takes what the kernel has of a stream, at most `size` bytes, without waiting: how many,
 * 0 when it has none; -1 when the stream has ended, with the errno in *out_failure, 0 for
 * an end in order. */
long as_lookout_receive(int fd, void *block, size_t size, int *out_failure);

/* Whether a descriptor is that of a socket whose address may be used again. For a
 * connected one this has no meaning to anybody, so that it can be told by it among
 * others. */
bool as_lookout_is_marked(int fd);

#endif
