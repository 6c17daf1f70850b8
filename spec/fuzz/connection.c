/* SPDX-License-Identifier: MIT */
/* Requests are sent on a greeted connection, and the input is what the server answers to
 * them: commands, joined reads and joined plain writes. However the bytes are cut, every
 * operation ends once, in the same way and with the same replies. The first byte chooses
 * the cuts, and whether the joined ones come first. */
#include "engine/engine.h"
#include "fuzz.h"

/* Numbers 0 to 4 are commands, then come reads and writes. */
enum { COMMANDS = 5, READS_END = 9, OPERATIONS = 12, DEADLINE_MS = 1000 };

static const char GREETING_REPLIES[] =
    ":7\r\n$74\r\n_\r\nredis_version:7.0.15\r\n"
    "run_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n$1\r\nx\r\n";

typedef struct run {
  as_engine *engine;
  as_lane *lane;
  double now_ms;
  uint32_t slots[OPERATIONS];
  as_buffer ends[OPERATIONS]; /* how each ended, in words to compare */
} run;

static bool is_atomic(int number) {
  return number == 1;
}

static bool is_script(int number) {
  return number == 2;
}

static uint32_t command_count(int number) {
  return is_atomic(number) || number == 3 ? 2 : 1;
}

static void submit_commands(run *run, int number) {
  EXPECT(as_engine_begin(run->engine, NULL, is_atomic(number), run->now_ms) == AS_OK);
  for (uint32_t i = 0; i < command_count(number); i++) {
    const char *name = is_script(number) ? "EVALSHA" : "GET";
    EXPECT(as_engine_command(run->engine, 2) == AS_OK);
    EXPECT(as_engine_argument(run->engine, as_slice_text(name)) == AS_OK);
    EXPECT(as_engine_argument(run->engine, as_slice_text("x")) == AS_OK);
  }
  EXPECT(as_engine_submit(run->engine, 0, run->now_ms, run->now_ms + DEADLINE_MS,
                          &run->slots[number]) == AS_OK);
}

static as_hash *hash_of(run *run, int number) {
  as_hash *hash = NULL;
  as_slice key = as_slice_text(number % 2 ? "k" : "l");
  EXPECT(as_engine_hash(run->engine, run->lane, key, &hash) == AS_OK);
  return hash;
}

/* Two or three fields each, some of them shared; some under a generation. */
static uint32_t field_count(int number) {
  return 2 + (uint32_t)number % 2;
}

static void submit_read(run *run, int number) {
  static const char *const NAMES[] = {"a", "b", "c", "a", "b", "c"};
  as_slice fields[3];
  for (uint32_t i = 0; i < field_count(number); i++)
    fields[i] = as_slice_text(NAMES[(uint32_t)number % 3 + i]);
  double generation = number % 3 == 0 ? -1 : 7;
  EXPECT(as_engine_read(run->engine, hash_of(run, number), fields, field_count(number),
                        generation, 0, run->now_ms, run->now_ms + DEADLINE_MS,
                        &run->slots[number]) == AS_OK);
}

static void submit_write(run *run, int number) {
  as_slice word = as_slice_text("x");
  as_hash *hash = hash_of(run, number);
  EXPECT(as_engine_begin_write(run->engine, run->lane, run->now_ms) == AS_OK);
  EXPECT(as_engine_set(run->engine, hash, word, word) == AS_OK);
  if (number == OPERATIONS - 1)
    EXPECT(as_engine_remove(run->engine, hash, word) == AS_OK);
  EXPECT(as_engine_submit(run->engine, 0, run->now_ms, run->now_ms + DEADLINE_MS,
                          &run->slots[number]) == AS_OK);
}

static void submit(run *run, int first, int end) {
  for (int number = first; number < end; number++) {
    if (number < COMMANDS)
      submit_commands(run, number);
    else if (number < READS_END)
      submit_read(run, number);
    else
      submit_write(run, number);
  }
}

static uint32_t reply_count(int number) {
  if (number < COMMANDS) return command_count(number);
  return number < READS_END ? field_count(number) : 0;
}

static void feed(run *run, as_slice bytes) {
  uint8_t *exact = fuzz_copy(bytes);
  as_engine_on_bytes(run->engine, 0, as_slice_of(exact, bytes.length), run->now_ms);
  free(exact);
  EXPECT(as_engine_validate(run->engine));
}

static void write_all(run *run) {
  as_slice bytes = as_engine_next_write(run->engine, 0);
  as_engine_on_written(run->engine, 0, bytes.length, run->now_ms);
  EXPECT(as_engine_validate(run->engine));
}

