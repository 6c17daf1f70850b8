/* SPDX-License-Identifier: MIT */
/* hiredis as a peer: the floor. It moves the bytes that the default layout of authstate
 * keeps, and makes no values of them. bench/harness/peer.lua tells what is said.
 * Methods:
 *
 *   hget            one HGET after the other, each waited for
 *   command         the same by redisCommand, which formats the words itself
 *   hmget           one HMGET
 *   hgetall         one HGETALL for each type of the session, sent together
 *   hset_pipeline   one HSET for each record, sent together
 *   hget_batch      one HGET for each record, `batch` operations sent together
 *   hset_batch      one HSET for each record, likewise
 *   multi_batch     MULTI, one HSET for each record, EXISTS, EXEC for each operation,
 *                   likewise: what a plain write of authstate promises
 *
 * The first five send the commands of one operation and collect their replies. The others
 * are the loop that a careful C programmer writes by hand: the words of all commands and
 * their lengths are there before the clock starts, `batch` operations are put into the
 * buffer by redisAppendCommandArgv, then each reply is read, looked at and freed before
 * the next one. With `is_formatted=true` the commands are formatted before the clock
 * starts, too: no program can do this that does not know beforehand what it will ask. */
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* `fixed` is a command without arguments, as it is sent; else it is NULL. */
typedef struct command {
  const char *fixed;
  int count;
  const char *words[4];
  size_t lengths[4];
} command;

/* One line of the work file: its words, and what the words mean. */
typedef struct operation {
  char **words;
  size_t word_count;
  size_t record_count;
  size_t reply_count;
  redisReply **replies;      /* of this round while it is kept, else of the last run */
  char **keys;               /* hgetall: the keys of the session */
  char **kinds;              /* hgetall: the type in each of them */
  const redisReply **values; /* writes: what is written */
  command *commands;         /* of a batch: what is sent */
  size_t command_count;
  char *formatted; /* the same as bytes, if so wanted */
  size_t formatted_size;
} operation;

/* `run` sends an operation and collects its replies; a method of batches has `compose`
 * instead, which makes what is sent. `count` tells how many records the replies hold, or
 * confirm. */
typedef struct method {
  const char *name;
  void (*run)(operation *op);
  void (*compose)(operation *op);
  size_t (*count)(const operation *op);
} method;

/* The records of one type of the source. */
typedef struct stored {
  const char *kind;
  const redisReply *pairs;
  struct stored *next;
} stored;

static struct {
  redisContext *redis;
  const method *method;
  char source[600];
  char target[600];
  char results[4096];
  operation *operations;
  size_t operation_count;
  size_t batch; /* how many operations are sent together */
  bool is_formatted;
  stored *stored; /* writes: what they may write */
} peer;

/* Ends the program with a line that the harness prints. */
static void fail(const char *format, ...) {
  va_list arguments;
  fputs("failed\t", stdout);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  puts("");
  exit(1);
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) fail("out of memory");
  return memory;
}

static char *key_of(const char *session, const char *kind) {
  size_t size = strlen(session) + strlen(kind) + 32;
  char *key = allocate(size, 1);
  if (strcmp(kind, "creds") == 0) {
    snprintf(key, size, "authstate:{%s}:creds", session);
  } else {
    snprintf(key, size, "authstate:{%s}:k:%s", session, kind);
  }
  return key;
}

static void send(int count, const char **words, const size_t *lengths) {
  if (redisAppendCommandArgv(peer.redis, count, words, lengths) != REDIS_OK) {
    fail("%s", peer.redis->errstr);
  }
}

static redisReply *check(redisReply *reply) {
  if (!reply) fail("%s", peer.redis->errstr);
  if (reply->type == REDIS_REPLY_ERROR) fail("%s", reply->str);
  return reply;
}

static redisReply *receive(void) {
  void *reply = NULL;
  if (redisGetReply(peer.redis, &reply) != REDIS_OK) fail("%s", peer.redis->errstr);
  return check(reply);
}

