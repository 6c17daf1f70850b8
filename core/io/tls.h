/* SPDX-License-Identifier: MIT */
/* as_tls is what the connections of a store have in common under TLS: whom they trust,
 * who they are, and what they ask of the other side. Files are read once, here.
 *
 * TLS 1.2 or newer. The server must show a chain of certificates to a trusted one, and
 * its own must be for the name, or the address, that was connected to. */
#ifndef AS_IO_TLS_H
#define AS_IO_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/memory.h"

enum { AS_TLS_MAX_NAME = 255, AS_TLS_REASON_SIZE = 400 };

/* Texts may be NULL; they are borrowed during as_tls_new. */
typedef struct as_tls_config {
  const char *ca;          /* PEM file of whom to trust; NULL: whom the system trusts */
  const char *cert;        /* PEM file: our certificate, and the chain above it */
  const char *key;         /* PEM file: its private key; both or neither */
  const char *server_name; /* to ask for and to check; NULL: what is connected to */
  bool is_insecure;        /* checks nothing of the server's certificate */
} as_tls_config;

typedef struct as_tls {
  as_mem *mem;
  SSL_CTX *context;
  char server_name[AS_TLS_MAX_NAME + 1]; /* empty: what is connected to */
} as_tls;

/* AS_ERR_UNSUPPORTED: a file is not what it should be. *out_part is then "ca", "cert" or
 * "key", or NULL when it is none of them, and `reason` says what is wrong; it never has
 * anything of the content of a file. */
AS_MUST_USE as_status as_tls_new(as_mem *mem, const as_tls_config *config,
                                 as_tls **out_tls, const char **out_part, char *reason);

/* Connections that were made go on. NULL is accepted. */
void as_tls_del(as_tls *tls);

#endif
