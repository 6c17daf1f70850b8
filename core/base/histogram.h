/* SPDX-License-Identifier: MIT */
/* as_histogram counts durations in a fixed number of buckets, sixteen to each doubling,
 * so that adding one costs a few instructions and a quantile is right within 1/32 of
 * itself (as in G. Tene's HdrHistogram). It owns nothing; all zero is an empty one.
 *
 *   bucket    0 .. 15    1 us to 2 us, and all that is shorter
 *            16 .. 31    2 us to 4 us
 *           ...
 *           496 .. 511   36 to 72 minutes, and all that is longer
 */
#ifndef AS_BASE_HISTOGRAM_H
#define AS_BASE_HISTOGRAM_H

#include <stdint.h>

enum { AS_HISTOGRAM_BUCKETS = 512 };

typedef struct as_histogram {
  uint64_t count;
  uint64_t buckets[AS_HISTOGRAM_BUCKETS];
} as_histogram;

/* Counts a duration in milliseconds `count` times; one that is no number, or below 0, as
 * the shortest. */
void as_histogram_add(as_histogram *histogram, double duration_ms, uint64_t count);

/* The duration in milliseconds that a share of all, from 0 to 1, do not exceed: the
 * middle of its bucket. 0 when it is empty. */
double as_histogram_quantile(const as_histogram *histogram, double share);

#endif
