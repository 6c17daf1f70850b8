/* SPDX-License-Identifier: MIT */
/* What Lua sees of a cache through LuaJIT's FFI: structs that a policy reads, and whose
 * functions are in binding/cache.h. The text between the parentheses is compiled here and
 * is core.cache_structs, so there is one source. Each struct is the beginning of
 * the one that the core has.
 *
 * Numbers are doubles or 32 bits: a uint64_t arrives in Lua as cdata. Of an entry a
 * script may write `mark` and `rank`, which are its own; all else it only reads. */
#ifndef AS_CACHE_VISIBLE_H
#define AS_CACHE_VISIBLE_H

#include <stdbool.h>
#include <stdint.h>

#define AS_CACHE_DECLARE(...) __VA_ARGS__

/* authstate_cache_entry: a stored value, or that there is none (`absent`).
 *   size_bytes    what it counts as: its block and its share of the tables; 0: no entry
 *   hits          reads that it served, the one that brought it included
 *   preloaded     brought beside another one, and not read since
 *   expires_ms    from then on it is not served; HUGE_VAL: never
 *   withheld      not served until it has another value
 *   value         value_length bytes, valid until it is replaced or deleted
 *
 * authstate_cache_type: counters of a type.
 *
 * authstate_cache: entries[e] is entry e for e below `slots`; one with size_bytes 0 where
 * there is none. used_bytes is what the bound is on.
 *
 * authstate_cache_queue: oldest and newest entry, 0 when empty.
 *
 * authstate_cache_heap: nodes[1] is the one of the smallest rank, while count > 0; of
 * equal ranks the one put in first.
 *
 * authstate_cache_sketch: what was added, halved with the counts. A use that follows one
 * of the same entry within `apart` uses for each entry does not count; 0, at first: all
 * do. A script may write it. */
/* clang-format off */
#define AS_CACHE_STRUCTS(X) X(                                                           \
  typedef struct authstate_cache_entry {                                                 \
    double rank;                                                                         \
    double cost;                                                                         \
    double last_used_ms;                                                                 \
    double inserted_ms;                                                                  \
    double expires_ms;                                                                   \
    const uint8_t *value;                                                                \
    uint32_t value_length;                                                               \
    uint32_t size_bytes;                                                                 \
    uint32_t hits;                                                                       \
    uint32_t session;                                                                    \
    uint32_t type;                                                                       \
    uint8_t mark;                                                                        \
    bool preloaded;                                                                      \
    bool absent;                                                                         \
    bool withheld;                                                                       \
  } authstate_cache_entry;                                                               \
  typedef struct authstate_cache_type {                                                  \
    double hits;                                                                         \
    double misses;                                                                       \
    double bytes;                                                                        \
    double count;                                                                        \
  } authstate_cache_type;                                                                \
  typedef struct authstate_cache {                                                       \
    authstate_cache_entry **entries;                                                     \
    authstate_cache_type *types;                                                         \
    double capacity_bytes;                                                               \
    double used_bytes;                                                                   \
    double now_ms;                                                                       \
    double next_expiry_ms;                                                               \
    uint32_t slots;                                                                      \
    uint32_t count;                                                                      \
    uint32_t type_count;                                                                 \
  } authstate_cache;                                                                     \
  typedef struct authstate_cache_queue {                                                 \
    double bytes;                                                                        \
    uint32_t oldest;                                                                     \
    uint32_t newest;                                                                     \
    uint32_t count;                                                                      \
  } authstate_cache_queue;                                                               \
  typedef struct authstate_cache_node {                                                  \
    double rank;                                                                         \
    double turn;                                                                         \
    uint32_t entry;                                                                      \
  } authstate_cache_node;                                                                \
  typedef struct authstate_cache_heap {                                                  \
    authstate_cache_node *nodes;                                                         \
    uint32_t count;                                                                      \
  } authstate_cache_heap;                                                                \
  typedef struct authstate_cache_ghost {                                                 \
    uint32_t count;                                                                      \
  } authstate_cache_ghost;                                                               \
  typedef struct authstate_cache_sketch {                                                \
    double uses;                                                                         \
    uint32_t apart;                                                                      \
  } authstate_cache_sketch;                                                              \
)
/* clang-format on */

AS_CACHE_STRUCTS(AS_CACHE_DECLARE)

#endif
