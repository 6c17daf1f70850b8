/* SPDX-License-Identifier: MIT */
#include "binding/cache.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "binding/type.h"
#include "binding/value.h"
#include "binding/workspace.h"
#include "cache/cache.h"
#include "io/random.h"

#define AS_EXPORT __attribute__((visibility("default")))

static const char *const CACHE_TYPE = "authstate.cache";

/* ---- the object -------------------------------------------------------------------- */

typedef struct bound_cache {
  as_mem mem;
  as_cache *cache; /* NULL once closed */
} bound_cache;

static int push_failure(lua_State *L, as_status status) {
  lua_pushnil(L);
  lua_pushstring(L, as_status_sentence(status));
  lua_pushstring(L, as_status_code(status));
  return 3;
}

static int cache_new(lua_State *L) {
  as_cache_config config = {.capacity_bytes = luaL_checknumber(L, 1)};
  double unit_bytes = luaL_checknumber(L, 2);
  luaL_argcheck(L, config.capacity_bytes >= 0, 1, "a number of bytes");
  luaL_argcheck(L, unit_bytes >= 0 && unit_bytes <= UINT32_MAX, 2, "a number of bytes");
  config.unit_bytes = (uint32_t)unit_bytes;
  if (!lua_isnoneornil(L, 3)) {
    config.seed = (uint64_t)luaL_checkinteger(L, 3);
  } else {
    as_status status = as_random_fill(&config.seed, sizeof config.seed);
    if (status != AS_OK) return push_failure(L, status);
  }
  bound_cache *bound = lua_newuserdata(L, sizeof *bound);
  memset(bound, 0, sizeof *bound);
  as_mem_init(&bound->mem);
  luaL_getmetatable(L, CACHE_TYPE);
  lua_setmetatable(L, -2);
  as_status status = as_cache_new(&bound->mem, &config, &bound->cache);
  return status == AS_OK ? 1 : push_failure(L, status);
}

static bound_cache *check(lua_State *L) {
  bound_cache *bound = luaL_checkudata(L, 1, CACHE_TYPE);
  luaL_argcheck(L, bound->cache != NULL, 1, "the cache is closed");
  return bound;
}

static int cache_address(lua_State *L) {
  lua_pushlightuserdata(L, as_cache_seen(check(L)->cache));
  return 1;
}

static int cache_validate(lua_State *L) {
  lua_pushboolean(L, as_cache_validate(check(L)->cache));
  return 1;
}

static int cache_close(lua_State *L) {
  bound_cache *bound = luaL_checkudata(L, 1, CACHE_TYPE);
  as_cache_del(bound->cache);
  bound->cache = NULL;
  return 0;
}

/* The stored bytes of the entry at index 2; false: there are none. */
static bool stored_of(lua_State *L, as_slice *out_stored) {
  as_cache *cache = check(L)->cache;
  lua_Number number = luaL_checknumber(L, 2);
  luaL_argcheck(L, number >= 1 && number < as_cache_seen(cache)->slots, 2, "no entry");
  const authstate_cache_entry *entry = as_cache_entry_of(cache, (uint32_t)number);
  *out_stored = as_cache_value(cache, (uint32_t)number);
  return entry != NULL && !entry->absent;
}

typedef as_status (*push_function)(lua_State *L, as_workspace *workspace, as_slice stored,
                                   size_t max_value_bytes, as_codec_error *error);

/* nil for one that is absent; or nil, message, code. */
static int push_stored(lua_State *L, push_function push) {
  as_slice stored;
  as_codec_error error;
  double max_bytes = luaL_checknumber(L, 3);
  luaL_argcheck(L, max_bytes >= 0 && max_bytes <= 9007199254740992.0, 3,
                "a number of bytes");
  if (!stored_of(L, &stored)) return 0;
  as_workspace *workspace = as_workspace_take(L);
  as_status status = push(L, workspace, stored, (size_t)max_bytes, &error);
  as_workspace_release(workspace);
  if (status == AS_OK) return 1;
  lua_pushnil(L);
  lua_pushstring(L, as_codec_error_text(&error, status));
  lua_pushstring(L, as_status_code(status));
  return 3;
}

static int cache_value(lua_State *L) {
  return push_stored(L, as_value_push);
}

static int cache_json(lua_State *L) {
  return push_stored(L, as_value_push_json);
}

static const luaL_Reg cache_methods[] = {
    {"address", cache_address},   {"value", cache_value}, {"json", cache_json},
    {"validate", cache_validate}, {"close", cache_close}, {NULL, NULL},
};

void as_binding_cache_open(lua_State *L) {
  as_binding_new_type(L, CACHE_TYPE, cache_methods, cache_close);
  lua_pushcfunction(L, cache_new);
  lua_setfield(L, -2, "cache");
}

