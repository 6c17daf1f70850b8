/* SPDX-License-Identifier: MIT */
/* One pass over the parser's events adds a node for each value. The first event that
 * shows JSON.stringify did not write the text ends the pass: the rest is only checked. */
#include "codec/json_tree.h"

#include "codec/base64.h"
#include "codec/byte_list.h"
#include "codec/byte_map.h"
#include "codec/number.h"

static const char BUFFER_BEGIN[] = "{\"type\":\"Buffer\",\"data\":";

/* A Buffer with a list is an array in an object. */
enum { LIST_LEVELS = 2 };

enum { NAME_WORDS = AS_NAMES_MAX / 64 };

typedef struct json_level {
  uint32_t node;
  uint32_t count;             /* entries so far */
  uint64_t group;             /* of names that are not known, 0: none yet */
  uint64_t names[NAME_WORDS]; /* a bit for each well-known name seen */
} json_level;

/* A member's name on its way to the node of its value. */
typedef struct pending_key {
  as_slice text;
  int name;
  bool has_surrogate;
} pending_key;

typedef struct json_job {
  as_json_tree_reader *owner;
  as_json_reader reader;
  as_tree *tree;
  pending_key key;
  bool is_exact;
  int depth;
  json_level levels[AS_CODEC_MAX_LEVELS];
} json_job;

void as_json_tree_reader_init(as_json_tree_reader *reader, as_mem *mem) {
  as_names_index_init(&reader->names);
  as_key_set_init(&reader->keys, mem);
}

void as_json_tree_reader_free(as_json_tree_reader *reader) {
  as_key_set_free(&reader->keys);
}

/* ---- nodes ------------------------------------------------------------------------- */

/* A node for the value that comes next, with its name; NULL: out of memory. */
static as_tree_node *add_value(json_job *job, as_tree_kind kind) {
  as_tree_node *node = as_tree_add(job->tree, kind);
  if (node == NULL || job->depth == 0) return node;
  json_level *level = &job->levels[job->depth - 1];
  if (as_tree_at(job->tree, level->node)->kind != AS_TREE_OBJECT) {
    level->count++;
    return node;
  }
  node->name = job->key.name;
  node->key = job->key.text;
  node->key_has_surrogate = job->key.has_surrogate;
  return node;
}

static as_status add_word(json_job *job, as_tree_kind kind) {
  return add_value(job, kind) != NULL ? AS_OK : AS_ERR_OOM;
}

/* The text of a string or key: in place where it has no escapes. */
static as_status decode_text(json_job *job, const as_json_event *event,
                             as_slice *out_text) {
  *out_text = event->text;
  job->is_exact &= event->is_canonical;
  if (event->decoded_length == event->text.length) return AS_OK;
  uint8_t *text = as_arena_take(&job->tree->arena, event->decoded_length);
  if (text == NULL) return AS_ERR_OOM;
  as_json_string_decode(event, text);
  *out_text = as_slice_of(text, event->decoded_length);
  return AS_OK;
}

static as_status add_string(json_job *job, const as_json_event *event) {
  as_tree_node *node = add_value(job, AS_TREE_STRING);
  if (node == NULL) return AS_ERR_OOM;
  node->has_surrogate = event->has_surrogate;
  return decode_text(job, event, &node->text);
}

static as_status add_number(json_job *job, const as_json_event *event) {
  as_tree_node *node = add_value(job, AS_TREE_NUMBER);
  if (node == NULL) return AS_ERR_OOM;
  node->number = as_number_parse(event->text);
  job->is_exact &= as_number_is_canonical(event->text, node->number);
  return AS_OK;
}

static as_status add_unknown_name(json_job *job, json_level *level, as_slice text) {
  bool is_new;
  if (level->group == 0) level->group = as_key_set_new_group(&job->owner->keys);
  AS_TRY(as_key_set_add(&job->owner->keys, level->group, text, &is_new));
  job->is_exact &= is_new;
  return AS_OK;
}

static as_status take_key(json_job *job, const as_json_event *event) {
  json_level *level = &job->levels[job->depth - 1];
  pending_key *key = &job->key;
  level->count++;
  key->has_surrogate = event->has_surrogate;
  AS_TRY(decode_text(job, event, &key->text));
  key->name = as_names_find(&job->owner->names, key->text);
  if (key->name == AS_NAME_OTHER) return add_unknown_name(job, level, event->text);
  uint64_t *word = &level->names[key->name / 64];
  uint64_t bit = UINT64_C(1) << key->name % 64;
  job->is_exact &= (*word & bit) == 0;
  *word |= bit;
  return AS_OK;
}

