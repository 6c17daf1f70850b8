/* SPDX-License-Identifier: MIT */
/* A fuzz target takes any bytes, hands them to one part of the core, and checks what must
 * hold for all input. Two programs call the targets: fuzzer.c, with libFuzzer's inputs,
 * and replay.c, with the files of the corpus. */
#ifndef SPEC_FUZZ_FUZZ_H
#define SPEC_FUZZ_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"

/* X(name): the function fuzz_<name> stands in <name>.c, its inputs in corpus/<name>/. */
#define FUZZ_TARGETS(X)                                                                  \
  X(base64)                                                                              \
  X(byte_list)                                                                           \
  X(cbor)                                                                                \
  X(connection)                                                                          \
  X(deflate)                                                                             \
  X(engine)                                                                              \
  X(envelope)                                                                            \
  X(gzip)                                                                                \
  X(jid)                                                                                 \
  X(jsontext)                                                                            \
  X(keyring)                                                                             \
  X(lz4)                                                                                 \
  X(number)                                                                              \
  X(pack)                                                                                \
  X(reply)                                                                               \
  X(session_text)                                                                        \
  X(unpack)                                                                              \
  X(zstd)

typedef void fuzz_target(as_slice input);

#define FUZZ_DECLARE(name) fuzz_target fuzz_##name;
FUZZ_TARGETS(FUZZ_DECLARE)
#undef FUZZ_DECLARE

/* Ends the program as a crash, which both callers report with the input. */
#define EXPECT(condition)                                                                \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);            \
      abort();                                                                           \
    }                                                                                    \
  } while (0)

/* The target of a name, NULL for none. */
fuzz_target *fuzz_target_named(const char *name);

/* A copy in a block of exactly its size, so that reading beyond it is seen. */
uint8_t *fuzz_copy(as_slice bytes);

/* Takes the first byte off; 0 when there is none. Inputs begin with the choices that are
 * not part of the bytes under test, such as where they are cut. */
uint8_t fuzz_take_byte(as_slice *input);

/* The next number of a sequence that `state` begins. */
uint32_t fuzz_random(uint32_t *state, uint32_t below);

#endif