/* ---- through FFI ------------------------------------------------------------------- */

/* What Lua sees of a thing is its beginning. */
static as_cache *whole(authstate_cache *cache) {
  return (as_cache *)(void *)cache;
}

static as_cache_key key_of(uint32_t session, uint32_t type, const char *id,
                           size_t length) {
  as_cache_key key = {session, type, as_slice_of(id, length)};
  return key;
}

AS_EXPORT uint32_t authstate_cache_find(authstate_cache *cache, uint32_t session,
                                        uint32_t type, const char *id, size_t length,
                                        double now_ms) {
  as_cache_key key = key_of(session, type, id, length);
  return as_cache_find(whole(cache), &key, now_ms);
}

AS_EXPORT uint32_t authstate_cache_hit(authstate_cache *cache, uint32_t session,
                                       uint32_t type, const char *id, size_t length,
                                       double now_ms) {
  as_cache_key key = key_of(session, type, id, length);
  return as_cache_hit(whole(cache), &key, now_ms);
}

AS_EXPORT uint32_t authstate_cache_peek(authstate_cache *cache, uint32_t session,
                                        uint32_t type, const char *id, size_t length) {
  as_cache_key key = key_of(session, type, id, length);
  return as_cache_peek(whole(cache), &key);
}

AS_EXPORT bool authstate_cache_has(authstate_cache *cache, uint32_t session,
                                   uint32_t type, const char *id, size_t length,
                                   double now_ms) {
  as_cache_key key = key_of(session, type, id, length);
  return as_cache_is_served(whole(cache), as_cache_peek(whole(cache), &key), now_ms);
}

AS_EXPORT bool authstate_cache_has_expired(authstate_cache *cache, uint32_t entry,
                                           double now_ms) {
  return as_cache_has_expired(whole(cache), entry, now_ms);
}

AS_EXPORT void authstate_cache_withhold(authstate_cache *cache, uint32_t entry) {
  as_cache_withhold(whole(cache), entry);
}

AS_EXPORT int32_t authstate_cache_insert(authstate_cache *cache, uint32_t session,
                                         uint32_t type, const char *id, size_t length,
                                         const char *value, size_t value_length) {
  as_cache_key key = key_of(session, type, id, length);
  uint32_t entry = 0;
  as_slice slice = as_slice_of(value, value_length);
  as_status status = as_cache_insert(whole(cache), &key, slice, &entry);
  return status == AS_OK ? (int32_t)entry : (int32_t)status;
}

AS_EXPORT int32_t authstate_cache_replace(authstate_cache *cache, uint32_t entry,
                                          const char *value, size_t value_length) {
  return as_cache_replace(whole(cache), entry, as_slice_of(value, value_length));
}

AS_EXPORT void authstate_cache_set_expiry(authstate_cache *cache, uint32_t entry,
                                          double expires_ms) {
  as_cache_set_expiry(whole(cache), entry, expires_ms);
}

AS_EXPORT int32_t authstate_cache_set_types(authstate_cache *cache, uint32_t count) {
  return as_cache_set_types(whole(cache), count);
}

AS_EXPORT void authstate_cache_delete(authstate_cache *cache, uint32_t entry) {
  as_cache_delete(whole(cache), entry);
}

AS_EXPORT void authstate_cache_release(authstate_cache *cache) {
  as_cache_release(whole(cache));
}

AS_EXPORT uint32_t authstate_cache_expired(authstate_cache *cache, double now_ms) {
  return as_cache_expired(whole(cache), now_ms);
}

AS_EXPORT uint32_t authstate_cache_first(authstate_cache *cache, uint32_t session,
                                         uint32_t type) {
  return as_cache_first(whole(cache), session, type);
}

AS_EXPORT const char *authstate_cache_id(authstate_cache *cache, uint32_t entry) {
  return (const char *)as_cache_id(whole(cache), entry).data;
}

AS_EXPORT uint32_t authstate_cache_id_length(authstate_cache *cache, uint32_t entry) {
  return (uint32_t)as_cache_id(whole(cache), entry).length;
}

AS_EXPORT const char *authstate_cache_value(authstate_cache *cache, uint32_t entry) {
  return (const char *)as_cache_value(whole(cache), entry).data;
}

AS_EXPORT uint32_t authstate_cache_value_length(authstate_cache *cache, uint32_t entry) {
  return (uint32_t)as_cache_value(whole(cache), entry).length;
}

AS_EXPORT double authstate_cache_used_bytes(authstate_cache *cache) {
  return as_cache_used_bytes(whole(cache));
}

