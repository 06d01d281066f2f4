// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "certificates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"

static char directory[64];

/* Elliptic curves: RSA would take seconds under load. */
static const char script[] =
	"set -eu; cd '%s'\n"
	"exec >log 2>&1\n"
	"curve='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'\n"
	"here='subjectAltName=IP:127.0.0.1,IP:::1'\n"
	"authority() { openssl req -x509 $curve -keyout $1.key -out $1.pem -days 2 -subj /CN=$1; "
	"}\n"
	/* name, authority, subjectAltName, dates */
	"issue() {\n"
	"	openssl req -new $curve -keyout $1.key -out $1.csr -subj /CN=$1 -addext \"$3\"\n"
	"	: >index; rm -f index.attr\n"
	"	openssl ca -batch -notext -config ca.conf -cert $2.pem -keyfile $2.key "
	"-rand_serial \\\n"
	"		$4 -in $1.csr -out $1.pem\n"
	"}\n"
	"printf '%%s\\n' '[ca]' 'default_ca = d' '[d]' 'database = index' 'serial = serial' "
	"'new_certs_dir = .' \\\n"
	"	'policy = p' 'copy_extensions = copy' 'default_md = sha256' '[p]' \\\n"
	"	'commonName = supplied' >ca.conf\n"
	"authority ca; authority other-ca\n"
	"issue server ca $here '-days 2'\n"
	"issue expired ca $here '-startdate 20200101000000Z -enddate 20200102000000Z'\n"
	"issue name ca subjectAltName=DNS:elsewhere.example '-days 2'\n"
	"issue client ca subjectAltName=DNS:client '-days 2'\n"
	"issue other-client other-ca subjectAltName=DNS:client '-days 2'\n";

static void run(const char *command)
{
	if (system(command)) {
		printf("this failed:\n%s\n", command);
		ASSERT_TRUE(false);
	}
}

const char *certificates__make(void)
{
	char command[sizeof(script) + sizeof(directory)];

	strcpy(directory, "/tmp/otelbpf-tls-XXXXXX");
	ASSERT_TRUE(mkdtemp(directory));
	snprintf(command, sizeof(command), script, directory);
	if (system(command)) {
		snprintf(command, sizeof(command), "cat %s/log", directory);
		system(command);
		certificates__remove();
		ASSERT_TRUE(false);
	}
	return directory;
}

void certificates__copy(const char *from, const char *to)
{
	static const char *const kinds[] = {"pem", "key"};
	char command[512];

	for (int i = 0; i < 2; i++) {
		snprintf(command, sizeof(command), "cd %s && cp %s.%s new && mv new %s.%s",
			 directory, from, kinds[i], to, kinds[i]);
		run(command);
	}
}

void certificates__remove(void)
{
	char command[128];

	if (!*directory)
		return;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	run(command);
	*directory = 0;
}
