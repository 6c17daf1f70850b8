/* SPDX-License-Identifier: MIT */
/* Every way through the codec again and again, with the 1st, 2nd, ... nth allocation
 * failing, zlib's too: what was there is kept, the same call repeated does what it does
 * with enough memory, and all memory is given back. Usage: allocation SEED IN_A_ROW. */
#include <string.h>
#include <zlib.h>

#include "check.h"
#include "codec/base64.h"
#include "codec/envelope.h"
#include "codec/gzip.h"
#include "codec/session_text.h"
#include "codec/transcode.h"
#include "failing_heap.h"

/* The content is larger than what is unpacked at a time. */
enum {
  MEMBERS = 300,
  FEW = 40,
  CONTENT_BYTES = 200000,
  BYTE_FORMS = AS_BYTE_FORM_OBJECT + 1
};

static const char BEFORE[] = "before";

/* All that is taken from one heap: the transcoder and the envelope's state keep theirs
 * between texts. */
typedef struct codec {
  as_mem mem;
  as_transcoder transcoder;
  as_envelope_state envelope;
  as_codec_error error;
} codec;

/* One text and what it becomes, made before anything fails. */
typedef struct sample {
  as_buffer json;
  as_buffer cbor;
  as_buffer structure;
  as_buffer forms[BYTE_FORMS];
} sample;

/* Many members, every form that is packed, and strings that come again. */
enum { MANY, PACKED, REPEATED, RECORDS };

typedef struct samples {
  sample records[RECORDS];
  as_buffer sealed[AS_COMPRESSOR_MAX_CODE]; /* the CBOR of many, by each compressor */
  as_buffer session;                        /* JSON text */
  as_buffer session_records;
  as_buffer content;
  as_buffer packed;
} samples;

typedef struct step {
  codec *codec;
  const samples *samples;
  const sample *record;
  int form;
} step;

typedef as_status action(const step *step, as_buffer *out);

/* ---- what may fail ----------------------------------------------------------------- */

static as_status store(const step *step, as_buffer *out) {
  return as_transcode_json_exact(&step->codec->transcoder,
                                 as_buffer_slice(&step->record->json), out,
                                 &step->codec->error);
}

static as_status read_structure(const step *step, as_buffer *out) {
  return as_transcode_json_structure(&step->codec->transcoder,
                                     as_buffer_slice(&step->record->json), out,
                                     &step->codec->error);
}

static as_status give_back(const step *step, as_buffer *out) {
  return as_transcode_cbor(&step->codec->transcoder, as_buffer_slice(&step->record->cbor),
                           (as_byte_form)step->form, out, &step->codec->error);
}

/* Step->form is the code of a compressor. */
static as_status seal(const step *step, as_buffer *out) {
  const as_compressor *compressor = as_compressor_of_code((unsigned)step->form);
  as_sealing sealing = {SIZE_MAX, compressor, compressor->default_level, 0, 0, 0};
  return as_envelope_seal(&sealing, AS_SERIALIZER_CBOR,
                          as_buffer_slice(&step->record->cbor), &step->codec->envelope,
                          out, &step->codec->error);
}

static as_status open(const step *step, as_buffer *out) {
  as_envelope envelope;
  as_codec_error *error = &step->codec->error;
  as_slice sealed = as_buffer_slice(&step->samples->sealed[step->form - 1]);
  AS_TRY(as_envelope_open(sealed, SIZE_MAX, &envelope, error));
  CHECK(envelope.is_packed);
  AS_TRY(as_envelope_unpack(&envelope, SIZE_MAX, &step->codec->envelope, error));
  return as_buffer_append_slice(out, envelope.payload);
}

static as_status unpack(const step *step, as_buffer *out) {
  const char *reason;
  as_slice packed = as_buffer_slice(&step->samples->packed);
  as_status status = as_gunzip(packed, CONTENT_BYTES, out, &reason);
  CHECK(status == AS_OK || (status == AS_ERR_OOM && reason[0] != '\0'));
  return status;
}

