/* SPDX-License-Identifier: MIT */
/* What a keyring makes of a value with a given nonce, where it opens again, and where
 * not. */
#include "codec/keyring.h"

#include "check.h"

static const uint8_t NONCE[AS_AEAD_NONCE_BYTES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

/* The example of doc/envelope.md: the key is 00 01 .. 1f, the value ["0","2"]. */
static const char VALUE[] = "\x80\x82\x61\x30\x61\x32";
enum { VALUE_BYTES = 6, EXAMPLE_BYTES = VALUE_BYTES + AS_KEYRING_OVERHEAD_BYTES };
static const uint8_t EXAMPLE[EXAMPLE_BYTES] = {
    0x90, 0x01, 0x00, 0x06, 0x0a, 0x24, 0x18, 0x1e, 0x40, 0x00, /* head */
};

static as_record_place place_of(const char *session, uint64_t generation,
                                const char *type, const char *id) {
  as_record_place place = {as_slice_text(session), generation, as_slice_text(type),
                           as_slice_text(id)};
  return place;
}

static void add_key(as_keyring *ring, uint8_t id, uint8_t first) {
  uint8_t key[AS_AEAD_KEY_BYTES];
  for (int i = 0; i < AS_AEAD_KEY_BYTES; i++) key[i] = (uint8_t)(first + i);
  CHECK(as_keyring_add(ring, id, key) == AS_OK);
}

static as_slice encrypt(as_keyring *ring, const as_record_place *place, as_buffer *out) {
  as_codec_error error;
  as_buffer_clear(out);
  CHECK(as_keyring_encrypt(ring, place, NONCE, as_slice_of(VALUE, VALUE_BYTES), out,
                           &error) == AS_OK);
  return as_buffer_slice(out);
}

static bool opens(as_keyring *ring, const as_record_place *place, as_slice stored,
                  const char *reason) {
  uint8_t scratch[256];
  as_slice value;
  as_codec_error error;
  CHECK(stored.length <= sizeof scratch);
  as_status status =
      as_keyring_decrypt(ring, place, stored, 1024, scratch, &value, &error);
  if (status == AS_OK) {
    CHECK(reason == NULL);
    CHECK(as_slice_equals(value, as_slice_of(VALUE, VALUE_BYTES)));
    return true;
  }
  CHECK(status == AS_ERR_CORRUPT);
  CHECK(reason != NULL && strstr(error.message, reason) != NULL);
  return false;
}

static void check_places(as_keyring *ring, as_buffer *out) {
  static const char wrong[] = "does not open it";
  as_record_place place = place_of("s", 7, "ab", "c");
  as_slice stored = encrypt(ring, &place, out);
  CHECK(opens(ring, &place, stored, NULL));
  const as_record_place others[] = {
      place_of("t", 7, "ab", "c"), place_of("s", 7, "a", "bc"),
      place_of("s", 7, "abc", ""), place_of("sa", 7, "b", "c"),
      place_of("", 7, "sab", "c"), place_of("s", 7, "ab", "d"),
  };
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    CHECK(!opens(ring, &others[i], stored, wrong));
  }
  place.generation = 8;
  CHECK(!opens(ring, &place, stored, "in generation 7, the session is in generation 8"));
  /* Nor does a value that claims the generation of the place. */
  out->data[9] = 8;
  CHECK(!opens(ring, &place, stored, wrong));
}

