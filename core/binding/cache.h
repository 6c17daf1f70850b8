/* SPDX-License-Identifier: MIT */
/* A cache as a Lua object, and what Lua reaches of it through FFI, once per key. Its
 * memory is its own, so what it counts is what it has allocated.
 *
 *   core.cache(capacity_bytes, unit_bytes, seed) -> cache | nil, message, code
 *       unit_bytes: 0, or what each entry counts as; seed: a number, nil for a random one
 *   cache:address() -> light userdata, an authstate_cache; valid until it is closed
 *   cache:value(entry, max_value_bytes) -> the Lua value that it holds; nil when it is
 *       absent; or nil, message, code. cache:json: the same as JSON text
 *   cache:close()   -> frees it; also done when nobody holds it any more
 *   cache:validate() -> boolean, for the specs
 *
 * The functions below take and give entry numbers, 0 for none; see cache/cache.h and the
 * structures. Below 0: a status (base/error.h). An id is `length` bytes. */
#ifndef AS_BINDING_CACHE_H
#define AS_BINDING_CACHE_H

#include <lua.h>
#include <stddef.h>

#include "cache/visible.h"

#define AS_CACHE_FFI_DECLARE(...) __VA_ARGS__

/* clang-format off */
#define AS_CACHE_FFI(X) X(                                                               \
  uint32_t authstate_cache_hit(authstate_cache *cache, uint32_t session, uint32_t type,  \
                               const char *id, size_t length, double now_ms);            \
  uint32_t authstate_cache_find(authstate_cache *cache, uint32_t session, uint32_t type, \
                                const char *id, size_t length, double now_ms);           \
  uint32_t authstate_cache_peek(authstate_cache *cache, uint32_t session, uint32_t type, \
                                const char *id, size_t length);                          \
  bool authstate_cache_has(authstate_cache *cache, uint32_t session, uint32_t type,      \
                           const char *id, size_t length, double now_ms);                \
  bool authstate_cache_has_expired(authstate_cache *cache, uint32_t entry,               \
                                   double now_ms);                                       \
  void authstate_cache_withhold(authstate_cache *cache, uint32_t entry);                 \
  int32_t authstate_cache_insert(authstate_cache *cache, uint32_t session,               \
                                 uint32_t type, const char *id, size_t length,           \
                                 const char *value, size_t value_length);                \
  int32_t authstate_cache_replace(authstate_cache *cache, uint32_t entry,                \
                                  const char *value, size_t value_length);               \
  void authstate_cache_set_expiry(authstate_cache *cache, uint32_t entry,                \
                                  double expires_ms);                                    \
  int32_t authstate_cache_set_types(authstate_cache *cache, uint32_t count);             \
  void authstate_cache_delete(authstate_cache *cache, uint32_t entry);                   \
  void authstate_cache_release(authstate_cache *cache);                                  \
  uint32_t authstate_cache_expired(authstate_cache *cache, double now_ms);               \
  uint32_t authstate_cache_first(authstate_cache *cache, uint32_t session,               \
                                 uint32_t type);                                         \
  const char *authstate_cache_id(authstate_cache *cache, uint32_t entry);                \
  uint32_t authstate_cache_id_length(authstate_cache *cache, uint32_t entry);            \
  const char *authstate_cache_value(authstate_cache *cache, uint32_t entry);             \
  uint32_t authstate_cache_value_length(authstate_cache *cache, uint32_t entry);         \
  double authstate_cache_used_bytes(authstate_cache *cache);                             \
  uint32_t authstate_cache_places(authstate_cache *cache, uint32_t entry);               \
  void authstate_cache_retire(authstate_cache *cache);                                   \
  authstate_cache_queue *authstate_cache_new_queue(authstate_cache *cache);              \
  authstate_cache_heap *authstate_cache_new_heap(authstate_cache *cache);                \
  authstate_cache_ghost *authstate_cache_new_ghost(authstate_cache *cache);              \
  authstate_cache_sketch *authstate_cache_new_sketch(authstate_cache *cache,             \
                                                     uint32_t sample);                   \
  int32_t authstate_cache_queue_push(authstate_cache_queue *queue, uint32_t entry);      \
  void authstate_cache_queue_touch(authstate_cache_queue *queue, uint32_t entry);        \
  void authstate_cache_queue_remove(authstate_cache_queue *queue, uint32_t entry);       \
  bool authstate_cache_queue_has(authstate_cache_queue *queue, uint32_t entry);          \
  uint32_t authstate_cache_queue_newer(authstate_cache_queue *queue, uint32_t entry);    \
  uint32_t authstate_cache_queue_older(authstate_cache_queue *queue, uint32_t entry);    \
  void authstate_cache_heap_put(authstate_cache_heap *heap, uint32_t entry,              \
                                double rank);                                            \
  void authstate_cache_heap_remove(authstate_cache_heap *heap, uint32_t entry);          \
  bool authstate_cache_heap_has(authstate_cache_heap *heap, uint32_t entry);             \
  void authstate_cache_ghost_add(authstate_cache_ghost *ghost, uint32_t entry);          \
  bool authstate_cache_ghost_has(authstate_cache_ghost *ghost, uint32_t entry);          \
  void authstate_cache_ghost_remove(authstate_cache_ghost *ghost, uint32_t entry);       \
  void authstate_cache_sketch_add(authstate_cache_sketch *sketch, uint32_t entry);       \
  uint32_t authstate_cache_sketch_count(authstate_cache_sketch *sketch,                  \
                                        uint32_t entry);                                 \
)
/* clang-format on */

AS_CACHE_FFI(AS_CACHE_FFI_DECLARE)

/* Sets core.cache in the module table at the top of the stack. */
void as_binding_cache_open(lua_State *L);

#endif
