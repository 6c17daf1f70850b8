/* SPDX-License-Identifier: MIT */
#include "io/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

int as_lock_open(const char *path, bool is_inheritable) {
  int flags = O_RDWR | O_CREAT | O_NOFOLLOW | (is_inheritable ? 0 : O_CLOEXEC);
  return open(path, flags, 0600);
}

int as_lock_try(int fd, as_lock_mode mode) {
  int operation = mode == AS_LOCK_SHARED ? LOCK_SH : LOCK_EX;
  return flock(fd, operation | LOCK_NB) == 0 ? 0 : errno;
}

void as_lock_close(int fd) {
  if (fd >= 0) close(fd);
}

void as_lock_release(int fd) {
  if (fd < 0) return;
  (void)flock(fd, LOCK_UN); /* cannot fail on a file that is open */
  close(fd);
}
