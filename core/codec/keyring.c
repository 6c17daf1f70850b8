/* SPDX-License-Identifier: MIT */
#include "codec/keyring.h"

#include <inttypes.h>

enum {
  MARK_OURS = 0x80,
  MARK_ENCRYPTED = 0x10,
  KEY_ID_AT = 1,
  GENERATION_AT = 2,
  NONCE_AT = 10, /* and the end of what the additional data begin with */
  CIPHERTEXT_AT = NONCE_AT + AS_AEAD_NONCE_BYTES,
  MIN_BYTES = 1 + AS_KEYRING_OVERHEAD_BYTES,
};

static const double MAX_USES = 4294967296.0; /* 2^32 */

void as_keyring_init(as_keyring *ring, as_mem *mem) {
  memset(ring, 0, sizeof *ring);
  ring->mem = mem;
  ring->primary = -1;
  ring->max_uses = MAX_USES;
  as_buffer_init(&ring->data, mem);
}

static void drop_key(as_keyring *ring, int id) {
  if (ring->keys[id] == NULL) return;
  as_aead_free(&ring->keys[id]->aead);
  as_mem_free(ring->mem, ring->keys[id], sizeof *ring->keys[id]);
  ring->keys[id] = NULL;
}

void as_keyring_free(as_keyring *ring) {
  for (int id = 0; id < AS_KEYRING_IDS; id++) drop_key(ring, id);
  as_buffer_free(&ring->data);
  ring->primary = -1;
}

as_status as_keyring_add(as_keyring *ring, uint8_t id,
                         const uint8_t key[AS_AEAD_KEY_BYTES]) {
  as_keyring_key *made = as_mem_alloc_zero(ring->mem, sizeof *made);
  if (made == NULL) return AS_ERR_OOM;
  as_status status = as_aead_init(&made->aead, key);
  if (status != AS_OK) {
    as_mem_free(ring->mem, made, sizeof *made);
    return status;
  }
  drop_key(ring, id);
  ring->keys[id] = made;
  return AS_OK;
}

static bool is_encrypted(as_slice stored) {
  const uint8_t marks = MARK_OURS | MARK_ENCRYPTED;
  return stored.length > 0 && (stored.data[0] & marks) == marks;
}

int as_keyring_key_id(as_slice stored) {
  return is_encrypted(stored) && stored.length > KEY_ID_AT ? stored.data[KEY_ID_AT] : -1;
}

static void write_number(uint64_t number, int size, uint8_t *out) {
  for (int i = size - 1; i >= 0; i--, number >>= 8) out[i] = (uint8_t)number;
}

static uint64_t read_number(const uint8_t *bytes, int size) {
  uint64_t number = 0;
  for (int i = 0; i < size; i++) number = number << 8 | bytes[i];
  return number;
}

static uint8_t *write_text(as_slice text, uint8_t *out) {
  write_number(text.length, 4, out);
  if (text.length > 0) memcpy(out + 4, text.data, text.length);
  return out + 4 + text.length;
}

/* Makes the additional data of a value that begins with `head`. */
static as_status tie(as_keyring *ring, const as_record_place *place,
                     const uint8_t *head) {
  size_t names = place->session.length + place->type.length + place->id.length;
  if (names > UINT32_MAX) return AS_ERR_TOO_LARGE;
  as_buffer_clear(&ring->data);
  AS_TRY(as_buffer_reserve(&ring->data, NONCE_AT + 3 * 4 + names));
  uint8_t *end = ring->data.data;
  memcpy(end, head, NONCE_AT);
  end = write_text(place->session, end + NONCE_AT);
  end = write_text(place->type, end);
  end = write_text(place->id, end);
  ring->data.length = (size_t)(end - ring->data.data);
  return AS_OK;
}

static as_status check_uses(const as_keyring *ring, as_codec_error *error) {
  if (ring->primary < 0 || ring->keys[ring->primary] == NULL) {
    return as_codec_error_set(error, AS_ERR_UNSUPPORTED, 0, "there is no primary key");
  }
  if (ring->keys[ring->primary]->uses < ring->max_uses) return AS_OK;
  return as_codec_error_set(error, AS_ERR_UNSUPPORTED, 0,
                            "key id %d has encrypted %.0f values, as many as is safe; "
                            "make another key the primary one",
                            ring->primary, ring->max_uses);
}

