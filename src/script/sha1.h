/* SHA-1 (FIPS 180-4): the name Redis gives to a script. Not for secrets. */
#ifndef SCRIPT_SHA1_H
#define SCRIPT_SHA1_H

#include "base/slice.h"

#define SHA1_HEX 40
/* Lower case, NUL-terminated. */
void sha1_hex(struct slice bytes, char out[SHA1_HEX + 1]);

#endif /* SCRIPT_SHA1_H */
