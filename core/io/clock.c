/* SPDX-License-Identifier: MIT */
#include "io/clock.h"

#include <time.h>

double as_clock_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void as_clock_sleep_ms(double duration_ms) {
  struct timespec duration = {(time_t)(duration_ms / 1e3), 0};
  duration.tv_nsec = (long)((duration_ms - (double)duration.tv_sec * 1e3) * 1e6);
  nanosleep(&duration, NULL);
}
