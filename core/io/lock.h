/* SPDX-License-Identifier: MIT */
/* as_lock: an advisory lock on a whole file (flock). It is held by the open file, so it
 * passes to children over fork, and over exec when the descriptor is inheritable. */
#ifndef AS_IO_LOCK_H
#define AS_IO_LOCK_H

#include <stdbool.h>

/* Opens, and creates with mode 0600, the file. -1 with errno on failure. */
int as_lock_open(const char *path, bool is_inheritable);

typedef enum as_lock_mode { AS_LOCK_SHARED, AS_LOCK_EXCLUSIVE } as_lock_mode;

/* Takes, or changes to, a mode without waiting. Returns 0; EWOULDBLOCK when somebody else
 * is in the way; or another errno. Changing is not atomic: on failure nothing may be
 * held.
 */
int as_lock_try(int fd, as_lock_mode mode);

/* Closes the file. The lock ends when everybody who inherited the file has closed it. */
void as_lock_close(int fd);

/* Ends the lock, also for who inherited the file, and closes it. */
void as_lock_release(int fd);

#endif
