/* SPDX-License-Identifier: MIT */
/* Whether a comma is due tells the last character: what opens, and the colon behind a
 * name, never end a value. */
#include "codec/json_sink.h"

#include "codec/base64.h"
#include "codec/byte_list.h"
#include "codec/json_writer.h"

static as_buffer *out_of(as_sink *sink) {
  return ((as_json_sink *)sink)->out;
}

static as_status append_text(as_buffer *out, const char *text) {
  return as_buffer_append(out, text, strlen(text));
}

static as_status separate(as_sink *sink) {
  const as_json_sink *json = (const as_json_sink *)sink;
  const as_buffer *out = json->out;
  if (out->length == json->start) return AS_OK;
  uint8_t last = out->data[out->length - 1];
  if (last == '[' || last == '{' || last == ':') return AS_OK;
  return as_buffer_append_byte(json->out, ',');
}

static as_status open_container(as_sink *sink, bool is_object, size_t count) {
  (void)count;
  AS_TRY(separate(sink));
  return as_buffer_append_byte(out_of(sink), is_object ? '{' : '[');
}

static as_status close_container(as_sink *sink, bool is_object) {
  return as_buffer_append_byte(out_of(sink), is_object ? '}' : ']');
}

static as_status give_name(as_sink *sink, int name) {
  as_slice text = as_names_at((size_t)name);
  AS_TRY(separate(sink));
  as_buffer *out = out_of(sink);
  AS_TRY(as_buffer_reserve(out, text.length + 3));
  uint8_t *at = out->data + out->length;
  *at++ = '"';
  memcpy(at, text.data, text.length);
  at += text.length;
  *at++ = '"';
  *at++ = ':';
  out->length += text.length + 3;
  return AS_OK;
}

static as_status give_key(as_sink *sink, as_slice text) {
  AS_TRY(separate(sink));
  AS_TRY(as_json_write_string(out_of(sink), text));
  return as_buffer_append_byte(out_of(sink), ':');
}

static as_status give_text(as_sink *sink, as_slice text) {
  AS_TRY(separate(sink));
  return as_json_write_string(out_of(sink), text);
}

static as_status give_base64(as_buffer *out, as_slice bytes) {
  size_t length = as_base64_encoded_length(bytes.length);
  AS_TRY(append_text(out, "{\"type\":\"Buffer\",\"data\":\""));
  AS_TRY(as_buffer_reserve(out, length));
  as_base64_encode(bytes, out->data + out->length);
  out->length += length;
  return append_text(out, "\"}");
}

static as_status give_byte_array(as_buffer *out, as_slice bytes) {
  AS_TRY(append_text(out, "{\"type\":\"Buffer\",\"data\":["));
  AS_TRY(as_byte_list_write(out, bytes));
  return append_text(out, "]}");
}

static as_status give_byte_object(as_buffer *out, as_slice bytes) {
  AS_TRY(as_buffer_append_byte(out, '{'));
  for (size_t i = 0; i < bytes.length; i++) {
    AS_TRY(append_text(out, i > 0 ? ",\"" : "\""));
    AS_TRY(as_json_write_number(out, (double)i));
    AS_TRY(append_text(out, "\":"));
    AS_TRY(as_json_write_number(out, bytes.data[i]));
  }
  return as_buffer_append_byte(out, '}');
}

static as_status give_bytes(as_sink *sink, as_slice bytes, as_byte_form form) {
  AS_TRY(separate(sink));
  switch (form == AS_BYTE_FORM_BASE64 ? ((as_json_sink *)sink)->form : form) {
    case AS_BYTE_FORM_ARRAY:
      return give_byte_array(out_of(sink), bytes);
    case AS_BYTE_FORM_OBJECT:
      return give_byte_object(out_of(sink), bytes);
    default:
      return give_base64(out_of(sink), bytes);
  }
}

static as_status give_number(as_sink *sink, double number) {
  AS_TRY(separate(sink));
  return as_json_write_number(out_of(sink), number);
}

static as_status give_word(as_sink *sink, as_tree_kind kind) {
  AS_TRY(separate(sink));
  return append_text(out_of(sink), kind == AS_TREE_NULL    ? "null"
                                   : kind == AS_TREE_FALSE ? "false"
                                                           : "true");
}

void as_json_sink_init(as_json_sink *json, as_buffer *out, as_byte_form form) {
  static const as_sink_calls CALLS = {
      .open = open_container,
      .close = close_container,
      .name = give_name,
      .key = give_key,
      .text = give_text,
      .bytes = give_bytes,
      .number = give_number,
      .word = give_word,
      .wants_byte_maps = false,
  };
  json->sink.calls = &CALLS;
  json->form = form;
  json->out = out;
  json->start = out->length;
}