/* ---- byte strings ------------------------------------------------------------------ */

/* Reads `data` of a Buffer, "AQI="} at `at`. NULL: another form. */
static const uint8_t *read_base64(json_job *job, const uint8_t *at, const uint8_t *end,
                                  as_slice *out_bytes, as_status *out_status) {
  const uint8_t *quote = memchr(at, '"', (size_t)(end - at));
  if (quote == NULL || end - quote < 2 || quote[1] != '}') return NULL;
  as_slice text = as_slice_of(at, (size_t)(quote - at));
  size_t length = as_base64_decoded_length(text);
  uint8_t *bytes = as_arena_take(&job->tree->arena, length);
  if (bytes == NULL) {
    *out_status = AS_ERR_OOM;
    return NULL;
  }
  if (!as_base64_decode(text, bytes)) {
    as_arena_give_back(&job->tree->arena, bytes);
    return NULL;
  }
  *out_bytes = as_slice_of(bytes, length);
  return quote + 2;
}

/* Reads [1,2]} at `at`, behind the bracket. NULL: another form. */
static const uint8_t *read_byte_list(json_job *job, const uint8_t *at, const uint8_t *end,
                                     as_slice *out_bytes, as_status *out_status) {
  const uint8_t *bracket = memchr(at, ']', (size_t)(end - at));
  if (bracket == NULL || end - bracket < 2 || bracket[1] != '}') return NULL;
  uint8_t *bytes = as_arena_take(&job->tree->arena, as_byte_list_room(at, bracket));
  if (bytes == NULL) {
    *out_status = AS_ERR_OOM;
    return NULL;
  }
  size_t count;
  if (!as_byte_list_read(at, bracket, bytes, &count)) {
    as_arena_give_back(&job->tree->arena, bytes);
    return NULL;
  }
  *out_bytes = as_slice_of(bytes, count);
  return bracket + 2;
}

/* Takes a Buffer, whose '{' was just read at `start`. */
static as_status take_buffer(json_job *job, size_t start, bool *out_is_taken) {
  as_slice text = job->reader.text;
  const uint8_t *at = text.data + start + sizeof BUFFER_BEGIN - 1;
  const uint8_t *end = text.data + text.length;
  as_slice bytes;
  as_status status = AS_OK;
  *out_is_taken = false;
  if (text.length - start < sizeof BUFFER_BEGIN ||
      memcmp(text.data + start, BUFFER_BEGIN, sizeof BUFFER_BEGIN - 1) != 0) {
    return AS_OK;
  }
  bool is_base64 = *at == '"';
  if (!is_base64 && (*at != '[' || job->depth + LIST_LEVELS > AS_CODEC_MAX_LEVELS)) {
    return AS_OK;
  }
  const uint8_t *behind = is_base64 ? read_base64(job, at + 1, end, &bytes, &status)
                                    : read_byte_list(job, at + 1, end, &bytes, &status);
  if (behind == NULL) return status;
  as_tree_node *node = add_value(job, AS_TREE_BYTES);
  if (node == NULL) return AS_ERR_OOM;
  node->text = bytes;
  node->form = is_base64 ? AS_BYTE_FORM_BASE64 : AS_BYTE_FORM_ARRAY;
  as_json_leave(&job->reader, (size_t)(behind - text.data));
  *out_is_taken = true;
  return AS_OK;
}

/* Whether a member's name is the index i. */
static bool is_index(as_slice key, size_t i) {
  size_t number = 0;
  bool has_zero = key.length > 1 && key.data[0] == '0';
  if (key.length == 0 || key.length > 9 || has_zero) return false;
  for (size_t at = 0; at < key.length; at++) {
    if (key.data[at] < '0' || key.data[at] > '9') return false;
    number = number * 10 + (size_t)(key.data[at] - '0');
  }
  return number == i;
}

static bool is_byte(const as_tree_node *node) {
  return node->kind == AS_TREE_NUMBER && node->number >= 0 && node->number <= UINT8_MAX &&
         node->number == (double)(uint8_t)node->number;
}

