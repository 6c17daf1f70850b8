/* SPDX-License-Identifier: MIT */
/* The only clock of the core: monotonic milliseconds since some fixed moment. */
#ifndef AS_IO_CLOCK_H
#define AS_IO_CLOCK_H

double as_clock_now_ms(void);

/* A time that has not come yet, or comes now: at most a tick of the system ahead, or 4 ms
 * if that is less. Several times cheaper. */
double as_clock_latest_ms(void);

/* Blocks the thread. A signal may end it early. */
void as_clock_sleep_ms(double duration_ms);

#endif
