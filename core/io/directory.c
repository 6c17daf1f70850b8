/* SPDX-License-Identifier: MIT */
#include "io/directory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_one(const char *path) {
  return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : errno;
}

int as_directory_make(const char *path) {
  char part[PATH_MAX];
  size_t length = strlen(path);
  if (length >= sizeof part) return ENAMETOOLONG;
  memcpy(part, path, length + 1);
  for (size_t i = 1; i < length; i++) {
    if (part[i] != '/') continue;
    part[i] = '\0';
    int failure = make_one(part);
    if (failure != 0) return failure;
    part[i] = '/';
  }
  return make_one(part);
}

int as_directory_resolve(const char *path, char *out) {
  static_assert(AS_DIRECTORY_PATH_SIZE >= PATH_MAX, "realpath writes up to PATH_MAX");
  return realpath(path, out) != NULL ? 0 : errno;
}

as_directory_fault as_directory_check(const char *path) {
  struct stat found;
  if (stat(path, &found) != 0) return AS_DIRECTORY_MISSING;
  if (!S_ISDIR(found.st_mode)) return AS_DIRECTORY_NOT_A_DIRECTORY;
  if (found.st_uid != geteuid()) return AS_DIRECTORY_FOREIGN;
  if (found.st_mode & 077) return AS_DIRECTORY_OPEN_TO_OTHERS;
  if (access(path, W_OK | X_OK) != 0) return AS_DIRECTORY_NOT_WRITABLE;
  return AS_DIRECTORY_FINE;
}

bool as_directory_is(const char *path) {
  struct stat found;
  return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

bool as_directory_is_link(const char *path) {
  struct stat found;
  return lstat(path, &found) == 0 && S_ISLNK(found.st_mode);
}

int as_directory_open(as_directory_reader *reader, const char *path) {
  reader->stream = opendir(path);
  return reader->stream != NULL ? 0 : errno;
}

void as_directory_close(as_directory_reader *reader) {
  if (reader->stream != NULL) closedir(reader->stream);
  reader->stream = NULL;
}

const char *as_directory_next(as_directory_reader *reader, int *out_failure) {
  const struct dirent *entry;
  do {
    errno = 0; /* readdir says no other way whether it failed */
    entry = readdir(reader->stream);
  } while (entry != NULL &&
           (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
  *out_failure = entry == NULL ? errno : 0;
  return entry != NULL ? entry->d_name : NULL;
}

int as_directory_sync(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  int failure = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return failure;
}