/* Turns {"0":1,"1":2} under a name that holds bytes into a byte string. */
static as_status take_byte_object(json_job *job, const json_level *level) {
  as_tree *tree = job->tree;
  size_t count = level->count;
  if (!as_names_is_bytes(as_tree_at(tree, level->node)->name) || count == 0 ||
      count > AS_BYTE_MAP_MAX_INDEXED || as_tree_count(tree) - level->node - 1 != count) {
    return AS_OK;
  }
  for (size_t i = 0; i < count; i++) {
    const as_tree_node *member = as_tree_at(tree, level->node + 1 + (uint32_t)i);
    if (!is_byte(member) || !is_index(member->key, i)) return AS_OK;
  }
  uint8_t *bytes = as_arena_take(&tree->arena, count);
  if (bytes == NULL) return AS_ERR_OOM;
  for (size_t i = 0; i < count; i++) {
    bytes[i] = (uint8_t)as_tree_at(tree, level->node + 1 + (uint32_t)i)->number;
  }
  as_tree_cut(tree, level->node + 1);
  as_tree_node *node = as_tree_at(tree, level->node);
  node->kind = AS_TREE_BYTES;
  node->form = AS_BYTE_FORM_OBJECT;
  node->text = as_slice_of(bytes, count);
  return AS_OK;
}

/* ---- containers -------------------------------------------------------------------- */

static as_status open_level(json_job *job, as_tree_kind kind) {
  as_tree_node *node = add_value(job, kind);
  if (node == NULL) return AS_ERR_OOM;
  json_level *level = &job->levels[job->depth++];
  level->node = as_tree_count(job->tree) - 1;
  level->count = 0;
  level->group = 0;
  memset(level->names, 0, sizeof level->names);
  return AS_OK;
}

static as_status close_level(json_job *job) {
  json_level *level = &job->levels[--job->depth];
  as_tree_node *node = as_tree_at(job->tree, level->node);
  node->inside.count = level->count;
  node->inside.end = as_tree_count(job->tree);
  return node->kind == AS_TREE_OBJECT ? take_byte_object(job, level) : AS_OK;
}

static as_status take_object(json_job *job, size_t start) {
  bool is_taken;
  AS_TRY(take_buffer(job, start, &is_taken));
  return is_taken ? AS_OK : open_level(job, AS_TREE_OBJECT);
}

static as_status take_event(json_job *job, const as_json_event *event) {
  switch (event->kind) {
    case AS_JSON_NULL:
      return add_word(job, AS_TREE_NULL);
    case AS_JSON_FALSE:
      return add_word(job, AS_TREE_FALSE);
    case AS_JSON_TRUE:
      return add_word(job, AS_TREE_TRUE);
    case AS_JSON_NUMBER:
      return add_number(job, event);
    case AS_JSON_STRING:
      return add_string(job, event);
    case AS_JSON_KEY:
      return take_key(job, event);
    case AS_JSON_ARRAY:
      return open_level(job, AS_TREE_ARRAY);
    case AS_JSON_OBJECT:
      return take_object(job, event->offset);
    case AS_JSON_ARRAY_END:
    case AS_JSON_OBJECT_END:
      return close_level(job);
    case AS_JSON_END:
      break;
  }
  return AS_OK;
}

static as_status take_text(json_job *job) {
  as_json_event event;
  do {
    AS_TRY(as_json_next(&job->reader, &event));
    AS_TRY(take_event(job, &event));
    job->is_exact &= !job->reader.has_space;
    if (!job->is_exact) return as_json_skip_rest(&job->reader);
  } while (event.kind != AS_JSON_END);
  return AS_OK;
}

as_status as_json_tree_read(as_json_tree_reader *reader, as_slice json, as_tree *tree,
                            bool *out_is_exact, as_codec_error *error) {
  json_job job;
  uint32_t start = as_tree_count(tree);
  job.owner = reader;
  job.tree = tree;
  job.is_exact = true;
  job.depth = 0;
  as_key_set_clear(&reader->keys);
  as_json_reader_init(&job.reader, json);
  as_status status = take_text(&job);
  *out_is_exact = job.is_exact;
  if (status != AS_OK || !job.is_exact) as_tree_cut(tree, start);
  if (status == AS_ERR_CORRUPT && error != NULL) return as_json_fail(&job.reader, error);
  return status;
}
