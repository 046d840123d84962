/* XXH3, the one checksum of the house: 64 bits over frames and records, 128
 * bits for the chain (docs/architecture.md). Source: xxHash 0.8. */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include "base/slice.h"

struct chain {
	uint64_t low, high;
};

uint64_t checksum64(struct slice bytes);
/* Covers a position too: what is written elsewhere does not verify. */
uint64_t checksum64_at(struct slice bytes, uint64_t position);
struct chain checksum128(struct slice bytes);
/* chain(N) = XXH3-128(chain(N-1), index, term, type, payload), integers little-endian. */
struct chain chain_next(struct chain prev, uint64_t index, uint64_t term, uint8_t type, struct slice payload);
static inline bool chain_equal(struct chain a, struct chain b) { return a.low == b.low && a.high == b.high; }

#endif /* BASE_CHECKSUM_H */