/* ---- methods ---------------------------------------------------------------------- */

static void run_hget(operation *op) {
  for (size_t i = 0; i < op->reply_count; i++) {
    const char *words[] = {"HGET", op->keys[0], op->words[2 + i]};
    send(3, words, NULL);
    op->replies[i] = receive();
  }
}

static void run_command(operation *op) {
  for (size_t i = 0; i < op->reply_count; i++) {
    op->replies[i] =
        check(redisCommand(peer.redis, "HGET %s %s", op->keys[0], op->words[2 + i]));
  }
}

static void run_hmget(operation *op) {
  const char **words = allocate(op->record_count + 2, sizeof *words);
  words[0] = "HMGET";
  words[1] = op->keys[0];
  memcpy(words + 2, op->words + 2, op->record_count * sizeof *words);
  send((int)op->record_count + 2, words, NULL);
  free(words);
  op->replies[0] = receive();
}

static void run_hgetall(operation *op) {
  for (size_t i = 0; i < op->reply_count; i++) {
    const char *words[] = {"HGETALL", op->keys[i]};
    send(2, words, NULL);
  }
  for (size_t i = 0; i < op->reply_count; i++) op->replies[i] = receive();
}

static void run_hset_pipeline(operation *op) {
  for (size_t i = 0; i < op->reply_count; i++) {
    const redisReply *value = op->values[i];
    const char *target = op->words[2 + 2 * i];
    const char *words[] = {"HSET", op->keys[0], target, value->str};
    const size_t lengths[] = {4, strlen(op->keys[0]), strlen(target), (size_t)value->len};
    send(4, words, lengths);
  }
  for (size_t i = 0; i < op->reply_count; i++) op->replies[i] = receive();
}

/* ---- batches ---------------------------------------------------------------------- */

static command *add_command(operation *op) {
  op->commands = realloc(op->commands, (op->command_count + 1) * sizeof *op->commands);
  if (!op->commands) fail("out of memory");
  command *added = &op->commands[op->command_count++];
  memset(added, 0, sizeof *added);
  return added;
}

static void add_word(command *each, const char *word, size_t length) {
  each->words[each->count] = word;
  each->lengths[each->count++] = length;
}

static command *add_words(operation *op, const char *name, const char *key) {
  command *added = add_command(op);
  add_word(added, name, strlen(name));
  add_word(added, key, strlen(key));
  return added;
}

static void compose_hgets(operation *op) {
  for (size_t i = 0; i < op->record_count; i++) {
    const char *id = op->words[2 + i];
    add_word(add_words(op, "HGET", op->keys[0]), id, strlen(id));
  }
}

static void compose_hsets(operation *op) {
  for (size_t i = 0; i < op->record_count; i++) {
    const char *target = op->words[2 + 2 * i];
    command *added = add_words(op, "HSET", op->keys[0]);
    add_word(added, target, strlen(target));
    add_word(added, op->values[i]->str, (size_t)op->values[i]->len);
  }
}

static void compose_multi(operation *op) {
  add_command(op)->fixed = "*1\r\n$5\r\nMULTI\r\n";
  compose_hsets(op);
  add_words(op, "EXISTS", op->keys[0]);
  add_command(op)->fixed = "*1\r\n$4\r\nEXEC\r\n";
  op->reply_count = op->command_count;
}

static void format(operation *op) {
  for (size_t i = 0; i < op->command_count; i++) {
    command *each = &op->commands[i];
    char *bytes = NULL;
    int size = each->fixed ? (int)strlen(each->fixed)
                           : redisFormatCommandArgv(&bytes, each->count, each->words,
                                                    each->lengths);
    if (size < 0) fail("out of memory");
    op->formatted = realloc(op->formatted, op->formatted_size + (size_t)size);
    if (!op->formatted) fail("out of memory");
    memcpy(op->formatted + op->formatted_size, bytes ? bytes : each->fixed, (size_t)size);
    op->formatted_size += (size_t)size;
    redisFreeCommand(bytes);
  }
}