as_status as_keyring_encrypt(as_keyring *ring, const as_record_place *place,
                             const uint8_t nonce[AS_AEAD_NONCE_BYTES], as_slice stored,
                             as_buffer *out, as_codec_error *error) {
  as_codec_error_clear(error);
  AS_TRY(check_uses(ring, error));
  if (stored.length == 0 || stored.data[0] < MARK_OURS || is_encrypted(stored)) {
    return as_codec_error_set(error, AS_ERR_UNSUPPORTED, 0,
                              "only a value of ours is encrypted, and once");
  }
  as_keyring_key *key = ring->keys[ring->primary];
  AS_TRY(as_buffer_reserve(out, stored.length + AS_KEYRING_OVERHEAD_BYTES));
  uint8_t *head = out->data + out->length;
  head[0] = stored.data[0] | MARK_ENCRYPTED;
  head[KEY_ID_AT] = (uint8_t)ring->primary;
  write_number(place->generation, NONCE_AT - GENERATION_AT, head + GENERATION_AT);
  memcpy(head + NONCE_AT, nonce, AS_AEAD_NONCE_BYTES);
  AS_TRY(tie(ring, place, head));
  key->uses++;
  AS_TRY(as_aead_seal(&key->aead, nonce, as_buffer_slice(&ring->data),
                      as_slice_of(stored.data + 1, stored.length - 1),
                      head + CIPHERTEXT_AT));
  out->length += stored.length + AS_KEYRING_OVERHEAD_BYTES;
  return AS_OK;
}

/* A value that is not encrypted. */
static as_status pass_on(const as_keyring *ring, as_slice stored, as_slice *out_value,
                         as_codec_error *error) {
  if (ring->is_required) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, 0,
                              "the value is not encrypted, and encryption.required is "
                              "set");
  }
  *out_value = stored;
  return AS_OK;
}

/* What can be told without a key. */
static as_status check_head(const as_keyring *ring, const as_record_place *place,
                            as_slice stored, size_t max_value_bytes,
                            as_codec_error *error) {
  if (stored.length > max_value_bytes) {
    return as_codec_error_set(
        error, AS_ERR_CORRUPT, 0,
        "the stored value has %zu bytes, more than max_value_bytes (%zu)", stored.length,
        max_value_bytes);
  }
  if (stored.length < MIN_BYTES) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, stored.length,
                              "the encrypted value is cut off: it has %zu bytes",
                              stored.length);
  }
  int id = stored.data[KEY_ID_AT];
  if (ring->keys[id] == NULL) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, KEY_ID_AT,
                              "key id %d not configured", id);
  }
  uint64_t generation =
      read_number(stored.data + GENERATION_AT, NONCE_AT - GENERATION_AT);
  if (generation == place->generation) return AS_OK;
  return as_codec_error_set(error, AS_ERR_CORRUPT, GENERATION_AT,
                            "the value was encrypted in generation %" PRIu64
                            ", the session is in generation %" PRIu64,
                            generation, place->generation);
}

as_status as_keyring_decrypt(as_keyring *ring, const as_record_place *place,
                             as_slice stored, size_t max_value_bytes, uint8_t *scratch,
                             as_slice *out_value, as_codec_error *error) {
  as_codec_error_clear(error);
  if (!is_encrypted(stored)) return pass_on(ring, stored, out_value, error);
  AS_TRY(check_head(ring, place, stored, max_value_bytes, error));
  int id = stored.data[KEY_ID_AT];
  as_slice sealed =
      as_slice_of(stored.data + CIPHERTEXT_AT, stored.length - CIPHERTEXT_AT);
  AS_TRY(tie(ring, place, stored.data));
  as_status status = as_aead_open(&ring->keys[id]->aead, stored.data + NONCE_AT,
                                  as_buffer_slice(&ring->data), sealed, scratch + 1);
  if (status != AS_OK) {
    return as_codec_error_set(error, status, CIPHERTEXT_AT,
                              "key id %d does not open it: it was changed, belongs to "
                              "another record, or this is another key",
                              id);
  }
  scratch[0] = (uint8_t)(stored.data[0] & ~MARK_ENCRYPTED);
  *out_value = as_slice_of(scratch, stored.length - AS_KEYRING_OVERHEAD_BYTES);
  return AS_OK;
}
