/* SPDX-License-Identifier: MIT */
#include "io/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "io/tls_reason.h"

static void tell(char *reason, const char *words) {
  snprintf(reason, AS_TLS_REASON_SIZE, "%s", words);
}

/* Whether a file has nothing of the kind that was wanted. Its reader tries all it knows,
 * and finds each unsupported. */
static bool is_of_no_use(unsigned long fault) {
  int library = ERR_GET_LIB(fault), code = ERR_GET_REASON(fault);
  if (library == ERR_LIB_PEM) return code == PEM_R_NO_START_LINE;
  if (library == ERR_LIB_X509) return code == X509_R_NO_CERTIFICATE_OR_CRL_FOUND;
  return code == ERR_R_UNSUPPORTED;
}

/* What OpenSSL found wrong with a file; `empty` when it holds nothing of its kind. */
static bool tell_fault(char *reason, const char *empty) {
  if (is_of_no_use(ERR_peek_error()) || is_of_no_use(ERR_peek_last_error()))
    tell(reason, empty);
  else
    as_tls_tell_failure(reason);
  ERR_clear_error();
  return false;
}

/* OpenSSL's words for a file that it cannot open name neither errno nor a directory. */
static bool is_readable(const char *path, char *reason) {
  FILE *file = fopen(path, "re");
  bool is_fine = file != NULL && (fgetc(file) != EOF || !ferror(file));
  if (!is_fine)
    snprintf(reason, AS_TLS_REASON_SIZE, "cannot be read: %s", strerror(errno));
  if (file != NULL) fclose(file);
  return is_fine;
}

static bool load_ca(const as_tls *tls, const char *path, char *reason) {
  if (!is_readable(path, reason)) return false;
  if (SSL_CTX_load_verify_locations(tls->context, path, NULL) == 1) return true;
  return tell_fault(reason, "holds no certificate in PEM form");
}

static bool load_certificate(const as_tls *tls, const char *path, char *reason) {
  if (!is_readable(path, reason)) return false;
  if (SSL_CTX_use_certificate_chain_file(tls->context, path) == 1) return true;
  return tell_fault(reason, "holds no certificate in PEM form");
}

/* OpenSSL would ask for the passphrase at the terminal. */
static int refuse_passphrase(char *text, int size, int is_writing, void *was_asked) {
  if (size > 0) text[0] = '\0';
  (void)is_writing;
  *(bool *)was_asked = true;
  return -1;
}

static bool is_mismatch(unsigned long fault) {
  if (ERR_GET_LIB(fault) != ERR_LIB_X509) return false;
  int code = ERR_GET_REASON(fault);
  return code == X509_R_KEY_VALUES_MISMATCH || code == X509_R_KEY_TYPE_MISMATCH;
}

static bool load_key(const as_tls *tls, const char *path, char *reason) {
  bool was_asked = false;
  if (!is_readable(path, reason)) return false;
  SSL_CTX_set_default_passwd_cb(tls->context, refuse_passphrase);
  SSL_CTX_set_default_passwd_cb_userdata(tls->context, &was_asked);
  bool is_loaded = SSL_CTX_use_PrivateKey_file(tls->context, path, SSL_FILETYPE_PEM) == 1;
  SSL_CTX_set_default_passwd_cb_userdata(tls->context, NULL);
  if (is_loaded && SSL_CTX_check_private_key(tls->context) == 1) return true;
  if (is_loaded || is_mismatch(ERR_peek_last_error())) {
    ERR_clear_error();
    tell(reason, "does not fit the certificate");
    return false;
  }
  if (!was_asked) return tell_fault(reason, "holds no private key in PEM form");
  ERR_clear_error();
  tell(reason, "is encrypted with a passphrase");
  return false;
}

static bool load_files(const as_tls *tls, const as_tls_config *config,
                       const char **out_part, char *reason) {
  *out_part = "ca";
  if (config->ca != NULL && !load_ca(tls, config->ca, reason)) return false;
  if (config->ca == NULL && SSL_CTX_set_default_verify_paths(tls->context) != 1)
    return tell_fault(reason, "the system's certificates cannot be found");
  *out_part = "cert";
  if (config->cert != NULL && !load_certificate(tls, config->cert, reason)) return false;
  *out_part = "key";
  if (config->key != NULL && !load_key(tls, config->key, reason)) return false;
  *out_part = NULL;
  return true;
}

/* A connection is not resumed: each one shows its certificates again. */
static bool set_up(const as_tls *tls, const as_tls_config *config) {
  SSL_CTX *context = tls->context;
  SSL_CTX_set_verify(context, config->is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                     NULL);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1;
}

as_status as_tls_new(as_mem *mem, const as_tls_config *config, as_tls **out_tls,
                     const char **out_part, char *reason) {
  *out_part = NULL;
  as_tls *tls = as_mem_alloc_zero(mem, sizeof *tls);
  if (tls == NULL) return AS_ERR_OOM;
  tls->mem = mem;
  ERR_clear_error();
  tls->context = SSL_CTX_new(TLS_client_method());
  if (config->server_name != NULL)
    snprintf(tls->server_name, sizeof tls->server_name, "%s", config->server_name);
  bool is_set_up = tls->context != NULL && set_up(tls, config);
  if (!is_set_up) tell_fault(reason, "OpenSSL cannot be used");
  if (is_set_up && load_files(tls, config, out_part, reason)) {
    *out_tls = tls;
    return AS_OK;
  }
  as_tls_del(tls);
  return AS_ERR_UNSUPPORTED;
}

void as_tls_del(as_tls *tls) {
  if (tls == NULL) return;
  SSL_CTX_free(tls->context);
  as_mem_free(tls->mem, tls, sizeof *tls);
}