/* Every bit and every cut, the header and the key id included. */
static void check_damage(as_keyring *ring, as_buffer *out) {
  as_record_place place = place_of("session", 1, "pre-key", "1");
  as_slice stored = encrypt(ring, &place, out);
  for (size_t bit = 0; bit < 8 * stored.length; bit++) {
    uint8_t scratch[256];
    as_slice value;
    as_codec_error error;
    out->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    as_status status =
        as_keyring_decrypt(ring, &place, stored, 1024, scratch, &value, &error);
    /* Without one of the two marks it is no encrypted value any more. */
    CHECK(status == AS_ERR_CORRUPT);
    out->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
  for (size_t length = 1; length < stored.length; length++) {
    const char *reason = length <= AS_KEYRING_OVERHEAD_BYTES ? "cut off" : "not open";
    CHECK(!opens(ring, &place, as_slice_of(stored.data, length), reason));
  }
  CHECK(!opens(ring, &place, as_slice_of("", 0), "not encrypted"));
  CHECK(opens(ring, &place, stored, NULL));
}

static void check_keys(as_keyring *ring, as_buffer *out) {
  as_record_place place = place_of("s", 1, "t", "i");
  as_slice old = encrypt(ring, &place, out);
  CHECK(as_keyring_key_id(old) == 1);
  add_key(ring, 200, 50);
  ring->primary = 200;
  CHECK(opens(ring, &place, old, NULL));
  as_buffer newer;
  as_buffer_init(&newer, ring->mem);
  as_slice stored = encrypt(ring, &place, &newer);
  CHECK(as_keyring_key_id(stored) == 200);
  CHECK(opens(ring, &place, stored, NULL));
  newer.data[1] = 3;
  CHECK(!opens(ring, &place, stored, "key id 3 not configured"));
  newer.data[1] = 1;
  CHECK(!opens(ring, &place, stored, "key id 1 does not open it"));
  add_key(ring, 200, 51); /* in the place of the other one */
  newer.data[1] = 200;
  CHECK(!opens(ring, &place, stored, "key id 200 does not open it"));
  as_buffer_free(&newer);
  ring->primary = 1;
}

static void check_plain(as_keyring *ring) {
  as_record_place place = place_of("s", 1, "t", "i");
  as_slice plain = as_slice_of(VALUE, VALUE_BYTES);
  ring->is_required = false;
  CHECK(opens(ring, &place, plain, NULL));
  CHECK(as_keyring_key_id(plain) == -1);
  CHECK(as_keyring_key_id(as_slice_of("\x90", 1)) == -1);
  ring->is_required = true;
  CHECK(!opens(ring, &place, plain, "not encrypted"));
}

static void check_refusals(as_keyring *ring, as_buffer *out) {
  as_record_place place = place_of("s", 1, "t", "i");
  as_codec_error error;
  as_buffer_clear(out);
  const char *const values[] = {"", "{}", "\x90\x01", "\xf0"};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    CHECK(as_keyring_encrypt(ring, &place, NONCE, as_slice_text(values[i]), out,
                             &error) == AS_ERR_UNSUPPORTED);
  }
  ring->max_uses = ring->keys[1]->uses + 1;
  encrypt(ring, &place, out);
  as_slice plain = as_slice_of(VALUE, VALUE_BYTES);
  as_buffer_clear(out);
  CHECK(as_keyring_encrypt(ring, &place, NONCE, plain, out, &error) ==
        AS_ERR_UNSUPPORTED);
  CHECK(strstr(error.message, "key id 1 has encrypted") != NULL);
  CHECK(strstr(error.message, "make another key the primary one") != NULL);
  CHECK(out->length == 0);
  uint8_t scratch[64];
  as_slice value;
  CHECK(as_keyring_decrypt(ring, &place, as_slice_of(EXAMPLE, EXAMPLE_BYTES), 40, scratch,
                           &value, &error) == AS_ERR_CORRUPT);
  CHECK(strstr(error.message, "more than max_value_bytes (40)") != NULL);
}

/* Prints the example, for doc/envelope.md and the spec that compares it. */
static void print_example(as_keyring *ring, as_buffer *out) {
  as_record_place place =
      place_of("5511999999999", UINT64_C(1700000000000000), "device-list", "1");
  as_slice stored = encrypt(ring, &place, out);
  CHECK(stored.length == EXAMPLE_BYTES);
  CHECK(memcmp(stored.data, EXAMPLE, 10) == 0);
  for (size_t i = 0; i < stored.length; i++) printf("%02x", stored.data[i]);
}

int main(void) {
  as_mem mem;
  as_buffer out;
  as_keyring ring;
  as_mem_init(&mem);
  as_buffer_init(&out, &mem);
  as_keyring_init(&ring, &mem);
  CHECK(ring.max_uses == 4294967296.0);
  add_key(&ring, 1, 0);
  ring.primary = 1;
  ring.is_required = true;
  print_example(&ring, &out);
  check_places(&ring, &out);
  check_damage(&ring, &out);
  check_keys(&ring, &out);
  check_plain(&ring);
  check_refusals(&ring, &out);
  as_keyring_free(&ring);
  as_keyring_free(&ring);
  as_buffer_free(&out);
  CHECK(mem.used_bytes == 0);
  return 0;
}
