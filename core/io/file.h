/* SPDX-License-Identifier: MIT */
/* Files that hold secrets. */
#ifndef AS_IO_FILE_H
#define AS_IO_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/slice.h"

/* Writes a file of mode 0600, anew or in the place of one that is there, and forces it to
 * disk. A symbolic link is not followed. Returns 0 or errno; after a failure the file may
 * hold a part. */
int as_file_write(const char *path, as_slice bytes);

/* Cuts a file off behind its first `length` bytes, and forces that to disk. Returns 0 or
 * errno. */
int as_file_truncate(const char *path, off_t length);

/* Whether there is something of that name. */
bool as_file_exists(const char *path);

#endif
