/* SPDX-License-Identifier: MIT */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int write_all(int fd, as_slice bytes) {
  while (bytes.length > 0) {
    ssize_t written = write(fd, bytes.data, bytes.length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes = as_slice_of(bytes.data + written, bytes.length - (size_t)written);
  }
  return 0;
}

/* Forces the file to disk and closes it. Returns `failure`, or the errno of these. */
static int finish(int fd, int failure) {
  if (failure == 0 && fsync(fd) != 0) failure = errno;
  if (close(fd) != 0 && failure == 0) failure = errno;
  return failure;
}

int as_file_write(const char *path, as_slice bytes) {
  int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
  int fd = open(path, flags, 0600);
  if (fd < 0) return errno;
  return finish(fd, write_all(fd, bytes));
}

int as_file_truncate(const char *path, off_t length) {
  int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno;
  return finish(fd, ftruncate(fd, length) == 0 ? 0 : errno);
}

bool as_file_exists(const char *path) {
  return access(path, F_OK) == 0;
}
