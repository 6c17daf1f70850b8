/* SPDX-License-Identifier: MIT */
#include "binding/ffi.h"

#include "binding/engine.h"
#include "binding/reply.h"
#include "io/clock.h"

#define AS_EXPORT __attribute__((visibility("default")))

AS_EXPORT double authstate_now_ms(void) {
  return as_clock_now_ms();
}

AS_EXPORT double authstate_latest_ms(void) {
  return as_clock_latest_ms();
}

AS_EXPORT int32_t authstate_read(authstate_engine *engine, authstate_hash *hash,
                                 const char *field, size_t length, double generation,
                                 uint32_t shape, double timeout_ms) {
  as_bound_engine *bound = (as_bound_engine *)(void *)engine;
  as_slice slice = as_slice_of(field, length);
  uint32_t slot = 0;
  if (bound->engine == NULL) return AS_ERR_CLOSED;
  double now_ms = as_binding_engine_now_ms(bound);
  as_status status =
      as_engine_read(bound->engine, (as_hash *)(void *)hash, &slice, 1, generation,
                     shape | AS_SHAPE_ALONE, now_ms, now_ms + timeout_ms, &slot);
  if (status != AS_OK) return status;
  as_binding_engine_send(bound);
  return (int32_t)slot;
}

AS_EXPORT int32_t authstate_set(authstate_engine *engine, authstate_hash *hash,
                                const char *field, size_t field_length, const char *value,
                                size_t value_length, double timeout_ms) {
  as_bound_engine *bound = (as_bound_engine *)(void *)engine;
  as_hash *target = (as_hash *)(void *)hash;
  uint32_t slot = 0;
  if (bound->engine == NULL) return AS_ERR_CLOSED;
  double now_ms = as_binding_engine_now_ms(bound);
  as_status status = as_engine_begin_write(bound->engine, target->lane, now_ms);
  if (status != AS_OK) return status;
  status = as_engine_set(bound->engine, target, as_slice_of(field, field_length),
                         as_slice_of(value, value_length));
  if (status != AS_OK) {
    as_engine_rollback(bound->engine);
    return status;
  }
  status =
      as_engine_submit(bound->engine, AS_SHAPE_ALONE, now_ms, now_ms + timeout_ms, &slot);
  if (status != AS_OK) return status;
  as_binding_engine_send(bound);
  return (int32_t)slot;
}
