/* SPDX-License-Identifier: MIT */
#include "engine/lane.h"

#include <assert.h>

/* A collection that once carried a large write does not keep more than this. */
enum { KEPT_BYTES = 64 * 1024 };

void as_lanes_init(as_lanes *lanes, as_mem *mem) {
  lanes->mem = mem;
  lanes->count = 0;
  as_list_init(&lanes->all);
  as_list_init(&lanes->free);
  as_list_init(&lanes->stopped);
  lanes->parked_bytes = 0;
  lanes->buckets = NULL;
  lanes->bucket_count = 0;
  lanes->quarantines = 0;
  lanes->losses = 0;
}

static void del_collection(as_mem *mem, as_collection *collection) {
  as_list_remove(&collection->node);
  as_buffer_free(&collection->fields);
  as_buffer_free(&collection->deletions);
  as_buffer_free(&collection->places);
  as_map_free(&collection->elements);
  as_mem_free(mem, collection, sizeof *collection);
}

static void del_hash(as_mem *mem, as_hash *hash) {
  if (hash->open != NULL) del_collection(mem, hash->open);
  as_list_remove(&hash->node);
  as_buffer_free(&hash->key);
  as_mem_free(mem, hash, sizeof *hash);
}

static void del_lane(as_lanes *lanes, as_lane *lane) {
  as_list_node *node;
  while ((node = as_list_first(&lane->hashes)) != NULL)
    del_hash(lanes->mem, AS_LIST_OWNER(node, as_hash, node));
  as_list_remove(&lane->node);
  as_list_remove(&lane->stopped_node);
  as_list_remove(&lane->bucket_node);
  if (lane->quarantine_ends_ms > 0) lanes->quarantines--;
  if (lane->has_lost_writes) lanes->losses--;
  as_buffer_free(&lane->meta_key);
  as_buffer_free(&lane->stop_reason);
  as_mem_free(lanes->mem, lane, sizeof *lane);
  lanes->count--;
}

void as_lanes_trim(as_lanes *lanes) {
  as_list_node *node;
  while ((node = as_list_first(&lanes->free)) != NULL)
    del_collection(lanes->mem, AS_LIST_OWNER(node, as_collection, node));
}

void as_lanes_free(as_lanes *lanes) {
  as_list_node *node;
  while ((node = as_list_first(&lanes->all)) != NULL)
    del_lane(lanes, AS_LIST_OWNER(node, as_lane, node));
  as_lanes_trim(lanes);
  as_mem_free(lanes->mem, lanes->buckets, lanes->bucket_count * sizeof *lanes->buckets);
  lanes->buckets = NULL;
  lanes->bucket_count = 0;
}

static as_list *bucket_of(const as_lanes *lanes, uint32_t code) {
  return &lanes->buckets[code & (lanes->bucket_count - 1)];
}

static as_lane *find_lane(const as_lanes *lanes, uint32_t code, as_slice meta_key) {
  if (lanes->bucket_count == 0) return NULL;
  const as_list *bucket = bucket_of(lanes, code);
  for (as_list_node *node = as_list_first(bucket); node != NULL;
       node = as_list_after(bucket, node)) {
    as_lane *lane = AS_LIST_OWNER(node, as_lane, bucket_node);
    if (as_slice_equals(as_buffer_slice(&lane->meta_key), meta_key)) return lane;
  }
  return NULL;
}

/* Twice as many buckets, when they are too few for the lanes. */
static as_status grow_buckets(as_lanes *lanes) {
  enum { FIRST_COUNT = 64, LANES_EACH = 2 };
  if (lanes->count < lanes->bucket_count * LANES_EACH) return AS_OK;
  size_t count = lanes->bucket_count ? lanes->bucket_count * 2 : FIRST_COUNT;
  as_list *buckets = as_mem_alloc(lanes->mem, count * sizeof *buckets);
  if (buckets == NULL) return AS_ERR_OOM;
  for (size_t i = 0; i < count; i++) as_list_init(&buckets[i]);
  for (as_list_node *node = as_list_first(&lanes->all); node != NULL;
       node = as_list_after(&lanes->all, node)) {
    as_lane *lane = AS_LIST_OWNER(node, as_lane, node);
    as_list_remove(&lane->bucket_node);
    if (lane->meta_key.length == 0) continue;
    as_list_push_back(&buckets[lane->code & (count - 1)], &lane->bucket_node);
  }
  as_mem_free(lanes->mem, lanes->buckets, lanes->bucket_count * sizeof *buckets);
  lanes->buckets = buckets;
  lanes->bucket_count = count;
  return AS_OK;
}

static as_status add_lane(as_lanes *lanes, uint32_t code, as_slice meta_key,
                          as_lane **out_lane) {
  as_lane *lane = as_mem_alloc_zero(lanes->mem, sizeof *lane);
  if (lane == NULL) return AS_ERR_OOM;
  as_list_init(&lane->hashes);
  as_list_init(&lane->node);
  as_list_init(&lane->bucket_node);
  as_list_init(&lane->stopped_node);
  as_list_init(&lane->parked);
  as_list_init(&lane->waiting);
  as_buffer_init(&lane->stop_reason, lanes->mem);
  as_buffer_init(&lane->meta_key, lanes->mem);
  lane->connection = AS_LANE_UNPLACED;
  lane->code = code;
  as_list_push_back(&lanes->all, &lane->node);
  lanes->count++;
  as_status status = as_buffer_append_slice(&lane->meta_key, meta_key);
  if (status == AS_OK && meta_key.length > 0) status = grow_buckets(lanes);
  if (status != AS_OK) {
    del_lane(lanes, lane);
    return status;
  }
  as_list_remove(&lane->bucket_node);
  if (meta_key.length > 0) as_list_push_back(bucket_of(lanes, code), &lane->bucket_node);
  *out_lane = lane;
  return AS_OK;
}

