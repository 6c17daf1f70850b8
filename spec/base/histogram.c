/* SPDX-License-Identifier: MIT */
/* Quantiles against those of the sorted durations themselves. */
#include "base/histogram.h"

#include <math.h>
#include <string.h>

#include "check.h"

enum { COUNT = 5000 };

static double durations[COUNT];
static as_histogram histogram;

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* From half a microsecond to two hours, as often in each doubling. */
static double random_duration_ms(void) {
  return exp(log(5e-4) + (double)check_random(1000000) / 1e6 * log(7.2e6 / 5e-4));
}

/* What there is no bucket for counts as the shortest or the longest. */
static double clamp_ms(double duration_ms) {
  return fmin(fmax(duration_ms, 1e-3), exp2(32) / 1000);
}

static void check_quantiles(void) {
  memset(&histogram, 0, sizeof histogram);
  for (int i = 0; i < COUNT; i++) {
    durations[i] = random_duration_ms();
    as_histogram_add(&histogram, durations[i], 1);
  }
  qsort(durations, COUNT, sizeof *durations, compare);
  CHECK(histogram.count == COUNT);
  for (int percent = 0; percent <= 100; percent++) {
    int place = (int)ceil(percent / 100.0 * COUNT);
    double exact_ms = clamp_ms(durations[place > 0 ? place - 1 : 0]);
    double told_ms = as_histogram_quantile(&histogram, percent / 100.0);
    CHECK(fabs(told_ms - exact_ms) <= exact_ms / 31);
  }
}

static void check_edges(void) {
  memset(&histogram, 0, sizeof histogram);
  CHECK(as_histogram_quantile(&histogram, 0.5) == 0);
  as_histogram_add(&histogram, NAN, 1);
  as_histogram_add(&histogram, -1, 1);
  as_histogram_add(&histogram, 0, 1);
  CHECK(histogram.buckets[0] == 3 && histogram.count == 3);
  CHECK(as_histogram_quantile(&histogram, 1) < 1.1e-3);
  as_histogram_add(&histogram, INFINITY, 1);
  CHECK(histogram.buckets[AS_HISTOGRAM_BUCKETS - 1] == 1);
  CHECK(as_histogram_quantile(&histogram, 1) > 3600e3);
  CHECK(as_histogram_quantile(&histogram, 0.5) < 1.1e-3);
}

int main(int argc, char **argv) {
  check_begin(argc, argv);
  check_edges();
  check_quantiles();
  return 0;
}
