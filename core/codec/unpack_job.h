/* SPDX-License-Identifier: MIT */
/* What unpack.c and unpack_record.c share: a cursor over CBOR and reading heads. Nobody
 * else includes this. */
#ifndef AS_CODEC_UNPACK_JOB_H
#define AS_CODEC_UNPACK_JOB_H

#include "codec/packed.h"
#include "codec/unpack.h"

enum {
  AS_MAJOR_UNSIGNED,
  AS_MAJOR_NEGATIVE,
  AS_MAJOR_BYTES,
  AS_MAJOR_TEXT,
  AS_MAJOR_ARRAY,
  AS_MAJOR_MAP,
  AS_MAJOR_TAG,
  AS_MAJOR_SIMPLE, /* simple values and floats */
};

/* Room is made for at most so many entries before they are read: half as many on each
 * level, so that all open arrays and objects together have little. */
enum { AS_UNPACK_MAX_EXPECTED = 4096, AS_UNPACK_EXPECTED_LEVELS = 6 };

enum { AS_INFO_1 = 24, AS_INFO_2, AS_INFO_4, AS_INFO_8, AS_INFO_INDEFINITE = 31 };

typedef struct as_unpack_job {
  const uint8_t *at;
  const uint8_t *end;
  const uint8_t *start;
  as_sink *sink;
  as_unpacker *unpacker;
  as_codec_error *error;
  size_t missing; /* items that open arrays and maps still need */
  int depth;
  as_slice key;         /* of the member being read, for byte maps */
  bool is_stored;       /* the value comes from outside */
  bool has_namespace;   /* strings are numbered */
  bool is_inside_bytes; /* in the content of a Buffer */
  size_t first_string;  /* of the namespace */
  size_t referenced;    /* bytes that references have given so far */
} as_unpack_job;

/* A head: major type, and its argument; `info` tells an indefinite length, a float's
 * size. */
typedef struct as_head {
  uint64_t argument;
  const uint8_t *at; /* where it begins */
  uint8_t major;
  uint8_t info;
} as_head;

/* Notes "<what> at byte n of the stored value" and returns AS_ERR_CORRUPT. */
AS_MUST_USE as_status as_unpack_fail(const as_unpack_job *job, const uint8_t *at,
                                     const char *what);

AS_MUST_USE as_status as_unpack_long_head(as_unpack_job *job, as_head *head);

AS_MUST_USE static inline as_status as_unpack_head(as_unpack_job *job, as_head *head) {
  head->at = job->at;
  if (job->at == job->end) return as_unpack_fail(job, job->at, "unexpected end");
  uint8_t first = *job->at++;
  head->major = first >> 5;
  head->info = first & 31;
  head->argument = head->info;
  return head->info < AS_INFO_1 ? AS_OK : as_unpack_long_head(job, head);
}

/* The next item, which must be a byte string, also by reference. */
AS_MUST_USE as_status as_unpack_byte_string(as_unpack_job *job, as_slice *out_content);

/* The next item, which must be an integer of at most 2^53. */
AS_MUST_USE as_status as_unpack_integer(as_unpack_job *job, int64_t *out_integer);

/* The next item, which must be an array of definite length that the rest can hold. */
AS_MUST_USE as_status as_unpack_array(as_unpack_job *job, size_t *out_count);

/* For how many of `count` entries a sink makes room. */
static inline size_t as_unpack_expected(const as_unpack_job *job, size_t count) {
  int levels =
      job->depth < AS_UNPACK_EXPECTED_LEVELS ? job->depth : AS_UNPACK_EXPECTED_LEVELS;
  size_t most = (size_t)AS_UNPACK_MAX_EXPECTED >> levels;
  return count < most ? count : most;
}

/* Keys that follow each other in a byte string. */
typedef struct as_key_list {
  const uint8_t *at;
  size_t left; /* keys */
} as_key_list;

static inline as_slice as_next_key(as_key_list *keys) {
  as_slice key = as_slice_of(keys->at, AS_KEY_BYTES);
  keys->at += AS_KEY_BYTES;
  keys->left--;
  return key;
}

/* The next item, which must be a byte string of whole keys. */
AS_MUST_USE as_status as_unpack_keys(as_unpack_job *job, as_key_list *out_keys);

/* One level more, up to AS_CODEC_MAX_LEVELS. */
AS_MUST_USE as_status as_unpack_enter(as_unpack_job *job, int levels);

/* The records of tags 10, 11, 13 and 14, whose tag was just read. */
AS_MUST_USE as_status as_unpack_key_pair(as_unpack_job *job);
AS_MUST_USE as_status as_unpack_session(as_unpack_job *job);
AS_MUST_USE as_status as_unpack_jid_set(as_unpack_job *job);
AS_MUST_USE as_status as_unpack_value_macs(as_unpack_job *job);

/* Appends the JSON text of a sender-key, whose tag 12 was just read. */
AS_MUST_USE as_status as_unpack_sender_key(as_unpack_job *job, as_buffer *json);

#endif
