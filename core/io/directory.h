/* SPDX-License-Identifier: MIT */
/* Directories: making them, what is in them, and whether one can hold secrets. */
#ifndef AS_IO_DIRECTORY_H
#define AS_IO_DIRECTORY_H

#include <dirent.h>
#include <stdbool.h>

/* Makes the directory and its missing parents, all with mode 0700. Returns 0 or errno. */
int as_directory_make(const char *path);

enum { AS_DIRECTORY_PATH_SIZE = 4096 };

/* Writes the absolute path of a directory that is there, symbolic links resolved, to
 * `out` of AS_DIRECTORY_PATH_SIZE bytes. Returns 0 or errno. */
int as_directory_resolve(const char *path, char *out);

typedef enum as_directory_fault {
  AS_DIRECTORY_FINE,
  AS_DIRECTORY_MISSING, /* errno says why */
  AS_DIRECTORY_NOT_A_DIRECTORY,
  AS_DIRECTORY_FOREIGN,        /* another user owns it */
  AS_DIRECTORY_OPEN_TO_OTHERS, /* its mode lets group or others in */
  AS_DIRECTORY_NOT_WRITABLE
} as_directory_fault;

/* Whether a directory can hold secrets of the present user. */
as_directory_fault as_directory_check(const char *path);

/* Whether the path is a directory that can be looked at. */
bool as_directory_is(const char *path);

/* Whether the path is a symbolic link. */
bool as_directory_is_link(const char *path);

/* The names in a directory, in no order, "." and ".." left out. */
typedef struct as_directory_reader {
  DIR *stream;
} as_directory_reader;

/* Returns 0 or errno; after 0, close it. */
int as_directory_open(as_directory_reader *reader, const char *path);
void as_directory_close(as_directory_reader *reader);

/* The next name, valid until the next call; NULL at the end, with *out_failure 0 or the
 * errno of what went wrong. */
const char *as_directory_next(as_directory_reader *reader, int *out_failure);

/* Makes what happened to the names in a directory so far durable. Returns 0 or errno. */
int as_directory_sync(const char *path);

#endif