/* Appends the text of all records. */
static as_status walk_session(const step *step, as_buffer *out) {
  as_session_text walk;
  as_session_record record;
  size_t before = out->length;
  as_session_text_init(&walk, as_buffer_slice(&step->samples->session),
                       &step->codec->mem);
  as_status status;
  do {
    status = as_session_text_next(&walk, &record, &step->codec->error);
    if (status != AS_OK || record.kind == AS_SESSION_END) break;
    status = as_buffer_append_slice(out, record.text);
    if (status == AS_OK && record.kind == AS_SESSION_KEY)
      status = as_buffer_append_slice(out, record.id);
  } while (status == AS_OK);
  as_session_text_free(&walk);
  if (status != AS_OK) out->length = before;
  return status;
}

/* ---- failing ----------------------------------------------------------------------- */

/* Repeats an action until it is done, and checks what every failure left. */
static void insist(action *action, const step *step, as_slice expected) {
  as_buffer out;
  as_buffer_init(&out, &step->codec->mem);
  while (as_buffer_append(&out, BEFORE, sizeof BEFORE) != AS_OK) CHECK(out.length == 0);
  uint64_t failed = heap.failed;
  as_status status;
  while ((status = action(step, &out)) != AS_OK) {
    CHECK(status == AS_ERR_OOM && heap.failed > failed);
    CHECK(as_slice_equals(as_buffer_slice(&out), as_slice_of(BEFORE, sizeof BEFORE)));
    failed = heap.failed;
  }
  CHECK(memcmp(out.data, BEFORE, sizeof BEFORE) == 0);
  as_buffer_drop_front(&out, sizeof BEFORE);
  CHECK(as_slice_equals(as_buffer_slice(&out), expected));
  as_buffer_free(&out);
}

static void codec_init(codec *codec) {
  as_mem_init(&codec->mem);
  as_transcoder_init(&codec->transcoder, &codec->mem);
  as_envelope_state_init(&codec->envelope, &codec->mem);
}

static void codec_free(codec *codec) {
  as_transcoder_free(&codec->transcoder);
  as_envelope_state_free(&codec->envelope);
  CHECK(codec->mem.used_bytes == 0);
}

static void transcode(codec *codec, const samples *samples, const sample *record) {
  step step = {codec, samples, record, 0};
  insist(store, &step, as_buffer_slice(&record->cbor));
  insist(read_structure, &step, as_buffer_slice(&record->structure));
  for (; step.form < BYTE_FORMS; step.form++)
    insist(give_back, &step, as_buffer_slice(&record->forms[step.form]));
}

static void pack(codec *codec, const samples *samples) {
  step step = {codec, samples, &samples->records[MANY], 1};
  for (; step.form <= AS_COMPRESSOR_MAX_CODE; step.form++) {
    insist(seal, &step, as_buffer_slice(&samples->sealed[step.form - 1]));
    insist(open, &step, as_buffer_slice(&step.record->cbor));
  }
}

/* Returns whether any allocation failed. */
static bool run(const samples *samples, uint64_t first, uint64_t in_a_row) {
  codec codec;
  step step = {&codec, samples, NULL, 0};
  codec_init(&codec);
  failing_heap_begin(first, in_a_row);
  for (int i = 0; i < 2 * RECORDS; i++) {
    transcode(&codec, samples, &samples->records[i % RECORDS]);
  }
  pack(&codec, samples);
  insist(unpack, &step, as_buffer_slice(&samples->content));
  insist(walk_session, &step, as_buffer_slice(&samples->session_records));
  failing_heap_end();
  codec_free(&codec);
  return heap.failed > 0;
}

/* ---- samples ----------------------------------------------------------------------- */

static void put(as_buffer *out, const char *text) {
  CHECK(as_buffer_append_slice(out, as_slice_text(text)) == AS_OK);
}

/* Many members, so that the set of keys and the heads of maps grow. */
static void put_members(as_buffer *out, const char *format, int count) {
  char text[200];
  put(out, "{");
  for (int i = 0; i < count; i++) {
    snprintf(text, sizeof text, format, i);
    if (i > 0) put(out, ",");
    put(out, text);
  }
  put(out, "}");
}

/* Everything that the text becomes. */
static void make_record(codec *codec, const samples *samples, sample *record) {
  step step = {codec, samples, record, 0};
  CHECK(store(&step, &record->cbor) == AS_OK);
  CHECK(read_structure(&step, &record->structure) == AS_OK);
  for (; step.form < BYTE_FORMS; step.form++)
    CHECK(give_back(&step, &record->forms[step.form]) == AS_OK);
  CHECK(as_slice_equals(as_buffer_slice(&record->forms[AS_BYTE_FORM_BASE64]),
                        as_buffer_slice(&record->json)));
}

