/* SPDX-License-Identifier: MIT */
/* What Lua reaches through LuaJIT's FFI: calls that happen once per key, in which only
 * numbers and pointers cross and that cannot raise. The text between the parentheses is
 * compiled here and given to ffi.cdef as core.declarations, so there is one source. */
#ifndef AS_BINDING_FFI_H
#define AS_BINDING_FFI_H

#include <stddef.h>
#include <stdint.h>

#define AS_FFI_DECLARE(...) __VA_ARGS__
#define AS_FFI_TEXT(...) #__VA_ARGS__

/* authstate_now_ms: the monotonic clock. authstate_latest_ms: a time that is not earlier,
 * and cheaper; see io/clock.h.
 *
 * authstate_read: reads one field of a hash (see as_engine_read), joined with others.
 * `engine` is the address of the Lua object, `hash` what lane:hash gave, `shape` a number
 * of core.shapes. The slot; below 0: a status (base/error.h).
 *
 * authstate_set: a plain write of one field (see as_engine_set), joined with others. The
 * same.
 *
 * authstate_lookout_next: see as_lookout_next; `lookout` is the address of the Lua
 * object.
 *
 * authstate_histogram_...: see binding/histogram.h. `histograms` is the address of the
 * Lua object; a number that it does not have counts nothing. */
/* clang-format off */
#define AS_FFI(X) X(                                                                     \
  typedef struct authstate_engine authstate_engine;                                      \
  typedef struct authstate_hash authstate_hash;                                          \
  double authstate_now_ms(void);                                                         \
  double authstate_latest_ms(void);                                                      \
  int32_t authstate_read(authstate_engine *engine, authstate_hash *hash,                 \
                         const char *field, size_t length, double generation,            \
                         uint32_t shape, double timeout_ms);                             \
  int32_t authstate_set(authstate_engine *engine, authstate_hash *hash,                  \
                        const char *field, size_t field_length,                          \
                        const char *value, size_t value_length, double timeout_ms);      \
  typedef struct authstate_lookout authstate_lookout;                                    \
  int32_t authstate_lookout_next(authstate_lookout *lookout);                            \
  typedef struct authstate_histograms authstate_histograms;                              \
  void authstate_histogram_add(authstate_histograms *histograms, uint32_t number,        \
                               double duration_ms, double count);                        \
  double authstate_histogram_count(authstate_histograms *histograms, uint32_t number);   \
  double authstate_histogram_quantile(authstate_histograms *histograms, uint32_t number, \
                                      double share);                                     \
)
/* clang-format on */

AS_FFI(AS_FFI_DECLARE)

#endif