as_status as_lanes_open(as_lanes *lanes, as_slice meta_key, as_lane **out_lane) {
  uint32_t code = as_map_code(meta_key);
  as_lane *lane = meta_key.length > 0 ? find_lane(lanes, code, meta_key) : NULL;
  if (lane == NULL) AS_TRY(add_lane(lanes, code, meta_key, &lane));
  lane->holders++;
  *out_lane = lane;
  return AS_OK;
}

static void del_if_unused(as_lanes *lanes, as_lane *lane) {
  bool is_needed = lane->holders > 0 || lane->owed > 0 || lane->has_lost_writes ||
                   lane->quarantine_ends_ms > 0;
  if (!is_needed) del_lane(lanes, lane);
}

void as_lanes_close(as_lanes *lanes, as_lane *lane) {
  assert(lane->holders > 0);
  lane->holders--;
  del_if_unused(lanes, lane);
}

void as_lanes_lose_write(as_lanes *lanes, as_lane *lane) {
  if (!lane->has_lost_writes) lanes->losses++;
  lane->has_lost_writes = true;
}

void as_lanes_end_losses(as_lanes *lanes, uint32_t connection,
                         double quarantine_ends_ms) {
  if (lanes->losses == 0) return;
  as_list_node *next;
  for (as_list_node *node = as_list_first(&lanes->all); node != NULL; node = next) {
    next = as_list_after(&lanes->all, node);
    as_lane *lane = AS_LIST_OWNER(node, as_lane, node);
    if (!lane->has_lost_writes || lane->connection != connection) continue;
    lane->has_lost_writes = false;
    lanes->losses--;
    if (quarantine_ends_ms > 0) {
      if (lane->quarantine_ends_ms == 0) lanes->quarantines++;
      lane->quarantine_ends_ms = quarantine_ends_ms;
    }
    del_if_unused(lanes, lane);
  }
}

void as_lanes_end_quarantines(as_lanes *lanes, double now_ms) {
  if (lanes->quarantines == 0) return;
  as_list_node *next;
  for (as_list_node *node = as_list_first(&lanes->all); node != NULL; node = next) {
    next = as_list_after(&lanes->all, node);
    as_lane *lane = AS_LIST_OWNER(node, as_lane, node);
    if (lane->quarantine_ends_ms == 0 || lane->quarantine_ends_ms > now_ms) continue;
    lane->quarantine_ends_ms = 0;
    lanes->quarantines--;
    del_if_unused(lanes, lane);
  }
}

void as_lane_owe(as_lane *lane) {
  lane->owed++;
}

void as_lanes_settle(as_lanes *lanes, as_lane *lane) {
  assert(lane->owed > 0);
  lane->owed--;
  del_if_unused(lanes, lane);
}

static as_hash *find_hash(const as_lane *lane, as_slice key) {
  for (as_list_node *node = as_list_first(&lane->hashes); node != NULL;
       node = as_list_after(&lane->hashes, node)) {
    as_hash *hash = AS_LIST_OWNER(node, as_hash, node);
    if (as_slice_equals(as_buffer_slice(&hash->key), key)) return hash;
  }
  return NULL;
}

as_status as_lane_hash(as_lanes *lanes, as_lane *lane, as_slice key, as_hash **out_hash) {
  as_hash *hash = find_hash(lane, key);
  if (hash == NULL) {
    hash = as_mem_alloc_zero(lanes->mem, sizeof *hash);
    if (hash == NULL) return AS_ERR_OOM;
    as_list_init(&hash->node);
    as_buffer_init(&hash->key, lanes->mem);
    hash->lane = lane;
    as_status status = as_buffer_append_slice(&hash->key, key);
    if (status != AS_OK) {
      del_hash(lanes->mem, hash);
      return status;
    }
    as_list_push_back(&lane->hashes, &hash->node);
  }
  *out_hash = hash;
  return AS_OK;
}

static as_status add_collection(as_lanes *lanes) {
  as_collection *collection = as_mem_alloc_zero(lanes->mem, sizeof *collection);
  if (collection == NULL) return AS_ERR_OOM;
  as_list_init(&collection->node);
  as_buffer_init(&collection->fields, lanes->mem);
  as_buffer_init(&collection->deletions, lanes->mem);
  as_buffer_init(&collection->places, lanes->mem);
  as_map_init(&collection->elements, lanes->mem);
  as_list_push_front(&lanes->free, &collection->node);
  return AS_OK;
}

as_status as_lanes_collect(as_lanes *lanes, as_hash *hash, as_request *request,
                           as_collection **out_collection) {
  if (hash->open == NULL) {
    if (as_list_is_empty(&lanes->free)) AS_TRY(add_collection(lanes));
    hash->open = AS_LIST_OWNER(as_list_first(&lanes->free), as_collection, node);
    hash->open->hash = hash;
    as_list_remove(&hash->open->node);
    as_list_push_back(&request->collections, &hash->open->node);
  }
  *out_collection = hash->open;
  return AS_OK;
}

static void empty(as_buffer *buffer) {
  if (buffer->capacity > KEPT_BYTES) as_buffer_free(buffer);
  as_buffer_clear(buffer);
}

void as_lanes_forget(as_lanes *lanes, as_collection *collection) {
  as_list_remove(&collection->node);
  empty(&collection->fields);
  empty(&collection->deletions);
  empty(&collection->places);
  as_map_clear(&collection->elements);
  collection->field_count = 0;
  collection->deletion_count = 0;
  collection->hash->open = NULL;
  collection->hash = NULL;
  as_list_push_front(&lanes->free, &collection->node);
}
