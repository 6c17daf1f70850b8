/* SPDX-License-Identifier: MIT */
/* What sealing and opening take: whether a payload is stored packed at each side of its
 * threshold and gains, and that values which promise much take no memory for it. */
#include "codec/envelope.h"

#include <time.h>

#include "check.h"

enum { MAX_VALUE_BYTES = 8 << 20, BOMB_BYTES = 1024, ROUNDS = 50 };

/* The most that was ever held. */
static size_t peak_bytes;

static as_mem real;

static void *resize_and_note(void *context, void *block, size_t new_size) {
  as_mem *mem = context;
  void *moved = real.resize(real.context, block, new_size);
  if (mem->used_bytes + new_size > peak_bytes) peak_bytes = mem->used_bytes + new_size;
  return moved;
}

/* ---- gains ------------------------------------------------------------------------- */

static as_buffer stored;
static as_envelope_state state;
static as_codec_error error;

static size_t sealed_bytes(const as_sealing *sealing, as_slice payload) {
  as_buffer_clear(&stored);
  CHECK(as_envelope_seal(sealing, AS_SERIALIZER_CBOR, payload, &state, &stored, &error) ==
        AS_OK);
  return stored.length;
}

static bool is_packed(const as_sealing *sealing, as_slice payload) {
  bool is_smaller = sealed_bytes(sealing, payload) < payload.length + 1;
  CHECK(is_smaller == (stored.data[0] != 0x80));
  return is_smaller;
}

/* By how much one byte more decides, for each of the three numbers. */
static void check_gains(const as_compressor *compressor) {
  uint8_t bytes[1000];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t)(i < 500 ? check_random(256) : 0);
  as_slice payload = as_slice_of(bytes, sizeof bytes);
  as_sealing sealing = {MAX_VALUE_BYTES, compressor, compressor->default_level, 0, 0, 0};
  size_t gain = sizeof bytes + 1 - sealed_bytes(&sealing, payload);
  CHECK(gain > 100 && gain < 900);

  sealing.min_gain_bytes = gain;
  CHECK(is_packed(&sealing, payload));
  sealing.min_gain_bytes = gain + 1;
  CHECK(!is_packed(&sealing, payload));
  sealing.min_gain_bytes = sizeof bytes + 5;
  CHECK(!is_packed(&sealing, payload));
  sealing.min_gain_bytes = 0;

  sealing.min_gain_percent = gain / 10;
  CHECK(is_packed(&sealing, payload));
  sealing.min_gain_percent = gain / 10 + 1;
  CHECK(!is_packed(&sealing, payload));
  sealing.min_gain_percent = 100;
  CHECK(!is_packed(&sealing, payload));
  sealing.min_gain_percent = 0;

  sealing.threshold_bytes = sizeof bytes;
  CHECK(is_packed(&sealing, payload));
  sealing.threshold_bytes = sizeof bytes + 1;
  CHECK(!is_packed(&sealing, payload));
}

static void check_limits(const as_compressor *compressor) {
  static const uint8_t ZEROS[5000];
  as_sealing sealing = {0, compressor, compressor->default_level, 0, 0, 0};
  const size_t lengths[] = {1, 2, 16, 127, 128, sizeof ZEROS};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    as_slice payload = as_slice_of(ZEROS, lengths[i]);
    as_envelope envelope;
    sealing.max_value_bytes = lengths[i];
    CHECK(as_envelope_seal(&sealing, AS_SERIALIZER_CBOR, payload, &state, &stored,
                           &error) == AS_ERR_TOO_LARGE);
    sealing.max_value_bytes = lengths[i] + 1;
    (void)sealed_bytes(&sealing, payload);
    CHECK(as_envelope_open(as_buffer_slice(&stored), lengths[i] + 1, &envelope, &error) ==
          AS_OK);
    if (!envelope.is_packed) continue;
    as_envelope again = envelope;
    CHECK(as_envelope_unpack(&envelope, lengths[i], &state, &error) == AS_ERR_CORRUPT);
    CHECK(as_envelope_unpack(&again, lengths[i] + 1, &state, &error) == AS_OK);
    CHECK(as_slice_equals(again.payload, payload));
  }
  CHECK(stored.length < 1000); /* even the last of them was packed */
}

