/* SPDX-License-Identifier: MIT */
#include "io/machine.h"

#include <unistd.h>

long as_machine_cores(void) {
  return sysconf(_SC_NPROCESSORS_ONLN);
}

double as_machine_memory_bytes(void) {
  long pages = sysconf(_SC_PHYS_PAGES);
  return pages < 0 ? -1 : (double)pages * (double)sysconf(_SC_PAGESIZE);
}