static void note_replies(as_buffer *end, const as_completion *completion) {
  const as_replies *replies = completion->replies;
  size_t last = completion->first_reply;
  char text[64];
  int length = snprintf(text, sizeof text, "%.0f", completion->number);
  EXPECT(as_buffer_append(end, text, (size_t)length) == AS_OK);
  for (uint32_t i = 0; i < completion->reply_count; i++)
    last = as_replies_skip(replies, last);
  EXPECT(last <= as_replies_count(replies));
  for (size_t i = completion->first_reply; i < last; i++) {
    const as_reply *reply = as_replies_at(replies, i);
    as_slice words = as_replies_text(replies, reply);
    length = snprintf(text, sizeof text, " %d %lld %zu ", (int)reply->type,
                      (long long)reply->integer, words.length);
    EXPECT(as_buffer_append(end, text, (size_t)length) == AS_OK);
    EXPECT(as_buffer_append_slice(end, words) == AS_OK);
  }
}

static int number_of(const run *run, uint32_t slot) {
  for (int number = 0; number < OPERATIONS; number++)
    if (run->slots[number] == slot) return number;
  EXPECT(!"a completion of no operation");
  return 0;
}

static void pull(run *run) {
  as_completion completion;
  while (as_engine_next_completion(run->engine, &completion)) {
    int number = number_of(run, completion.slot);
    as_buffer *end = &run->ends[number];
    EXPECT(end->length == 0);
    EXPECT(as_buffer_append_byte(end, (uint8_t)-completion.status) == AS_OK);
    uint32_t expected = completion.status == AS_OK ? reply_count(number) : 0;
    EXPECT(completion.reply_count == expected);
    if (completion.status == AS_OK) note_replies(end, &completion);
    run->slots[number] = UINT32_MAX;
    as_engine_release(run->engine, completion.slot);
    EXPECT(as_engine_validate(run->engine));
  }
}

static void connect(run *run) {
  as_action action;
  EXPECT(as_engine_next_action(run->engine, &action));
  EXPECT(action.kind == AS_ACTION_CONNECT);
  as_engine_on_connected(run->engine, 0, run->now_ms);
  write_all(run);
  feed(run, as_slice_text(GREETING_REPLIES));
  write_all(run);
  EXPECT(as_engine_get_totals(run->engine).streams == 1);
}

static void converse(run *run, as_slice replies, uint32_t cuts, bool joined_first) {
  if (joined_first) submit(run, COMMANDS, OPERATIONS);
  as_engine_flush(run->engine, run->now_ms);
  submit(run, 0, joined_first ? COMMANDS : OPERATIONS);
  as_engine_flush(run->engine, run->now_ms);
  EXPECT(as_engine_validate(run->engine));
  connect(run);
  while (replies.length > 0) {
    uint32_t most = replies.length < 20 ? (uint32_t)replies.length : 20;
    size_t length = cuts > 0 ? 1 + fuzz_random(&cuts, most) : replies.length;
    feed(run, as_slice_of(replies.data, length));
    replies = as_slice_of(replies.data + length, replies.length - length);
  }
  pull(run);
  run->now_ms += DEADLINE_MS;
  as_engine_on_time(run->engine, run->now_ms);
  EXPECT(as_engine_validate(run->engine));
  pull(run);
  for (int number = 0; number < OPERATIONS; number++)
    EXPECT(run->ends[number].length > 0);
}

static void run_once(run *run, as_slice replies, uint32_t cuts, bool joined_first,
                     as_mem *mem) {
  static const as_engine_config CONFIG = {
      .pool_size = 1,
      .max_operations = 2 * OPERATIONS,
      .max_queued_bytes = 10000,
      .batch = {.size = 100, .window_ms = 100},
      .connection = {
          .connect_timeout_ms = 100,
          .health_timeout_ms = 100,
          .max_age_ms = 10000,
          .greeting = {.scripts = {{(const uint8_t *)"x", 1}}, .script_count = 1}}};
  run->now_ms = 0;
  EXPECT(as_engine_new(mem, &CONFIG, &run->engine) == AS_OK);
  EXPECT(as_engine_open_lane(run->engine, as_slice_text("meta"), &run->lane) == AS_OK);
  for (int number = 0; number < OPERATIONS; number++)
    as_buffer_init(&run->ends[number], mem);
  converse(run, replies, cuts, joined_first);
  as_engine_del(run->engine);
}

void fuzz_connection(as_slice input) {
  as_mem mem;
  run whole, cut;
  as_mem_init(&mem);
  uint32_t cuts = fuzz_take_byte(&input) + 1u;
  bool joined_first = cuts > 128;
  run_once(&whole, input, 0, joined_first, &mem);
  run_once(&cut, input, cuts, joined_first, &mem);
  for (int number = 0; number < OPERATIONS; number++) {
    EXPECT(as_slice_equals(as_buffer_slice(&whole.ends[number]),
                           as_buffer_slice(&cut.ends[number])));
    as_buffer_free(&whole.ends[number]);
    as_buffer_free(&cut.ends[number]);
  }
  EXPECT(mem.used_bytes == 0);
}
