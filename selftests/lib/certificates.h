/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Certificates of a test's own, made by openssl(1). */
#ifndef SELFTESTS_CERTIFICATES_H
#define SELFTESTS_CERTIFICATES_H

/**
 * certificates__make - make a directory of them
 *
 * In it, each .pem with its .key:
 *
 * - ca, other-ca: two authorities
 * - server: by ca, for 127.0.0.1 and ::1; expired: the same, years ago; name: for another name
 * - client: by ca; other-client: by other-ca
 *
 * Return: its path, for certificates__remove(); valid until then.
 */
const char *certificates__make(void);

/** certificates__copy - put a certificate and its key in the place of another, at once each */
void certificates__copy(const char *from, const char *to);

void certificates__remove(void);

#endif
