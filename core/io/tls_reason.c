/* SPDX-License-Identifier: MIT */
#include "io/tls_reason.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_SHOWN = 3, NAME_SIZE = 72, NAMES_SIZE = 200 };

/* ---- names ------------------------------------------------------------------------ */

/* Appends what fits of a text that the other side has chosen. */
static void add(char *out, size_t size, const void *text, size_t length) {
  const char *bytes = text;
  size_t at = strlen(out);
  for (size_t i = 0; i < length && at + 1 < size; i++, at++) {
    out[at] = '?';
    if (bytes[i] >= 0x20 && bytes[i] < 0x7f) out[at] = bytes[i];
  }
  out[at] = '\0';
}

/* An address of a certificate has four bytes, or sixteen. False: neither. */
static bool write_address(const ASN1_OCTET_STRING *octets, char *out) {
  int length = ASN1_STRING_length(octets);
  int family = length == 4 ? AF_INET : AF_INET6;
  if (length != 4 && length != 16) return false;
  return inet_ntop(family, ASN1_STRING_get0_data(octets), out, NAME_SIZE) != NULL;
}

/* One alternative name that could be connected to. */
static bool write_alternative(const GENERAL_NAME *each, char *out) {
  out[0] = '\0';
  if (each->type == GEN_IPADD) return write_address(each->d.iPAddress, out);
  if (each->type != GEN_DNS) return false;
  add(out, NAME_SIZE, ASN1_STRING_get0_data(each->d.dNSName),
      (size_t)ASN1_STRING_length(each->d.dNSName));
  return true;
}

/* The common name of a subject or an issuer. */
static void write_common_name(const X509_NAME *name, char *out) {
  out[0] = '\0';
  int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) {
    snprintf(out, NAME_SIZE, "one without a name");
    return;
  }
  const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index));
  add(out, NAME_SIZE, ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
}

/* What a certificate is for: "a.example, b.example and 2 more". */
static void write_names(X509 *certificate, char *out) {
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  int count = 0;
  out[0] = '\0';
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    char name[NAME_SIZE];
    if (!write_alternative(sk_GENERAL_NAME_value(names, i), name)) continue;
    if (count++ >= NAMES_SHOWN) continue;
    if (count > 1) add(out, NAMES_SIZE, ", ", 2);
    add(out, NAMES_SIZE, name, strlen(name));
  }
  GENERAL_NAMES_free(names);
  if (count == 0) write_common_name(X509_get_subject_name(certificate), out);
  if (count <= NAMES_SHOWN) return;
  char more[32];
  snprintf(more, sizeof more, " and %d more", count - NAMES_SHOWN);
  add(out, NAMES_SIZE, more, strlen(more));
}

/* "2024-01-31 12:00:00 UTC" */
static void write_time(const ASN1_TIME *time, char *out, size_t size) {
  struct tm parts;
  out[0] = '\0';
  if (ASN1_TIME_to_tm(time, &parts) == 1)
    strftime(out, size, "%Y-%m-%d %H:%M:%S UTC", &parts);
}

/* ---- certificates ----------------------------------------------------------------- */

static void tell_name(X509 *certificate, const char *name, char *reason) {
  char names[NAMES_SIZE];
  write_names(certificate, names);
  snprintf(
      reason, AS_TLS_REASON_SIZE,
      "the certificate of the server is for %s, not for %.80s; redis.tls.server_name "
      "says which name to check",
      names, name);
}

/* The certificate of the server, or, of one above it, whose it is. */
static void write_whose(X509 *certificate, int depth, char *out, size_t size) {
  char name[NAME_SIZE];
  if (depth == 0) {
    snprintf(out, size, "the certificate of the server");
    return;
  }
  write_common_name(X509_get_subject_name(certificate), name);
  snprintf(out, size, "the certificate of %s, above that of the server,", name);
}

static void tell_time(X509 *certificate, int depth, bool is_over, char *reason) {
  char whose[160], when[40];
  write_whose(certificate, depth, whose, sizeof whose);
  write_time(is_over ? X509_get0_notAfter(certificate) : X509_get0_notBefore(certificate),
             when, sizeof when);
  snprintf(reason, AS_TLS_REASON_SIZE, "%s %s %s", whose,
           is_over ? "has expired on" : "is not valid before", when);
}

static void tell_issuer(X509 *certificate, char *reason) {
  char issuer[NAME_SIZE];
  write_common_name(X509_get_issuer_name(certificate), issuer);
  snprintf(
      reason, AS_TLS_REASON_SIZE,
      "the certificate of the server is signed by %s, whom we have no reason to trust; "
      "redis.tls.ca says whom to trust",
      issuer);
}

void as_tls_tell_certificate(X509_STORE_CTX *check, const char *name, char *reason) {
  int error = X509_STORE_CTX_get_error(check);
  int depth = X509_STORE_CTX_get_error_depth(check);
  X509 *current = X509_STORE_CTX_get_current_cert(check);
  X509 *leaf = X509_STORE_CTX_get0_cert(check);
  if (current == NULL) current = leaf;
  switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      tell_name(leaf, name, reason);
      return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      tell_time(current, depth, true, reason);
      return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      tell_time(current, depth, false, reason);
      return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      snprintf(reason, AS_TLS_REASON_SIZE,
               "the certificate of the server is self-signed; to trust it, give it as "
               "redis.tls.ca");
      return;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      tell_issuer(current, reason);
      return;
    default:
      snprintf(reason, AS_TLS_REASON_SIZE, "the certificate of the server: %s",
               X509_verify_cert_error_string(error));
  }
}

/* ---- the handshake ---------------------------------------------------------------- */

static const char NOT_TLS[] =
    "the server does not speak TLS on this port; redis:// is without TLS";
static const char TOO_OLD[] = "the server does not speak TLS 1.2 or newer";
static const char WANTS_CERTIFICATE[] =
    "the server wants a certificate of ours; give redis.tls.cert and redis.tls.key";

static const struct {
  int reason;
  const char *words;
} known[] = {
    {SSL_R_WRONG_VERSION_NUMBER, NOT_TLS},
    {SSL_R_PACKET_LENGTH_TOO_LONG, NOT_TLS},
    {SSL_R_HTTP_REQUEST, NOT_TLS},
    {SSL_R_UNSUPPORTED_PROTOCOL, TOO_OLD},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, TOO_OLD},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, WANTS_CERTIFICATE},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA,
     "the server does not know who signed our certificate (redis.tls.cert)"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
     "the server says that our certificate (redis.tls.cert) has expired"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
     "the server refuses our certificate (redis.tls.cert)"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
     "the server refuses our certificate (redis.tls.cert): it is not for clients"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
     "the server refuses the TLS handshake: it may want a certificate of ours "
     "(redis.tls.cert and redis.tls.key), or other ciphers"},
};

void as_tls_tell_failure(char *reason) {
  unsigned long failure = ERR_get_error();
  const char *words = ERR_reason_error_string(failure);
  snprintf(reason, AS_TLS_REASON_SIZE, "TLS: %s",
           words != NULL ? words : "it failed without a reason");
  if (ERR_GET_LIB(failure) == ERR_LIB_SSL)
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
      if (known[i].reason == ERR_GET_REASON(failure))
        snprintf(reason, AS_TLS_REASON_SIZE, "%s", known[i].words);
  ERR_clear_error();
}
