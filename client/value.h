/* What tally_value is inside the library: a parsed RESP value whose texts end in NUL. */
#ifndef CLIENT_VALUE_H
#define CLIENT_VALUE_H

#include "client/tally.h"
#include "wire/resp.h"

/* Puts a NUL behind every text, over the CR that stands there. The bytes are the library's own. */
void value_terminate(struct resp_value *value);

#endif /* CLIENT_VALUE_H */
