/* SPDX-License-Identifier: MIT */
/* as_cache keeps stored values near: entries by (session, type, id), counters, the order
 * in which they expire, and what a policy orders them with. It has no policy: whoever
 * uses it decides what to delete so that used_bytes comes below capacity_bytes again.
 *
 * used_bytes is all that the cache has allocated, tables included; with `unit_bytes` each
 * entry counts as so many instead, which serves to compare policies.
 *
 * Entries are named by number, 1 or more. A number that names no entry is harmless. */
#ifndef AS_CACHE_CACHE_H
#define AS_CACHE_CACHE_H

#include "cache/groups.h"
#include "cache/structure.h"

/* So many a policy may have. */
enum { AS_CACHE_MAX_STRUCTURES = 16 };

enum { AS_CACHE_MAX_TYPES = 65536 };

typedef struct as_cache_config {
  double capacity_bytes;
  uint32_t unit_bytes; /* 0: entries count as what they take */
  uint64_t seed;       /* secret, see key.h */
} as_cache_config;

typedef struct as_cache as_cache;

/* A cache whose memory comes from `mem`, which nobody else uses. AS_ERR_OOM. */
AS_MUST_USE as_status as_cache_new(as_mem *mem, const as_cache_config *config,
                                   as_cache **out_cache);

/* Frees it with all entries and structures. NULL is accepted. */
void as_cache_del(as_cache *cache);

/* Its beginning, which Lua sees. */
authstate_cache *as_cache_seen(as_cache *cache);

/* used_bytes to the byte: what Lua sees lags behind where a ghost or a sketch grows. */
double as_cache_used_bytes(as_cache *cache);

/* Makes the types below `count` countable, as the first entry of one does too.
 * AS_ERR_OOM, AS_ERR_TOO_LARGE: unchanged. */
AS_MUST_USE as_status as_cache_set_types(as_cache *cache, uint32_t count);

/* ---- entries ----------------------------------------------------------------------- */

/* The entry of a key, 0 when there is none. */
uint32_t as_cache_peek(const as_cache *cache, const as_cache_key *key);

/* The same for a reader at `now_ms`: there is none where one has expired or is withheld.
 * What is found counts as a hit, of its type and its own, was last used now, and now_ms
 * becomes the time that is seen. */
uint32_t as_cache_hit(as_cache *cache, const as_cache_key *key, double now_ms);

/* The same; what is not found counts as a miss. */
uint32_t as_cache_find(as_cache *cache, const as_cache_key *key, double now_ms);

/* Adds an entry for a key that has none, with the time in now_ms. AS_ERR_OOM,
 * AS_ERR_TOO_LARGE (the cache could not hold it alone): there is no entry. */
AS_MUST_USE as_status as_cache_insert(as_cache *cache, const as_cache_key *key,
                                      as_slice value, uint32_t *out_number);

/* Gives an entry another value, which is served. AS_ERR_OOM, AS_ERR_TOO_LARGE: it has the
 * old one. */
AS_MUST_USE as_status as_cache_replace(as_cache *cache, uint32_t number, as_slice value);

/* When an entry is to expire, a number; HUGE_VAL, as at first: never. More than 24 days
 * from now_ms on is no more than that. */
void as_cache_set_expiry(as_cache *cache, uint32_t number, double expires_ms);

/* Deletes an entry, out of all structures too, in which a policy may have left it. */
void as_cache_delete(as_cache *cache, uint32_t number);

/* Gives back all tables while there is no entry, so that a lower bound can be kept; what
 * ghosts and sketches know goes too. No effect while there are entries. */
void as_cache_release(as_cache *cache);

/* The entry that expires first if it has expired by `now_ms`, else 0. */
uint32_t as_cache_expired(const as_cache *cache, double now_ms);

/* An entry of a session and type, 0: there is none. */
uint32_t as_cache_first(const as_cache *cache, uint32_t session, uint32_t type);

/* The id and the value of an entry, valid until it is replaced or deleted; empty when
 * there is none. */
as_slice as_cache_id(const as_cache *cache, uint32_t number);
as_slice as_cache_value(const as_cache *cache, uint32_t number);

bool as_cache_has(const as_cache *cache, uint32_t number);

/* Its struct, NULL when there is none. */
const authstate_cache_entry *as_cache_entry_of(const as_cache *cache, uint32_t number);

/* Whether a reader at `now_ms` would get it; whether it has expired by then. */
bool as_cache_is_served(const as_cache *cache, uint32_t number, double now_ms);
bool as_cache_has_expired(const as_cache *cache, uint32_t number, double now_ms);

/* It is not served until it has another value. */
void as_cache_withhold(as_cache *cache, uint32_t number);

/* ---- what a policy orders them with ------------------------------------------------ */

/* A new one, owned by the cache; NULL without memory and beyond
 * AS_CACHE_MAX_STRUCTURES. `sample`: of a sketch, see sketch.h */
as_cache_structure *as_cache_new_structure(as_cache *cache, as_cache_kind kind,
                                           uint32_t sample);

/* Retires all of them, for another policy. */
void as_cache_retire(as_cache *cache);

/* In how many queues and heaps an entry stands. */
uint32_t as_cache_places(const as_cache *cache, uint32_t number);

/* Whether all that is told several times is told alike, and counted memory is what is
 * allocated. */
bool as_cache_validate(const as_cache *cache);

#endif
