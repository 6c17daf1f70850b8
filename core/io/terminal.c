/* SPDX-License-Identifier: MIT */
#include "io/terminal.h"

#include <unistd.h>

bool as_terminal_is(int fd) {
  return isatty(fd) == 1;
}