static void send_bytes(const char *bytes, size_t size) {
  if (redisAppendFormattedCommand(peer.redis, bytes, size) != REDIS_OK) {
    fail("%s", peer.redis->errstr);
  }
}

static void send_commands(operation *op) {
  if (op->formatted) {
    send_bytes(op->formatted, op->formatted_size);
    return;
  }
  for (size_t i = 0; i < op->command_count; i++) {
    command *each = &op->commands[i];
    if (each->fixed) {
      send_bytes(each->fixed, strlen(each->fixed));
    } else {
      send(each->count, each->words, each->lengths);
    }
  }
}

/* ---- counting --------------------------------------------------------------------- */

static size_t count_replies(const operation *op) {
  size_t records = 0;
  for (size_t i = 0; i < op->reply_count; i++) {
    records += op->replies[i]->type != REDIS_REPLY_NIL;
  }
  return records;
}

static size_t count_elements(const operation *op) {
  size_t records = 0;
  for (size_t i = 0; i < op->replies[0]->elements; i++) {
    records += op->replies[0]->element[i]->type == REDIS_REPLY_STRING;
  }
  return records;
}

static size_t count_pairs(const operation *op) {
  size_t records = 0;
  for (size_t i = 0; i < op->reply_count; i++) records += op->replies[i]->elements / 2;
  return records;
}

/* The reply of EXEC: how many HSETs did what they should, if EXISTS then found the key.
 */
static size_t count_executed(const operation *op) {
  const redisReply *reply = op->replies[op->reply_count - 1];
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements != op->record_count + 1) {
    return 0;
  }
  for (size_t i = 0; i < reply->elements; i++) {
    if (reply->element[i]->type != REDIS_REPLY_INTEGER) return 0;
  }
  return reply->element[op->record_count]->integer == 1 ? op->record_count : 0;
}

static const method METHODS[] = {
    {"hget", run_hget, NULL, count_replies},
    {"command", run_command, NULL, count_replies},
    {"hmget", run_hmget, NULL, count_elements},
    {"hgetall", run_hgetall, NULL, count_pairs},
    {"hset_pipeline", run_hset_pipeline, NULL, count_replies},
    {"hget_batch", NULL, compose_hgets, count_replies},
    {"hset_batch", NULL, compose_hsets, count_replies},
    {"multi_batch", NULL, compose_multi, count_executed},
};

/* ---- preparing -------------------------------------------------------------------- */

/* Cuts a line at its tabs, in place. */
static char **split(char *line, size_t *out_count) {
  size_t count = 1;
  for (const char *at = line; *at; at++) count += *at == '\t';
  char **words = allocate(count, sizeof *words);
  line[strcspn(line, "\n")] = '\0';
  for (size_t i = 0; i < count; i++) words[i] = strsep(&line, "\t");
  *out_count = count;
  return words;
}

/* The value of `name=value` among the words, or NULL. */
static const char *find_field(char **words, size_t count, const char *name) {
  size_t length = strlen(name);
  for (size_t i = 1; i < count; i++) {
    if (strncmp(words[i], name, length) == 0 && words[i][length] == '=') {
      return words[i] + length + 1;
    }
  }
  return NULL;
}

/* The same, or fails. */
static const char *field(char **words, size_t count, const char *name) {
  const char *value = find_field(words, count, name);
  if (!value) fail("no %s given", name);
  return value;
}

/* Which keys a load reads: one for each type, whose records stand together. */
static void prepare_load(operation *op) {
  op->record_count = (op->word_count - 1) / 2;
  op->keys = allocate(op->record_count, sizeof *op->keys);
  op->kinds = allocate(op->record_count, sizeof *op->kinds);
  for (size_t i = 1; i < op->word_count; i += 2) {
    size_t n = op->reply_count;
    if (n > 0 && strcmp(op->kinds[n - 1], op->words[i]) == 0) continue;
    op->kinds[n] = op->words[i];
    op->keys[n] = key_of(peer.source, op->words[i]);
    op->reply_count++;
  }
}

