/* SPDX-License-Identifier: MIT */
/* Files that hold secrets. */
#ifndef AS_IO_FILE_H
#define AS_IO_FILE_H

#include "base/slice.h"

/* Writes a file of mode 0600, anew or in the place of one that is there, and forces it to
 * disk. A symbolic link is not followed. Returns 0 or errno; after a failure the file may
 * hold a part. */
int as_file_write(const char *path, as_slice bytes);

#endif
