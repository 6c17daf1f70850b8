/* SPDX-License-Identifier: MIT */
/* What the embedded server needs to know of its directory. */
#ifndef AS_IO_DIRECTORY_H
#define AS_IO_DIRECTORY_H

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

#endif