/* What shrinks to less than a thousandth is stored as it is: it would not be opened. */
static void check_ratio(const as_compressor *compressor) {
  enum { LENGTH = 4 << 20 };
  uint8_t *zeros = calloc(LENGTH, 1);
  as_envelope envelope;
  as_sealing sealing = {SIZE_MAX, compressor, compressor->default_level, 0, 0, 0};
  CHECK(zeros != NULL);
  (void)sealed_bytes(&sealing, as_slice_of(zeros, LENGTH));
  CHECK(as_envelope_open(as_buffer_slice(&stored), SIZE_MAX, &envelope, &error) == AS_OK);
  CHECK(!envelope.is_packed || stored.length * AS_ENVELOPE_MAX_RATIO > LENGTH);
  if (envelope.is_packed)
    CHECK(as_envelope_unpack(&envelope, SIZE_MAX, &state, &error) == AS_OK);
  CHECK(as_slice_equals(envelope.payload, as_slice_of(zeros, LENGTH)));
  free(zeros);
}

/* ---- bombs ------------------------------------------------------------------------- */

/* A packed kibibyte that goes on and on: what zeros become. */
static void make_bomb(const as_compressor *compressor, uint8_t bomb[BOMB_BYTES]) {
  enum { LENGTH = 8 << 20 };
  uint8_t *zeros = calloc(LENGTH, 1), *packed = malloc(compressor->bound(LENGTH));
  size_t length;
  CHECK(zeros != NULL && packed != NULL);
  CHECK(compressor->pack(&state.compressors, compressor->default_level,
                         as_slice_of(zeros, LENGTH), packed, compressor->bound(LENGTH),
                         &length) == AS_OK);
  memset(bomb, 0, BOMB_BYTES);
  memcpy(bomb, packed, length < BOMB_BYTES ? length : BOMB_BYTES);
  free(zeros);
  free(packed);
}

static size_t put_varint(uint8_t *out, uint64_t number) {
  size_t length = 0;
  for (; number >= 0x80; number >>= 7) out[length++] = (uint8_t)(number | 0x80);
  out[length++] = (uint8_t)number;
  return length;
}

static void check_bomb(const as_compressor *compressor, uint64_t declared) {
  uint8_t value[1 + 10 + BOMB_BYTES];
  as_envelope envelope;
  as_mem counted;
  as_envelope_state fresh;
  value[0] = (uint8_t)(0x80 | compressor->code << 5);
  size_t head = 1 + put_varint(value + 1, declared);
  make_bomb(compressor, value + head);
  as_slice bomb = as_slice_of(value, head + BOMB_BYTES);
  as_mem_init(&real);
  as_mem_init(&counted);
  counted.resize = resize_and_note;
  counted.context = &counted;
  as_envelope_state_init(&fresh, &counted);
  peak_bytes = 0;
  clock_t before = clock();
  for (int i = 0; i < ROUNDS; i++) {
    CHECK(as_envelope_open(bomb, MAX_VALUE_BYTES, &envelope, &error) == AS_OK);
    CHECK(as_envelope_unpack(&envelope, MAX_VALUE_BYTES, &fresh, &error) ==
          AS_ERR_CORRUPT);
    CHECK(error.message[0] != '\0');
  }
  double ms = 1000.0 * (double)(clock() - before) / CLOCKS_PER_SEC / ROUNDS;
  printf("%s, %llu bytes declared: %zu bytes held, %.3f ms\n", compressor->name,
         (unsigned long long)declared, peak_bytes, ms);
  /* A kibibyte may be up to a mebibyte of payload. */
  CHECK(peak_bytes <= BOMB_BYTES * AS_ENVELOPE_MAX_RATIO + 4096);
  as_envelope_state_free(&fresh);
  CHECK(counted.used_bytes == 0);
}

int main(int argc, char **argv) {
  static const uint64_t DECLARED[] = {0,
                                      1,
                                      1000,
                                      1 << 16,
                                      1 << 19,
                                      (1 << 20) - 1,
                                      1 << 21,
                                      7 << 20,
                                      8 << 20,
                                      UINT64_C(1) << 30,
                                      1u << 31,
                                      UINT64_C(1) << 32,
                                      UINT64_C(1) << 35,
                                      UINT64_MAX};
  as_mem mem;
  check_begin(argc, argv);
  as_mem_init(&mem);
  as_buffer_init(&stored, &mem);
  as_envelope_state_init(&state, &mem);
  for (unsigned code = 1; code <= AS_COMPRESSOR_MAX_CODE; code++) {
    const as_compressor *compressor = as_compressor_of_code(code);
    check_gains(compressor);
    check_limits(compressor);
    check_ratio(compressor);
    for (size_t i = 0; i < sizeof DECLARED / sizeof *DECLARED; i++)
      check_bomb(compressor, DECLARED[i]);
  }
  as_buffer_free(&stored);
  as_envelope_state_free(&state);
  CHECK(mem.used_bytes == 0);
  return 0;
}