/* All records of a type that the source has: ids and values by turns. */
static const redisReply *read_stored(const char *kind) {
  for (const stored *each = peer.stored; each; each = each->next) {
    if (strcmp(each->kind, kind) == 0) return each->pairs;
  }
  const char *words[] = {"HGETALL", key_of(peer.source, kind)};
  send(2, words, NULL);
  stored *added = allocate(1, sizeof *added);
  *added = (stored){.kind = kind, .pairs = receive(), .next = peer.stored};
  peer.stored = added;
  return added->pairs;
}

/* What a write stores: the bytes of its source records. All writes of a record share
 * them, as those of a Lua program share a string. */
static void prepare_values(operation *op) {
  const redisReply *pairs = read_stored(op->words[1]);
  op->values = allocate(op->record_count, sizeof *op->values);
  for (size_t i = 0; i < op->record_count; i++) {
    const char *source = op->words[3 + 2 * i];
    for (size_t j = 0; j + 1 < pairs->elements && !op->values[i]; j += 2) {
      if (strcmp(pairs->element[j]->str, source) == 0) {
        op->values[i] = pairs->element[j + 1];
      }
    }
    if (!op->values[i]) fail("%s %s is not there", op->words[1], source);
  }
}

static void prepare_operation(operation *op) {
  if (strcmp(op->words[0], "load") == 0) {
    prepare_load(op);
  } else {
    bool is_write = strcmp(op->words[0], "set") == 0;
    op->record_count = (op->word_count - 2) / (is_write ? 2 : 1);
    op->keys = allocate(1, sizeof *op->keys);
    op->keys[0] = key_of(is_write ? peer.target : peer.source, op->words[1]);
    op->reply_count = peer.method->count == count_elements ? 1 : op->record_count;
    if (is_write) prepare_values(op);
  }
  if (peer.method->compose) peer.method->compose(op);
  if (peer.is_formatted) format(op);
  op->replies = allocate(op->reply_count, sizeof(redisReply *));
}

static void read_work(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) fail("%s cannot be read", path);
  char *line = NULL;
  size_t size = 0;
  while (getline(&line, &size, file) > 0) {
    peer.operation_count++;
    peer.operations =
        realloc(peer.operations, peer.operation_count * sizeof *peer.operations);
    if (!peer.operations) fail("out of memory");
    operation *op = &peer.operations[peer.operation_count - 1];
    memset(op, 0, sizeof *op);
    op->words = split(line, &op->word_count);
    prepare_operation(op);
    line = NULL; /* the words lie in it */
    size = 0;
  }
  free(line);
  fclose(file);
}

