/* SPDX-License-Identifier: MIT */
/* What Lua sees of a cache through LuaJIT's FFI: structs that a policy reads, and whose
 * functions are in binding/cache.h. The text between the parentheses is compiled here and
 * is core.cache_structs, so there is one source. Each struct is the beginning of
 * the one that the core has.
 *
 * Numbers are doubles, floats or of 32 bits and less: a uint64_t arrives in Lua as cdata.
 * Of an entry a script may write `mark` and `rank`, which are its own; all else it only
 * reads. */
#ifndef AS_CACHE_VISIBLE_H
#define AS_CACHE_VISIBLE_H

#include <stdbool.h>
#include <stdint.h>

#define AS_CACHE_DECLARE(...) __VA_ARGS__

/* authstate_cache_entry: a stored value, or that there is none (`absent`), in 56 bytes,
 * its id and value behind it.
 *   size_bytes    what it counts as: all of it, its share of the tables included; 0: no
 *                 entry
 *   hits          reads that it served, the one that brought it included
 *   preloaded     brought beside another one, and not read since
 *   last_used_..., inserted_...  48 bits of milliseconds, which structures.lua puts
 *                 together: last_used_ms, inserted_ms
 * and the cache's own:
 *   state         AS_CACHE_WITHHELD, and the number of the queue whose link it has
 *   expires       see cache.c
 *   before, behind  its neighbours in its group
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
    float cost;                                                                          \
    uint32_t inserted_low;                                                               \
    uint16_t inserted_high;                                                              \
    uint16_t last_used_high;                                                             \
    uint32_t last_used_low;                                                              \
    uint32_t before;                                                                     \
    uint32_t behind;                                                                     \
    uint32_t expires;                                                                    \
    uint32_t size_bytes;                                                                 \
    uint32_t hits;                                                                       \
    uint32_t session;                                                                    \
    uint16_t type;                                                                       \
    uint16_t id_length;                                                                  \
    uint8_t mark;                                                                        \
    bool preloaded;                                                                      \
    bool absent;                                                                         \
    uint8_t state;                                                                       \
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
