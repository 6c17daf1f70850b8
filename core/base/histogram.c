/* SPDX-License-Identifier: MIT */
/* The upper bits of an IEEE 754 double are its exponent and the first digits of its
 * mantissa: read as a number they grow by one from bucket to bucket. */
#include "base/histogram.h"

#include <string.h>

enum { DIGITS = 4, MANTISSA = 52, BIAS = 1023 };

static const uint64_t FIRST = (uint64_t)BIAS << DIGITS; /* of 1 us */

static uint32_t bucket_of(double duration_us) {
  uint64_t bits;
  if (!(duration_us > 1)) return 0;
  memcpy(&bits, &duration_us, sizeof bits);
  uint64_t bucket = (bits >> (MANTISSA - DIGITS)) - FIRST;
  return bucket < AS_HISTOGRAM_BUCKETS ? (uint32_t)bucket : AS_HISTOGRAM_BUCKETS - 1;
}

/* The shortest duration of a bucket. */
static double bucket_begin_us(uint32_t bucket) {
  uint64_t bits = (FIRST + bucket) << (MANTISSA - DIGITS);
  double begin_us;
  memcpy(&begin_us, &bits, sizeof begin_us);
  return begin_us;
}

void as_histogram_add(as_histogram *histogram, double duration_ms, uint64_t count) {
  histogram->buckets[bucket_of(duration_ms * 1000)] += count;
  histogram->count += count;
}

double as_histogram_quantile(const as_histogram *histogram, double share) {
  double wanted = share * (double)histogram->count;
  uint64_t seen = 0;
  if (histogram->count == 0) return 0;
  uint32_t bucket = 0;
  for (; bucket < AS_HISTOGRAM_BUCKETS - 1; bucket++) {
    seen += histogram->buckets[bucket];
    if (seen > 0 && (double)seen >= wanted) break;
  }
  return (bucket_begin_us(bucket) + bucket_begin_us(bucket + 1)) / 2 / 1000;
}