static void prepare(char **words, size_t count) {
  const char *name = field(words, count, "method");
  for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
    if (strcmp(METHODS[i].name, name) == 0) peer.method = &METHODS[i];
  }
  if (!peer.method) fail("no method %s", name);
  peer.redis = redisConnectUnix(field(words, count, "socket"));
  if (!peer.redis || peer.redis->err) fail("no connection");
  const char *batch = find_field(words, count, "batch");
  peer.batch = batch ? strtoul(batch, NULL, 10) : 1;
  if (peer.batch == 0) fail("batch: %s is no number of operations", batch);
  peer.is_formatted = find_field(words, count, "is_formatted") != NULL;
  snprintf(peer.source, sizeof peer.source, "%s", field(words, count, "source"));
  snprintf(peer.target, sizeof peer.target, "%s", field(words, count, "target"));
  snprintf(peer.results, sizeof peer.results, "%s", field(words, count, "results"));
  read_work(field(words, count, "work"));
  printf("ready\thiredis=%d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}

/* ---- running ---------------------------------------------------------------------- */

static void free_replies(operation *op) {
  for (size_t i = 0; i < op->reply_count; i++) {
    freeReplyObject(op->replies[i]);
    op->replies[i] = NULL;
  }
}

static void write_record(FILE *file, const char *kind, const char *id,
                         const redisReply *value) {
  if (value->type != REDIS_REPLY_STRING) return;
  fprintf(file, "record\t%s\t%s\t%zu\n", kind, id, (size_t)value->len);
  fwrite(value->str, 1, (size_t)value->len, file);
  fputc('\n', file);
}

static void write_operation(FILE *file, const operation *op, size_t number) {
  fprintf(file, "operation\t%zu\n", number);
  for (size_t i = 0; i < op->reply_count; i++) {
    const redisReply *reply = op->replies[i];
    if (reply->type == REDIS_REPLY_STRING) {
      write_record(file, op->words[1], op->words[2 + i], reply);
    }
    for (size_t j = 0; j < reply->elements; j++) {
      if (!op->kinds) {
        write_record(file, op->words[1], op->words[2 + j], reply->element[j]);
      } else if (j % 2 == 1) {
        write_record(file, op->kinds[i], reply->element[j - 1]->str, reply->element[j]);
      }
    }
  }
}

static double wall_now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_now_s(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

enum { KEEP_NONE = -1, KEEP_ALL = -2 };

/* Which operation of a round is kept: its number, or one of the words above. */
static long read_keep(const char *word) {
  if (strcmp(word, "all") == 0) return KEEP_ALL;
  return strcmp(word, "none") == 0 ? KEEP_NONE : strtol(word, NULL, 10);
}

static bool is_kept(long keep, size_t number) {
  return keep == KEEP_ALL || keep == (long)number;
}

/* Counts the records of an operation, whose replies are freed unless they are kept. */
static size_t finish(operation *op, bool is_op_kept) {
  size_t records = peer.method->count(op);
  if (!is_op_kept) free_replies(op);
  return records;
}

/* Carries out operations, `batch` at once. The number of their records. */
static size_t run_operations(operation *operations, size_t count, long keep) {
  size_t records = 0;
  if (peer.method->run) {
    for (size_t i = 0; i < count; i++) {
      peer.method->run(&operations[i]);
      records += finish(&operations[i], is_kept(keep, i));
    }
    return records;
  }
  for (size_t first = 0; first < count; first += peer.batch) {
    size_t end = first + peer.batch < count ? first + peer.batch : count;
    for (size_t i = first; i < end; i++) send_commands(&operations[i]);
    for (size_t i = first; i < end; i++) {
      operation *op = &operations[i];
      for (size_t j = 0; j < op->reply_count; j++) op->replies[j] = receive();
      records += finish(op, is_kept(keep, i));
    }
  }
  return records;
}

static void run(char **words, size_t word_count) {
  size_t first = strtoul(field(words, word_count, "first"), NULL, 10);
  size_t count = strtoul(field(words, word_count, "count"), NULL, 10);
  long keep = read_keep(field(words, word_count, "keep"));
  operation *operations = peer.operations + first;
  double started_s = wall_now_s(), started_cpu_s = cpu_now_s();
  size_t records = run_operations(operations, count, keep);
  double cpu_s = cpu_now_s() - started_cpu_s, wall_s = wall_now_s() - started_s;
  FILE *file = fopen(peer.results, "w");
  if (!file) fail("%s cannot be written", peer.results);
  for (size_t i = 0; i < count; i++) {
    if (!is_kept(keep, i)) continue;
    write_operation(file, &operations[i], i);
    free_replies(&operations[i]);
  }
  fclose(file);
  printf("done\twall_s=%.9f\tcpu_s=%.6f\toperations=%zu\trecords=%zu\n", wall_s, cpu_s,
         count, records);
}

int main(void) {
  char *line = NULL;
  size_t size = 0;
  while (getline(&line, &size, stdin) > 0) {
    size_t count;
    char **words = split(line, &count);
    if (strcmp(words[0], "prepare") == 0) {
      prepare(words, count);
    } else if (strcmp(words[0], "run") == 0) {
      run(words, count);
    } else {
      fail("no verb %s", words[0]);
    }
    fflush(stdout);
    free(words);
  }
  return 0;
}
