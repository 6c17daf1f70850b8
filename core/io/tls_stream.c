/* SPDX-License-Identifier: MIT */
/* OpenSSL works on two memory BIOs. So nothing of it touches the descriptor (its own
 * socket BIO would raise SIGPIPE), a write is never half done, as it would be when the
 * socket takes only part of a record and the engine then gives up what it belongs to, and
 * nothing that was decrypted stays behind when epoll is asked whether there is more. */
#include "io/tls_stream.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "io/tls_reason.h"

enum {
  RECORD_BYTES = 16 * 1024,      /* RFC 8446, 5.1: of plain text in one record, at most */
  OUTPUT_BYTES = 20 * 1024,      /* a whole record and what is around it */
  WRITE_BYTES = 4 * RECORD_BYTES /* encrypted at once */
};

struct as_tls_stream {
  as_mem *mem;
  SSL *ssl;
  BIO *input; /* owned by ssl, as is output */
  BIO *output;
  char name[AS_TLS_MAX_NAME + 1]; /* that the certificate must be for */
  char fault[AS_TLS_REASON_SIZE]; /* why the stream is lost; empty: it is not */
  size_t begin, end;              /* of what is to be sent, in `block` */
  uint8_t block[OUTPUT_BYTES];
};

/* OpenSSL asks this for each certificate of the chain. */
static int on_certificate(int is_fine, X509_STORE_CTX *check) {
  if (is_fine) return 1;
  const SSL *ssl =
      X509_STORE_CTX_get_ex_data(check, SSL_get_ex_data_X509_STORE_CTX_idx());
  as_tls_stream *stream = SSL_get_app_data(ssl);
  as_tls_tell_certificate(check, stream->name, stream->fault);
  return 0;
}

static bool is_address(const char *name) {
  struct in6_addr address;
  return inet_pton(AF_INET, name, &address) == 1 ||
         inet_pton(AF_INET6, name, &address) == 1;
}

/* SNI has host names only (RFC 6066, 3). */
static bool ask_for_name(const as_tls_stream *stream) {
  SSL *ssl = stream->ssl;
  if (is_address(stream->name))
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), stream->name) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set_tlsext_host_name(ssl, stream->name) == 1 &&
         SSL_set1_host(ssl, stream->name) == 1;
}

static bool set_up(as_tls_stream *stream, const as_tls *tls) {
  stream->ssl = SSL_new(tls->context);
  stream->input = BIO_new(BIO_s_mem());
  stream->output = BIO_new(BIO_s_mem());
  if (stream->ssl == NULL || stream->input == NULL || stream->output == NULL) {
    BIO_free(stream->input);
    BIO_free(stream->output);
    return false;
  }
  SSL_set_bio(stream->ssl, stream->input, stream->output);
  SSL_set_app_data(stream->ssl, stream);
  /* Without checks it would be told of faults that are of no interest. */
  if (SSL_get_verify_mode(stream->ssl) != SSL_VERIFY_NONE)
    SSL_set_verify(stream->ssl, SSL_VERIFY_PEER, on_certificate);
  SSL_set_connect_state(stream->ssl);
  return ask_for_name(stream);
}

as_status as_tls_stream_new(as_mem *mem, const as_tls *tls, const char *host,
                            as_tls_stream **out_stream, char *reason) {
  as_tls_stream *stream = as_mem_alloc_zero(mem, sizeof *stream);
  if (stream == NULL) return AS_ERR_OOM;
  stream->mem = mem;
  snprintf(stream->name, sizeof stream->name, "%s",
           tls->server_name[0] != '\0' ? tls->server_name : host);
  ERR_clear_error();
  if (!set_up(stream, tls)) {
    as_tls_tell_failure(reason);
    as_tls_stream_del(stream);
    return AS_ERR_UNSUPPORTED;
  }
  *out_stream = stream;
  return AS_OK;
}

void as_tls_stream_del(as_tls_stream *stream) {
  if (stream == NULL) return;
  SSL_free(stream->ssl);
  as_mem_free(stream->mem, stream, sizeof *stream);
}

/* The stream is lost; `fault` says why, unless a certificate has said so already. */
static void break_stream(as_tls_stream *stream, char *reason) {
  char words[AS_TLS_REASON_SIZE];
  as_tls_tell_failure(words);
  if (stream->fault[0] == '\0')
    snprintf(stream->fault, sizeof stream->fault, "%s", words);
  snprintf(reason, AS_TLS_REASON_SIZE, "%s", stream->fault);
}

bool as_tls_stream_handshake(as_tls_stream *stream, bool *out_done, char *reason) {
  ERR_clear_error();
  int result = SSL_do_handshake(stream->ssl);
  *out_done = result == 1;
  if (*out_done || SSL_get_error(stream->ssl, result) == SSL_ERROR_WANT_READ) return true;
  break_stream(stream, reason);
  return false;
}

as_status as_tls_stream_feed(as_tls_stream *stream, as_slice bytes) {
  int taken = BIO_write(stream->input, bytes.data, (int)bytes.length);
  return taken == (int)bytes.length ? AS_OK : AS_ERR_OOM;
}

as_slice as_tls_stream_output(as_tls_stream *stream) {
  if (stream->begin == stream->end) {
    int length = BIO_read(stream->output, stream->block, sizeof stream->block);
    stream->begin = 0;
    stream->end = length > 0 ? (size_t)length : 0;
  }
  return as_slice_of(stream->block + stream->begin, stream->end - stream->begin);
}

void as_tls_stream_sent(as_tls_stream *stream, size_t length) {
  stream->begin += length;
}

bool as_tls_stream_write(as_tls_stream *stream, as_slice bytes, size_t *out_length,
                         char *reason) {
  size_t length = bytes.length < WRITE_BYTES ? bytes.length : WRITE_BYTES;
  ERR_clear_error();
  if (SSL_write_ex(stream->ssl, bytes.data, length, out_length) == 1) return true;
  break_stream(stream, reason);
  return false;
}

/* Reads one record. */
static as_tls_read read_record(as_tls_stream *stream, uint8_t *block, size_t size,
                               size_t *out_length, char *reason) {
  ERR_clear_error();
  if (SSL_read_ex(stream->ssl, block, size, out_length) == 1) return AS_TLS_READ_SOME;
  switch (SSL_get_error(stream->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
      return AS_TLS_READ_NONE;
    case SSL_ERROR_ZERO_RETURN:
      snprintf(stream->fault, sizeof stream->fault, "the server closed the connection");
  }
  break_stream(stream, reason);
  return AS_TLS_READ_END;
}

as_tls_read as_tls_stream_read(as_tls_stream *stream, void *block, size_t size,
                               size_t *out_length, char *reason) {
  uint8_t *out = block;
  as_tls_read result = AS_TLS_READ_NONE;
  *out_length = 0;
  if (stream->fault[0] != '\0') {
    snprintf(reason, AS_TLS_REASON_SIZE, "%s", stream->fault);
    return AS_TLS_READ_END;
  }
  while (size - *out_length >= RECORD_BYTES) {
    size_t length = 0;
    result = read_record(stream, out + *out_length, size - *out_length, &length, reason);
    if (result != AS_TLS_READ_SOME) break;
    *out_length += length;
  }
  /* What came before the end is read first. */
  return *out_length > 0 ? AS_TLS_READ_SOME : result;
}

bool as_tls_stream_has_input(const as_tls_stream *stream) {
  return stream->fault[0] != '\0' || BIO_ctrl_pending(stream->input) > 0 ||
         SSL_pending(stream->ssl) > 0;
}
