/* SPDX-License-Identifier: MIT */
#include "cache/queue.h"

#include <string.h>

void as_cache_queue_init(as_cache_queue *queue, const as_cache_slab *slab,
                         uint8_t number) {
  memset(queue, 0, sizeof *queue);
  queue->slab = slab;
  queue->number = number;
}

/* The link of an entry in the slab is nobody's. */
static void disown(const as_cache_queue *queue, uint32_t entry) {
  as_cache_slab_at(queue->slab, entry)->state &= AS_CACHE_WITHHELD;
}

void as_cache_queue_free(as_cache_queue *queue) {
  for (uint32_t entry = queue->seen.oldest; entry != 0;) {
    uint32_t newer = as_cache_queue_link(queue, entry)->newer;
    if (as_cache_queue_owns(queue, entry)) disown(queue, entry);
    entry = newer;
  }
  as_mem_free(queue->slab->mem, queue->links, queue->capacity * sizeof *queue->links);
  as_cache_queue_init(queue, queue->slab, queue->number);
}

/* Room for links of its own. */
static as_status reserve(as_cache_queue *queue, uint32_t capacity) {
  size_t old_size = queue->capacity * sizeof *queue->links;
  size_t new_size = capacity * sizeof *queue->links;
  if (capacity <= queue->capacity) return AS_OK;
  as_cache_link *links =
      as_mem_resize(queue->slab->mem, queue->links, old_size, new_size);
  if (links == NULL) return AS_ERR_OOM;
  for (uint32_t i = queue->capacity; i < capacity; i++)
    links[i] = (as_cache_link){AS_CACHE_UNLINKED, 0};
  queue->links = links;
  queue->capacity = capacity;
  return AS_OK;
}

static void link(as_cache_queue *queue, uint32_t entry) {
  *as_cache_queue_link(queue, entry) = (as_cache_link){queue->seen.newest, 0};
  if (queue->seen.newest != 0)
    as_cache_queue_link(queue, queue->seen.newest)->newer = entry;
  else
    queue->seen.oldest = entry;
  queue->seen.newest = entry;
}

static void unlink(as_cache_queue *queue, uint32_t entry) {
  as_cache_link gone = *as_cache_queue_link(queue, entry);
  if (gone.older != 0)
    as_cache_queue_link(queue, gone.older)->newer = gone.newer;
  else
    queue->seen.oldest = gone.newer;
  if (gone.newer != 0)
    as_cache_queue_link(queue, gone.newer)->older = gone.older;
  else
    queue->seen.newest = gone.older;
}

as_status as_cache_queue_push(as_cache_queue *queue, uint32_t entry) {
  if (as_cache_queue_has(queue, entry)) {
    as_cache_queue_touch(queue, entry);
    return AS_OK;
  }
  if (!as_cache_slab_has(queue->slab, entry)) return AS_OK;
  as_cache_entry *pushed = as_cache_slab_at(queue->slab, entry);
  if ((pushed->state & ~AS_CACHE_WITHHELD) == 0)
    pushed->state |= queue->number;
  else
    AS_TRY(reserve(queue, queue->slab->slots));
  link(queue, entry);
  queue->seen.count++;
  queue->seen.bytes += pushed->size_bytes;
  return AS_OK;
}

void as_cache_queue_remove(as_cache_queue *queue, uint32_t entry) {
  if (!as_cache_queue_has(queue, entry)) return;
  unlink(queue, entry);
  if (as_cache_queue_owns(queue, entry))
    disown(queue, entry);
  else
    queue->links[entry].older = AS_CACHE_UNLINKED;
  queue->seen.count--;
  queue->seen.bytes -= as_cache_slab_at(queue->slab, entry)->size_bytes;
}

void as_cache_queue_touch(as_cache_queue *queue, uint32_t entry) {
  if (entry == queue->seen.newest || !as_cache_queue_has(queue, entry)) return;
  unlink(queue, entry);
  link(queue, entry);
}

void as_cache_queue_resize(as_cache_queue *queue, uint32_t entry, double more_bytes) {
  if (as_cache_queue_has(queue, entry)) queue->seen.bytes += more_bytes;
}

bool as_cache_queue_validate(const as_cache_queue *queue) {
  uint32_t count = 0;
  uint32_t before = 0;
  double bytes = 0;
  for (uint32_t entry = queue->seen.oldest; entry != 0;) {
    if (!as_cache_queue_has(queue, entry)) return false;
    const as_cache_link *at = as_cache_queue_link(queue, entry);
    if (at->older != before || ++count > queue->seen.count) return false;
    before = entry;
    bytes += as_cache_slab_at(queue->slab, entry)->size_bytes;
    entry = at->newer;
  }
  uint32_t held = 0;
  for (uint32_t entry = 1; entry < queue->slab->slots; entry++)
    held += as_cache_queue_has(queue, entry);
  return bytes == queue->seen.bytes && before == queue->seen.newest &&
         count == queue->seen.count && count == held;
}