#define KEY "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
#define PUBLIC "BQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC"
#define OTHER "BQMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD"
#define BUFFER(base64) "{\"type\":\"Buffer\",\"data\":\"" base64 "\"}"
#define EIGHT "2,2,2,2,2,2,2,2"
#define LIST "{\"type\":\"Buffer\",\"data\":[" EIGHT "," EIGHT "," EIGHT "," EIGHT "]}"

static const char SESSION_BEGIN[] =
    "{\"_sessions\":{\"" PUBLIC "\":{\"registrationId\":7,\"currentRatchet\":{"
    "\"ephemeralKeyPair\":{\"pubKey\":\"" PUBLIC "\",\"privKey\":\"" KEY "\"},"
    "\"lastRemoteEphemeralKey\":\"" OTHER "\",\"previousCounter\":0,\"rootKey\":\"" KEY
    "\"},\"indexInfo\":{\"baseKey\":\"" PUBLIC
    "\",\"baseKeyType\":1,\"closed\":-1,\"used\":2,\"created\":1,"
    "\"remoteIdentityKey\":\"" PUBLIC "\"},\"_chains\":{\"" OTHER
    "\":{\"chainKey\":{\"counter\":3,\"key\":\"" KEY
    "\"},\"chainType\":2,\"messageKeys\":";

static const char SESSION_END[] =
    "}},\"pendingPreKey\":{\"signedKeyId\":9,\"baseKey\":\"" OTHER
    "\",\"preKeyId\":5}}},\"version\":\"v1\"}";

static const char SENDER_KEY_BEGIN[] =
    "[{\"senderKeyId\":1,\"senderChainKey\":{\"iteration\":0,\"seed\":" LIST
    "},\"senderSigningKey\":{\"public\":{\"type\":\"Buffer\",\"data\":[5," EIGHT "," EIGHT
    "," EIGHT "," EIGHT "]},\"private\":" LIST "},\"senderMessageKeys\":[";

static const char OTHER_FORMS[] = ",{\"private\":" BUFFER(KEY) ",\"public\":" BUFFER(
    KEY) "},{\"" KEY
         "\":{\"valueMac\":" BUFFER(
             KEY) "}},{\"public\":{\"0\":1,\"1\":2},\"x\":" LIST "},"
                  "{\"5@lid\":1},[1,2,3,4],\"7\",\"5521980000959\",\"5:1@lid\","
                  "\"\\ud800\",\"" KEY
                  "\",{\"data\":\"AQID\",\"type\":\"Buffer\"}," BUFFER("e30=") "," BUFFER(
                      "WyI1Il0=");

/* A sender-key, in a Buffer: text between BUFFER's quotes. */
static void put_sender_key(as_buffer *out) {
  as_buffer json;
  as_mem mem;
  as_mem_init(&mem);
  as_buffer_init(&json, &mem);
  put(&json, SENDER_KEY_BEGIN);
  for (int i = 0; i < FEW; i++) {
    put(&json, i > 0 ? ",{\"iteration\":5,\"seed\":" : "{\"iteration\":5,\"seed\":");
    put(&json, LIST "}");
  }
  put(&json, "]}]");
  size_t length = as_base64_encoded_length(json.length);
  put(out, ",{\"type\":\"Buffer\",\"data\":\"");
  CHECK(as_buffer_reserve(out, length + 1) == AS_OK);
  as_base64_encode(as_buffer_slice(&json), out->data + out->length);
  out->length += length;
  put(out, "\"}");
  as_buffer_free(&json);
}

