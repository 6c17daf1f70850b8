/* SPDX-License-Identifier: MIT */
#ifndef AS_IO_TERMINAL_H
#define AS_IO_TERMINAL_H

#include <stdbool.h>

/* Whether a descriptor is a terminal. */
bool as_terminal_is(int fd);

#endif
