/* SPDX-License-Identifier: MIT */
/* AES-256-GCM against published vectors, and against every change of a message.
 *
 * Vectors: test cases 13 to 16 of McGrew and Viega, "The Galois/Counter Mode of Operation
 * (GCM)", appendix B, and the first one without text of NIST's CAVP file
 * gcmEncryptExtIV256.rsp. */
#include "codec/aead.h"

#include "check.h"

typedef struct vector {
  const char *key, *nonce, *data, *plain, *sealed; /* hexadecimal; sealed with its tag */
} vector;

#define ZEROS_16 "00000000000000000000000000000000"
#define KEY_15 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define PLAIN_16                                                                         \
  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                     \
  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define SEALED_16                                                                        \
  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"                     \
  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"

static const vector VECTORS[] = {
    {ZEROS_16 ZEROS_16, "000000000000000000000000", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {ZEROS_16 ZEROS_16, "000000000000000000000000", "", ZEROS_16,
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {KEY_15, "cafebabefacedbaddecaf888", "", PLAIN_16 "1aafd255",
     SEALED_16 "898015adb094dac5d93471bdec1a502270e3cc6c"},
    {KEY_15, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     PLAIN_16, SEALED_16 "76fc6ece0f4e1768cddf8853bb2d551b"},
    {"b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
     "516c33929df5a3284ff463d7", "", "", "bdc1ac884d332457a1d2664f168c76f0"},
};

enum { VECTORS_COUNT = sizeof VECTORS / sizeof VECTORS[0], MAX_BYTES = 128 };

typedef struct bytes {
  uint8_t data[MAX_BYTES];
  size_t length;
} bytes;

static bytes from_hex(const char *text) {
  bytes out = {.length = strlen(text) / 2};
  for (size_t i = 0; i < out.length; i++) {
    unsigned byte;
    CHECK(sscanf(text + 2 * i, "%2x", &byte) == 1);
    out.data[i] = (uint8_t)byte;
  }
  return out;
}

static as_slice slice_of(const bytes *from) {
  return as_slice_of(from->data, from->length);
}

static void check_vector(const vector *each) {
  bytes key = from_hex(each->key), nonce = from_hex(each->nonce);
  bytes data = from_hex(each->data), plain = from_hex(each->plain);
  bytes sealed = from_hex(each->sealed);
  uint8_t out[MAX_BYTES];
  as_aead aead;
  CHECK(key.length == AS_AEAD_KEY_BYTES && nonce.length == AS_AEAD_NONCE_BYTES);
  CHECK(as_aead_init(&aead, key.data) == AS_OK);
  for (int i = 0; i < 2; i++) { /* the second time with contexts that were used */
    CHECK(as_aead_seal(&aead, nonce.data, slice_of(&data), slice_of(&plain), out) ==
          AS_OK);
    CHECK(as_slice_equals(as_slice_of(out, plain.length + AS_AEAD_TAG_BYTES),
                          slice_of(&sealed)));
    CHECK(as_aead_open(&aead, nonce.data, slice_of(&data), slice_of(&sealed), out) ==
          AS_OK);
    CHECK(as_slice_equals(as_slice_of(out, plain.length), slice_of(&plain)));
  }
  as_aead_free(&aead);
}

/* Opens a message and expects that it is refused, and that nothing of it is given. */
static void check_refused(as_aead *aead, const bytes *nonce, const bytes *data,
                          as_slice sealed) {
  uint8_t out[MAX_BYTES];
  memset(out, 0xaa, sizeof out);
  CHECK(as_aead_open(aead, nonce->data, slice_of(data), sealed, out) == AS_ERR_CORRUPT);
  for (size_t i = 0; i + AS_AEAD_TAG_BYTES < sealed.length; i++) CHECK(out[i] == 0);
}

static void flip(bytes *in, size_t bit) {
  in->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

static void check_changes(const vector *each) {
  bytes key = from_hex(each->key), nonce = from_hex(each->nonce);
  bytes data = from_hex(each->data), sealed = from_hex(each->sealed);
  bytes *const parts[] = {&nonce, &data, &sealed};
  as_aead aead, other;
  CHECK(as_aead_init(&aead, key.data) == AS_OK);
  for (int part = 0; part < 3; part++) {
    for (size_t bit = 0; bit < 8 * parts[part]->length; bit++) {
      flip(parts[part], bit);
      check_refused(&aead, &nonce, &data, slice_of(&sealed));
      flip(parts[part], bit);
    }
  }
  for (size_t length = 0; length < sealed.length; length++) {
    check_refused(&aead, &nonce, &data, as_slice_of(sealed.data, length));
  }
  key.data[31] ^= 1;
  CHECK(as_aead_init(&other, key.data) == AS_OK);
  check_refused(&other, &nonce, &data, slice_of(&sealed));
  as_aead_free(&other);
  as_aead_free(&aead);
}

/* `out` may be where the bytes are. */
static void check_in_place(const vector *each) {
  bytes key = from_hex(each->key), nonce = from_hex(each->nonce);
  bytes data = from_hex(each->data), text = from_hex(each->plain);
  as_aead aead;
  CHECK(as_aead_init(&aead, key.data) == AS_OK);
  CHECK(as_aead_seal(&aead, nonce.data, slice_of(&data), slice_of(&text), text.data) ==
        AS_OK);
  text.length += AS_AEAD_TAG_BYTES;
  CHECK(as_aead_open(&aead, nonce.data, slice_of(&data), slice_of(&text), text.data) ==
        AS_OK);
  text.length -= AS_AEAD_TAG_BYTES;
  bytes plain = from_hex(each->plain);
  CHECK(as_slice_equals(slice_of(&text), slice_of(&plain)));
  as_aead_free(&aead);
}

static void check_bounds(void) {
  uint8_t key[AS_AEAD_KEY_BYTES] = {0}, nonce[AS_AEAD_NONCE_BYTES] = {0}, out[1];
  as_aead aead, none = {NULL, NULL};
  as_slice empty = as_slice_of(NULL, 0);
  as_slice huge = as_slice_of(key, (size_t)1 << 31); /* not read */
  CHECK(as_aead_init(&aead, key) == AS_OK);
  CHECK(as_aead_seal(&aead, nonce, empty, huge, out) == AS_ERR_TOO_LARGE);
  CHECK(as_aead_seal(&aead, nonce, huge, empty, out) == AS_ERR_TOO_LARGE);
  CHECK(as_aead_open(&aead, nonce, empty, huge, out) == AS_ERR_CORRUPT);
  CHECK(as_aead_open(&aead, nonce, empty, empty, out) == AS_ERR_CORRUPT);
  as_aead_free(&aead);
  as_aead_free(&aead);
  as_aead_free(&none);
}

int main(void) {
  for (int i = 0; i < VECTORS_COUNT; i++) check_vector(&VECTORS[i]);
  check_changes(&VECTORS[3]);
  check_in_place(&VECTORS[2]);
  check_bounds();
  return 0;
}