static void make_records(codec *codec, samples *samples) {
  as_buffer *many = &samples->records[MANY].json;
  as_buffer *packed = &samples->records[PACKED].json;
  put_members(many,
              "\"%d\":[{\"type\":\"Buffer\",\"data\":\"AQID\"},\"\\n\","
              "0.1,true,null,\"\\ud800\"]",
              MEMBERS);
  put(packed, "[");
  put(packed, SESSION_BEGIN);
  put_members(packed, "\"%d\":\"" KEY "\"", FEW);
  put(packed, SESSION_END);
  put_sender_key(packed);
  put(packed, ",");
  put_members(packed, "\"%d:7@s.whatsapp.net\":true", FEW);
  put(packed, OTHER_FORMS);
  put(packed, "]");
  put_members(&samples->records[REPEATED].json, "\"%d\":[\"" KEY "\",\"" OTHER "\"]",
              FEW);
  for (int i = 0; i < RECORDS; i++) make_record(codec, samples, &samples->records[i]);
}

/* That the forms are what they were meant to be: an array, a session in it, ... */
static void check_forms(const samples *samples) {
  static const uint8_t SESSION[] = {0x90, 0xCB, 0x81, 0x89};
  static const uint8_t NAMESPACE[] = {0xD9, 0x01, 0x00};
  as_slice cbor = as_buffer_slice(&samples->records[PACKED].cbor);
  CHECK(memcmp(cbor.data, SESSION, sizeof SESSION) == 0);
  CHECK(cbor.length * 3 < samples->records[PACKED].json.length);
  CHECK(memcmp(samples->records[REPEATED].cbor.data, NAMESPACE, sizeof NAMESPACE) == 0);
}

static void make_sealed(codec *codec, samples *samples) {
  step step = {codec, samples, &samples->records[MANY], 1};
  for (; step.form <= AS_COMPRESSOR_MAX_CODE; step.form++)
    CHECK(seal(&step, &samples->sealed[step.form - 1]) == AS_OK);
}

static void make_session(codec *codec, samples *samples) {
  step step = {codec, samples, NULL, 0};
  put(&samples->session, "{\"creds\":{},\"keys\":{\"\\u0061\":");
  put_members(&samples->session, "\"\\u0062%d\":{\"a\":[]}", MEMBERS);
  put(&samples->session, "}}");
  CHECK(walk_session(&step, &samples->session_records) == AS_OK);
  CHECK(samples->session_records.length > MEMBERS);
}

static void make_packed(samples *samples) {
  z_stream stream = {0};
  as_buffer *content = &samples->content, *packed = &samples->packed;
  for (int i = 0; i < CONTENT_BYTES; i++)
    CHECK(as_buffer_append_byte(content, (uint8_t)((uint32_t)i * (uint32_t)i >> 9)) ==
          AS_OK);
  CHECK(as_buffer_reserve(packed, CONTENT_BYTES) == AS_OK);
  CHECK(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  stream.next_in = content->data;
  stream.avail_in = CONTENT_BYTES;
  stream.next_out = packed->data;
  stream.avail_out = CONTENT_BYTES;
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed->length = stream.total_out;
  deflateEnd(&stream);
}

/* Every buffer of the samples, for init and free. */
static void for_each_buffer(samples *samples, void (*act)(as_buffer *, as_mem *),
                            as_mem *mem) {
  for (int i = 0; i < RECORDS; i++) {
    sample *record = &samples->records[i];
    act(&record->json, mem);
    act(&record->cbor, mem);
    act(&record->structure, mem);
    for (int form = 0; form < BYTE_FORMS; form++) act(&record->forms[form], mem);
  }
  for (int i = 0; i < AS_COMPRESSOR_MAX_CODE; i++) act(&samples->sealed[i], mem);
  act(&samples->session, mem);
  act(&samples->session_records, mem);
  act(&samples->content, mem);
  act(&samples->packed, mem);
}

static void free_buffer(as_buffer *buffer, as_mem *mem) {
  (void)mem;
  as_buffer_free(buffer);
}

int main(int argc, char **argv) {
  codec codec;
  samples samples;
  check_begin(argc, argv);
  uint64_t in_a_row = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  codec_init(&codec);
  for_each_buffer(&samples, as_buffer_init, &codec.mem);
  make_records(&codec, &samples);
  check_forms(&samples);
  make_sealed(&codec, &samples);
  make_session(&codec, &samples);
  make_packed(&samples);

  CHECK(!run(&samples, UINT64_MAX, 1));
  uint64_t call = 1;
  while (run(&samples, call, in_a_row)) call++;
  printf("%llu\n", (unsigned long long)call - 1);

  for_each_buffer(&samples, free_buffer, NULL);
  codec_free(&codec);
  return 0;
}
