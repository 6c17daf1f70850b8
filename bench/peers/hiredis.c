/* SPDX-License-Identifier: MIT */
/* hiredis as a peer: the floor. It moves the bytes that the default layout of authstate
 * keeps, and makes no values of them. bench/harness/peer.lua tells what is said.
 * Methods:
 *
 *   hget            one HGET after the other, each waited for
 *   hmget           one HMGET
 *   hgetall         one HGETALL for each type of the session, sent together
 *   hset_pipeline   one HSET for each record, sent together
 *
 * A method sends the commands of one operation and collects their replies. */
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* One line of the work file: its words, and what the words mean. */
typedef struct operation {
  char **words;
  size_t word_count;
  size_t record_count;
  size_t reply_count;
  redisReply **replies; /* of this round while it is kept, else of the last run */
  char **keys;          /* hgetall: the keys of the session */
  char **kinds;         /* hgetall: the type in each of them */
  redisReply *values;   /* hset_pipeline: the reply that holds what is written */
} operation;

typedef void method_run(operation *op);

typedef struct method {
  const char *name;
  method_run *run;
} method;

static struct {
  redisContext *redis;
  const method *method;
  char source[600];
  char target[600];
  char results[4096];
  operation *operations;
  size_t operation_count;
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

static redisReply *receive(void) {
  void *reply = NULL;
  if (redisGetReply(peer.redis, &reply) != REDIS_OK) fail("%s", peer.redis->errstr);
  if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) {
    fail("%s", ((redisReply *)reply)->str);
  }
  return reply;
}

/* ---- methods ---------------------------------------------------------------------- */

static void run_hget(operation *op) {
  for (size_t i = 0; i < op->reply_count; i++) {
    const char *words[] = {"HGET", op->keys[0], op->words[2 + i]};
    send(3, words, NULL);
    op->replies[i] = receive();
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
    const redisReply *value = op->values->element[i];
    const char *target = op->words[2 + 2 * i];
    const char *words[] = {"HSET", op->keys[0], target, value->str};
    const size_t lengths[] = {4, strlen(op->keys[0]), strlen(target), (size_t)value->len};
    send(4, words, lengths);
  }
  for (size_t i = 0; i < op->reply_count; i++) op->replies[i] = receive();
}

static const method METHODS[] = {
    {"hget", run_hget},
    {"hmget", run_hmget},
    {"hgetall", run_hgetall},
    {"hset_pipeline", run_hset_pipeline},
};

static bool is_method(const char *name) {
  return strcmp(peer.method->name, name) == 0;
}

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

/* The value of `name=value` among the words, or fails. */
static const char *field(char **words, size_t count, const char *name) {
  size_t length = strlen(name);
  for (size_t i = 1; i < count; i++) {
    if (strncmp(words[i], name, length) == 0 && words[i][length] == '=') {
      return words[i] + length + 1;
    }
  }
  fail("no %s given", name);
  return NULL;
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

/* What a write stores: the bytes of its source records. */
static void prepare_values(operation *op) {
  const char **words = allocate(op->record_count + 2, sizeof *words);
  words[0] = "HMGET";
  words[1] = key_of(peer.source, op->words[1]);
  for (size_t i = 0; i < op->record_count; i++) words[2 + i] = op->words[3 + 2 * i];
  send((int)op->record_count + 2, words, NULL);
  free(words);
  op->values = receive();
}

static void prepare_operation(operation *op) {
  if (strcmp(op->words[0], "load") == 0) {
    prepare_load(op);
  } else {
    bool is_write = strcmp(op->words[0], "set") == 0;
    op->record_count = (op->word_count - 2) / (is_write ? 2 : 1);
    op->keys = allocate(1, sizeof *op->keys);
    op->keys[0] = key_of(is_write ? peer.target : peer.source, op->words[1]);
    op->reply_count = is_method("hmget") ? 1 : op->record_count;
    if (is_write) prepare_values(op);
  }
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
  snprintf(peer.source, sizeof peer.source, "%s", field(words, count, "source"));
  snprintf(peer.target, sizeof peer.target, "%s", field(words, count, "target"));
  snprintf(peer.results, sizeof peer.results, "%s", field(words, count, "results"));
  read_work(field(words, count, "work"));
  printf("ready\thiredis=%d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}

/* ---- running ---------------------------------------------------------------------- */

/* How many records the replies of an operation hold, or confirm. */
static size_t count_records(const operation *op) {
  size_t records = 0;
  for (size_t i = 0; i < op->reply_count; i++) {
    const redisReply *reply = op->replies[i];
    if (is_method("hgetall")) {
      records += reply->elements / 2;
    } else if (is_method("hmget")) {
      for (size_t j = 0; j < reply->elements; j++) {
        records += reply->element[j]->type == REDIS_REPLY_STRING;
      }
    } else {
      records += reply->type != REDIS_REPLY_NIL;
    }
  }
  return records;
}

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
    if (is_method("hget")) write_record(file, op->words[1], op->words[2 + i], reply);
    for (size_t j = 0; j < reply->elements; j++) {
      if (is_method("hmget")) {
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

static bool is_kept(const char *keep, size_t number) {
  if (strcmp(keep, "all") == 0) return true;
  return strcmp(keep, "none") != 0 && strtoul(keep, NULL, 10) == number;
}

static void run(char **words, size_t word_count) {
  size_t first = strtoul(field(words, word_count, "first"), NULL, 10);
  size_t count = strtoul(field(words, word_count, "count"), NULL, 10);
  const char *keep = field(words, word_count, "keep");
  operation *operations = peer.operations + first;
  size_t records = 0;
  double started_s = wall_now_s(), started_cpu_s = cpu_now_s();
  for (size_t i = 0; i < count; i++) {
    peer.method->run(&operations[i]);
    records += count_records(&operations[i]);
    if (!is_kept(keep, i)) free_replies(&operations[i]);
  }
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
