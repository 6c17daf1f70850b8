/* SPDX-License-Identifier: MIT */
#include "io/clock.h"

#include <time.h>

double as_clock_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The coarse clock says when the last tick was. */
double as_clock_latest_ms(void) {
  static const double MAX_TICK_MS = 4;
  struct timespec tick;
  struct timespec last;
  if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0) return as_clock_now_ms();
  double tick_ms = (double)tick.tv_sec * 1e3 + (double)tick.tv_nsec / 1e6;
  if (tick_ms > MAX_TICK_MS) return as_clock_now_ms();
  clock_gettime(CLOCK_MONOTONIC_COARSE, &last);
  return (double)last.tv_sec * 1e3 + (double)last.tv_nsec / 1e6 + tick_ms;
}

void as_clock_sleep_ms(double duration_ms) {
  struct timespec duration = {(time_t)(duration_ms / 1e3), 0};
  duration.tv_nsec = (long)((duration_ms - (double)duration.tv_sec * 1e3) * 1e6);
  nanosleep(&duration, NULL);
}
