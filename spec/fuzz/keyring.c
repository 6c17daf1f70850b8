/* SPDX-License-Identifier: MIT */
/* The input is an encrypted value, as a server may give it: without the key it cannot
 * have been made, so it does not open. Then the input is taken for a value and encrypted,
 * and opens as it was; not when one bit of it, chosen by the first byte, is another one,
 * or when the end is missing; nor elsewhere. */
#include "codec/keyring.h"

#include "fuzz.h"

enum { MARK_OURS = 0x80, MARK_ENCRYPTED = 0x10, MAX_VALUE_BYTES = 1 << 20 };

static const uint8_t KEY[AS_AEAD_KEY_BYTES] = "no fuzzer will guess this key ..";
static const uint8_t NONCE[AS_AEAD_NONCE_BYTES] = "once and new";

static as_status decrypt(as_keyring *ring, const as_record_place *place, as_slice stored,
                         uint8_t *scratch, as_slice *out_value) {
  as_codec_error error;
  as_status status = as_keyring_decrypt(ring, place, stored, MAX_VALUE_BYTES, scratch,
                                        out_value, &error);
  EXPECT(status == AS_OK || (status == AS_ERR_CORRUPT && error.message[0] != '\0'));
  return status;
}

/* What others may have stored. */
static void open(as_keyring *ring, const as_record_place *place, as_slice stored) {
  as_slice value;
  uint8_t *scratch = malloc(stored.length > 0 ? stored.length : 1);
  EXPECT(scratch != NULL);
  ring->is_required = false;
  if (decrypt(ring, place, stored, scratch, &value) == AS_OK) {
    EXPECT(value.data == stored.data && value.length == stored.length);
    EXPECT(as_keyring_key_id(stored) < 0);
  }
  ring->is_required = true;
  EXPECT(decrypt(ring, place, stored, scratch, &value) == AS_ERR_CORRUPT);
  free(scratch);
}

static void check_changes(as_keyring *ring, const as_record_place *place,
                          as_buffer *stored, uint8_t choice, uint8_t *scratch) {
  as_slice value;
  as_record_place other = *place;
  size_t bit = choice * (stored->length * 8 - 1) / 255;
  stored->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
  EXPECT(decrypt(ring, place, as_buffer_slice(stored), scratch, &value) ==
         AS_ERR_CORRUPT);
  stored->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
  as_slice cut = as_slice_of(stored->data, bit / 8);
  EXPECT(decrypt(ring, place, cut, scratch, &value) == AS_ERR_CORRUPT);
  other.id = as_slice_text("2");
  EXPECT(decrypt(ring, &other, as_buffer_slice(stored), scratch, &value) ==
         AS_ERR_CORRUPT);
  other = *place;
  other.generation++;
  EXPECT(decrypt(ring, &other, as_buffer_slice(stored), scratch, &value) ==
         AS_ERR_CORRUPT);
}

static void encrypt(as_keyring *ring, const as_record_place *place, as_slice plain,
                    uint8_t choice, as_mem *mem) {
  as_codec_error error;
  as_slice value;
  as_buffer stored;
  as_buffer_init(&stored, mem);
  bool is_ours = plain.length > 0 && plain.data[0] >= MARK_OURS &&
                 (plain.data[0] & MARK_ENCRYPTED) == 0;
  as_status status = as_keyring_encrypt(ring, place, NONCE, plain, &stored, &error);
  EXPECT(status == (is_ours ? AS_OK : AS_ERR_UNSUPPORTED));
  if (is_ours) {
    uint8_t *scratch = malloc(stored.length);
    EXPECT(scratch != NULL);
    EXPECT(stored.length == plain.length + AS_KEYRING_OVERHEAD_BYTES);
    EXPECT(decrypt(ring, place, as_buffer_slice(&stored), scratch, &value) == AS_OK);
    EXPECT(as_slice_equals(value, plain));
    check_changes(ring, place, &stored, choice, scratch);
    free(scratch);
  }
  as_buffer_free(&stored);
}

void fuzz_keyring(as_slice input) {
  as_mem mem;
  as_keyring ring;
  as_record_place place = {as_slice_text("s"), 1, as_slice_text("pre-key"),
                           as_slice_text("1")};
  as_mem_init(&mem);
  as_keyring_init(&ring, &mem);
  EXPECT(as_keyring_add(&ring, 1, KEY) == AS_OK);
  ring.primary = 1;
  uint8_t choice = fuzz_take_byte(&input);
  open(&ring, &place, input);
  encrypt(&ring, &place, input, choice, &mem);
  as_keyring_free(&ring);
  EXPECT(mem.used_bytes == 0);
}
