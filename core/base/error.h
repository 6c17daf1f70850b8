/* SPDX-License-Identifier: MIT */
/* as_status: how every fallible function of the core ends.
 *
 * Zero is success, everything else is one row of AS_ERROR_MAP. The same row gives the
 * code a Lua program compares with (`code == "timeout"`) and the sentence used when
 * nothing more precise is known. The map is the only list of error codes in C. */
#ifndef AS_BASE_ERROR_H
#define AS_BASE_ERROR_H

#define AS_MUST_USE __attribute__((warn_unused_result))

/* X(enum suffix, number, Lua code, sentence) */
#define AS_ERROR_MAP(X)                                                                  \
  X(TIMEOUT, -1, "timeout", "no reply within the deadline; the outcome is unknown")      \
  X(UNAVAILABLE, -2, "unavailable", "the server cannot be reached; nothing was sent")    \
  X(OVERLOADED, -3, "overloaded", "the queue is full; nothing was sent")                 \
  X(AUTH, -4, "auth", "the server refused the user name or password")                    \
  X(DENIED, -5, "denied", "the server's access rules forbid this command or key")        \
  X(READONLY, -6, "readonly", "the server is a read-only replica")                       \
  X(OOM, -7, "oom", "out of memory")                                                     \
  X(LOADING, -8, "loading", "the server is still loading its data")                      \
  X(CLUSTER_DOWN, -9, "cluster_down", "the cluster does not serve this slot")            \
  X(DISK, -10, "disk", "the server cannot write to its disk")                            \
  X(CORRUPT, -11, "corrupt", "a stored value cannot be opened")                          \
  X(FENCED, -12, "fenced", "another generation or owner holds this session")             \
  X(HELD, -13, "held", "the session is leased to another owner")                         \
  X(LEASE_LOST, -14, "lease_lost", "this lease ran out or was taken")                    \
  X(CONFLICT, -15, "conflict", "the stored version is not the expected one")             \
  X(NOT_DURABLE, -16, "not_durable", "too few replicas confirmed the write")             \
  X(TOO_LARGE, -17, "too_large", "a value or commit is larger than the limit")           \
  X(WRONG_TYPE, -18, "wrong_type", "a key holds another type of Redis value")            \
  X(UNSUPPORTED, -19, "unsupported", "this server or runtime cannot do that")            \
  X(CANCELLED, -20, "cancelled", "the caller withdrew the operation")                    \
  X(CLOSED, -21, "closed", "the store is closed")                                        \
  X(SERVER, -22, "server", "the server answered with an error")

typedef enum as_status {
  AS_OK = 0,
#define AS_ERROR_ENUM(name, number, code, sentence) AS_ERR_##name = (number),
  AS_ERROR_MAP(AS_ERROR_ENUM)
#undef AS_ERROR_ENUM
} as_status;

/* Hands a failure to the caller: `AS_TRY(as_buffer_append(...))`. */
#define AS_TRY(expression)                                                               \
  do {                                                                                   \
    as_status as_try_status = (expression);                                              \
    if (as_try_status != AS_OK) return as_try_status;                                    \
  } while (0)

/* The Lua code of a status, "ok" for AS_OK. Static storage. */
const char *as_status_code(as_status status);

/* The sentence of a status. Static storage. */
const char *as_status_sentence(as_status status);

#endif