AS_EXPORT uint32_t authstate_cache_places(authstate_cache *cache, uint32_t entry) {
  return as_cache_places(whole(cache), entry);
}

AS_EXPORT void authstate_cache_retire(authstate_cache *cache) {
  as_cache_retire(whole(cache));
}

/* ---- structures -------------------------------------------------------------------- */

static as_cache_queue *queue_of(authstate_cache_queue *seen) {
  return (as_cache_queue *)(void *)seen;
}

static as_cache_heap *heap_of(authstate_cache_heap *seen) {
  return (as_cache_heap *)(void *)seen;
}

static as_cache_ghost *ghost_of(authstate_cache_ghost *seen) {
  return (as_cache_ghost *)(void *)seen;
}

static as_cache_sketch *sketch_of(authstate_cache_sketch *seen) {
  return (as_cache_sketch *)(void *)seen;
}

AS_EXPORT authstate_cache_queue *authstate_cache_new_queue(authstate_cache *cache) {
  as_cache_structure *made = as_cache_new_structure(whole(cache), AS_CACHE_QUEUE, 0);
  return made ? &made->as.queue.seen : NULL;
}

AS_EXPORT authstate_cache_heap *authstate_cache_new_heap(authstate_cache *cache) {
  as_cache_structure *made = as_cache_new_structure(whole(cache), AS_CACHE_HEAP, 0);
  return made ? &made->as.heap.seen : NULL;
}

AS_EXPORT authstate_cache_ghost *authstate_cache_new_ghost(authstate_cache *cache) {
  as_cache_structure *made = as_cache_new_structure(whole(cache), AS_CACHE_GHOST, 0);
  return made ? &made->as.ghost.seen : NULL;
}

AS_EXPORT authstate_cache_sketch *authstate_cache_new_sketch(authstate_cache *cache,
                                                             uint32_t sample) {
  as_cache_structure *made =
      as_cache_new_structure(whole(cache), AS_CACHE_SKETCH, sample);
  return made ? &made->as.sketch.seen : NULL;
}

AS_EXPORT int32_t authstate_cache_queue_push(authstate_cache_queue *queue,
                                             uint32_t entry) {
  return as_cache_queue_push(queue_of(queue), entry);
}

AS_EXPORT void authstate_cache_queue_touch(authstate_cache_queue *queue, uint32_t entry) {
  as_cache_queue_touch(queue_of(queue), entry);
}

AS_EXPORT void authstate_cache_queue_remove(authstate_cache_queue *queue,
                                            uint32_t entry) {
  as_cache_queue_remove(queue_of(queue), entry);
}

AS_EXPORT bool authstate_cache_queue_has(authstate_cache_queue *queue, uint32_t entry) {
  return as_cache_queue_has(queue_of(queue), entry);
}

AS_EXPORT uint32_t authstate_cache_queue_newer(authstate_cache_queue *queue,
                                               uint32_t entry) {
  return as_cache_queue_newer(queue_of(queue), entry);
}

AS_EXPORT uint32_t authstate_cache_queue_older(authstate_cache_queue *queue,
                                               uint32_t entry) {
  return as_cache_queue_older(queue_of(queue), entry);
}

AS_EXPORT void authstate_cache_heap_put(authstate_cache_heap *heap, uint32_t entry,
                                        double rank) {
  as_cache_heap_put(heap_of(heap), entry, rank);
}

AS_EXPORT void authstate_cache_heap_remove(authstate_cache_heap *heap, uint32_t entry) {
  as_cache_heap_remove(heap_of(heap), entry);
}

AS_EXPORT bool authstate_cache_heap_has(authstate_cache_heap *heap, uint32_t entry) {
  return as_cache_heap_has(heap_of(heap), entry);
}

AS_EXPORT void authstate_cache_ghost_add(authstate_cache_ghost *ghost, uint32_t entry) {
  as_cache_ghost_add(ghost_of(ghost), entry);
}

AS_EXPORT bool authstate_cache_ghost_has(authstate_cache_ghost *ghost, uint32_t entry) {
  return as_cache_ghost_has(ghost_of(ghost), entry);
}

AS_EXPORT void authstate_cache_ghost_remove(authstate_cache_ghost *ghost,
                                            uint32_t entry) {
  as_cache_ghost_remove(ghost_of(ghost), entry);
}

AS_EXPORT void authstate_cache_sketch_add(authstate_cache_sketch *sketch,
                                          uint32_t entry) {
  as_cache_sketch_add(sketch_of(sketch), entry);
}

AS_EXPORT uint32_t authstate_cache_sketch_count(authstate_cache_sketch *sketch,
                                                uint32_t entry) {
  return as_cache_sketch_count(sketch_of(sketch), entry);
}
