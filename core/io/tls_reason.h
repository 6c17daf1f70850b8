/* SPDX-License-Identifier: MIT */
/* as_tls_reason: what failed under TLS, in words that say what to do about it. Names that
 * come from a certificate are shown without what is not printable. */
#ifndef AS_IO_TLS_REASON_H
#define AS_IO_TLS_REASON_H

#include <openssl/x509_vfy.h>

#include "io/tls.h"

/* Which check a certificate has failed. `name`: the name or address that was wanted. */
void as_tls_tell_certificate(X509_STORE_CTX *check, const char *name, char *reason);

/* The first error in OpenSSL's queue, which is emptied. */
void as_tls_tell_failure(char *reason);

#endif
