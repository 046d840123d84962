/* UUIDv7: request ids that carry their time and ascend within one client, so
 * that once records and orders keyed by them are appended, not scattered. */
#ifndef CLIENT_ID_H
#define CLIENT_ID_H

#include <stdint.h>

#include "base/prng.h"

#define ID_TEXT 36

struct id_maker {
	struct prng *prng; /* borrowed */
	uint64_t last_ms;
	uint32_t count; /* ids made in last_ms: the 12 bits behind the time */
};

void id_maker_init(struct id_maker *maker, struct prng *prng);
/* 36 characters, no NUL. Greater than every id this maker made before, unless
 * the clock was set back by more than a second. */
void id_make(struct id_maker *maker, uint64_t wall_ms, char text[ID_TEXT]);

#endif /* CLIENT_ID_H */
