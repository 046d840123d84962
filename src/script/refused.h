/* The scripts that this node does not run: a call of each did not come back, and the watchdog ended the node
 * for it (engine/watchdog.h, which keeps the file). A script is known by a hash, so a mended one is another:
 *
 *   procedure  XXH3-128 of its name, its source and all that the bundle has in lib/
 *   eval       SHA-1 of the script, the name that EVALSHA gives it
 *   library    SHA-1 of a function library's code
 *
 * The file `refused` is text, a script a line, the oldest first; the name is for people:
 *
 *   tally-refused 1                                             format
 *   procedure order.flash_buy 00112233445566778899aabbccddeeff
 *   eval - e0e1f9fabfc9d4800c877a703b823ac0578ff8db
 *   check 0123456789abcdef                                      XXH3-64 of the lines above, hexadecimal
 *
 * There is one way only to write a list: what decodes encodes to the same bytes. */
#ifndef SCRIPT_REFUSED_H
#define SCRIPT_REFUSED_H

#include "base/buf.h"
#include "base/limits.h"

enum script_kind { SCRIPT_PROCEDURE, SCRIPT_EVAL, SCRIPT_LIBRARY };

/* What runs, for who watches over it. Borrowed. */
struct script_identity {
	enum script_kind kind;
	struct slice name;
	const char *hash; /* hexadecimal, small letters */
};

#define REFUSED_NAME 64 /* the rest of a longer name is cut off */
#define REFUSED_HASH 40
#define REFUSED_BYTES (64 + LIMIT_REFUSED * (REFUSED_NAME + REFUSED_HASH + 16))

/* Zeroes are the empty list. */
struct refused {
	struct refused_script {
		enum script_kind kind;
		char name[REFUSED_NAME + 1];
		char hash[REFUSED_HASH + 1];
	} scripts[LIMIT_REFUSED];
	size_t count;
};

const char *script_kind_name(enum script_kind kind); /* "procedure" */
bool refused_has(const struct refused *refused, const struct script_identity *script);
/* Nothing when it is there already; in a full list the oldest goes. */
void refused_add(struct refused *refused, const struct script_identity *script);
/* out holds REFUSED_BYTES. */
void refused_encode(const struct refused *refused, struct buf *out);
/* ERR_CORRUPT: any other bytes than refused_encode writes. */
int refused_decode(struct slice bytes, struct refused *refused);

#endif /* SCRIPT_REFUSED_H */
